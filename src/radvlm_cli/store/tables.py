"""The tables, in the order in which data flows through them. docs/store.md is generated from this file.

Every column says what it holds in its `description`; every table in its docstring. `*_at` columns are UTC, ISO 8601.
JSON columns hold canonical JSON text (see hashing.canonical_json), so SQLite's json_each and -> work on them.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, UniqueConstraint, text
from sqlmodel import Field, SQLModel

# Names for constraints, so that Alembic's batch mode can find them again.
SQLModel.metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

VOCABULARY: dict[str, dict[str, tuple[str, ...]]] = {
    "image": {
        "status": ("present", "missing", "failed", "unchecked"),
        "split": ("train", "validation", "test"),
        "root": ("data", "derived"),
    },
    "grounding": {"kind": ("region", "abnormality", "phrase"), "split": ("train", "validation", "test")},
    "report": {"split": ("train", "validation", "test")},
}
"""The values that columns of the large tables may have besides NULL."""

_WITHOUT_ROWID: dict[str, Any] = {"sqlite_with_rowid": False}
_STATUSES = "'ok','empty','unparsable','truncated','error','refused'"


def _text(description: str, **options: Any) -> Any:
    return Field(description=description, **options)


class Run(SQLModel, table=True):
    """One invocation of a command that writes to the store."""

    id: int | None = Field(default=None, primary_key=True)
    command: str = _text("Stage name, e.g. `prepare`.")
    arguments: str = _text("JSON object of the options in force, defaults included; no secrets.")
    config_hash: str = _text("Hash of command and arguments; `--resume` refuses if it differs.")
    version: str = _text("radvlm version.")
    python: str = _text("Python version and platform.")
    git_commit: str | None = _text("Commit of the checkout that the code ran from, if it was one.", default=None)
    git_dirty: int | None = _text("1 if that checkout had uncommitted changes.", default=None)
    host: str = _text("Host name.")
    pid: int = _text("Process id on that host.")
    started_at: str = _text("When the run began.")
    heartbeat_at: str = _text("Last sign of life; a running run without one for a minute is dead.")
    ended_at: str | None = _text("When it ended.", default=None)
    status: str = _text("running, done, failed, interrupted, or partial (finished with failed items).")
    message: str | None = _text("Why it failed or stopped.", default=None)
    resumed: int = _text("How often `--resume` continued it.", default=0)
    __table_args__ = (
        CheckConstraint("status IN ('running','done','partial','failed','interrupted')", name="status"),
        Index(None, "command", "started_at"),
    )


class Tally(SQLModel, table=True):
    """A count that a run printed."""

    run_id: int = Field(primary_key=True, foreign_key="run.id", description="The run that counted.")
    subject: str = Field(primary_key=True, description="Source or component that was counted.")
    name: str = Field(primary_key=True, description="What was counted, e.g. `images` or `reports skipped`.")
    value: int = _text("The count.")
    __table_args__ = (_WITHOUT_ROWID,)


class Outcome(SQLModel, table=True):
    """An item that is not, or not wholly, there, and why: the state after the last run of the step."""

    stage: str = Field(primary_key=True, description="Stage, e.g. `prepare`.")
    subject: str = Field(primary_key=True, description="Source or component.")
    step: str = Field(primary_key=True, description="Part of the stage: images, reports, conversions, groundings, ...")
    item: str = Field(primary_key=True, description="The dataset's own id of the image, study, file or box.")
    status: str = _text("skipped or failed.")
    reason: str = _text("One sentence without the item's id.")
    run_id: int = _text("The run that met it.", foreign_key="run.id")
    __table_args__ = (CheckConstraint("status IN ('skipped','failed')", name="status"), _WITHOUT_ROWID)


class Step(SQLModel, table=True):
    """A finished part of `prepare` and what it was made from, so that a rerun does only what is missing."""

    subject: str = Field(primary_key=True, description="Source.")
    step: str = Field(primary_key=True, description="images, reports, conversions, groundings, ...")
    fingerprint: str = _text("Hash of input files (path, bytes, modification time), options and reader version.")
    run_id: int = _text("The run that finished it.", foreign_key="run.id")
    __table_args__ = (_WITHOUT_ROWID,)


class Artifact(SQLModel, table=True):
    """A file that the program wrote, or found written by an earlier one and adopted."""

    id: int | None = Field(default=None, primary_key=True)
    root: str = _text("data, derived, output or run: what `path` is relative to.")
    path: str = _text("POSIX path relative to the root (absolute for root `output`).")
    kind: str = _text("image, reports, boxes, resolutions, filtered_report, conversation, dataset, card, ...")
    origin: str = _text("written or adopted.")
    key: str | None = _text("Hash of what decides the content, where the file is made from something.", default=None)
    sha256: str = _text("Of the bytes.")
    bytes: int = _text("File size.")
    mtime_ns: int = _text("Modification time when it was hashed, nanoseconds.")
    run_id: int = _text("The run that wrote or adopted it.", foreign_key="run.id")
    __table_args__ = (
        UniqueConstraint("root", "path"),
        CheckConstraint("origin IN ('written','adopted')", name="origin"),
    )


class Image(SQLModel, table=True):
    """One image of a source."""

    id: int | None = Field(default=None, primary_key=True)
    source: str = _text("Source that owns the image: mimic, chexpert, chexpert-plus, vindr, padchest, ...")
    image_id: str = _text("The dataset's own id.")
    patient_id: str | None = _text("The dataset's own id.", default=None)
    study_id: str | None = _text("The dataset's own id.", default=None)
    split: str | None = _text("train, validation or test in the official release.", default=None)
    view: str | None = _text("PA, AP, LATERAL, ... as the dataset writes it.", default=None)
    root: str = _text("data or derived: what `path` is relative to.")
    path: str = _text("POSIX path of the 8-bit file to show to a model.")
    width: int | None = _text("Columns of the original image, pixels.", default=None)
    height: int | None = _text("Rows of the original image, pixels.", default=None)
    sex: str | None = _text("F or M.", default=None)
    age: int | None = _text("Years.", default=None)
    labels: str | None = _text(
        "JSON object, finding -> 1 present, 0 absent, -1 uncertain; not mentioned is left out.", default=None
    )
    status: str = _text("Of the file: present, missing, failed or unchecked.")
    reason: str | None = _text("Why the file is missing or failed.", default=None)
    run_id: int = _text("The run that last changed the row.", foreign_key="run.id")
    # Checks would double the cost of a million rows; `radvlm db check` looks at the values instead.
    __table_args__ = (
        UniqueConstraint("source", "image_id"),
        Index("ix_image_report", "source", "split", "status", "view", "sex", "age"),
        Index("ix_image_absent", "status", sqlite_where=text("status IN ('missing','failed')")),
    )


class Report(SQLModel, table=True):
    """One radiology report, by study, in sections. A section is NULL where the report has none."""

    id: int | None = Field(default=None, primary_key=True)
    source: str = _text("mimic, chexpert-plus, padchest or openi.")
    study_id: str = _text("The dataset's own id.")
    patient_id: str | None = _text("The dataset's own id.", default=None)
    split: str | None = _text("train, validation or test in the official release.", default=None)
    language: str = _text("ISO 639-1.")
    findings: str | None = _text("Findings section.", default=None)
    impression: str | None = _text("Impression section.", default=None)
    last_paragraph: str | None = _text("Last paragraph, where there is neither findings nor impression.", default=None)
    comparison: str | None = _text("Comparison section.", default=None)
    history: str | None = _text("Indication or clinical history.", default=None)
    text: str | None = _text("The whole text where the source gives no sections.", default=None)
    origin: str = _text("sections, custom-rule, adopted or published: how the sections came about.")
    run_id: int = _text("The run that last changed the row.", foreign_key="run.id")
    __table_args__ = (UniqueConstraint("source", "study_id"),)


class Grounding(SQLModel, table=True):
    """Boxes for one named thing on one image; of kind `region`, for all anatomical regions of the image at once."""

    source: str = Field(primary_key=True, description="Source of the annotation: imagenome, vindr, mscxr, padchest-gr.")
    image_id: int = Field(
        primary_key=True, foreign_key="image.id", ondelete="CASCADE", description="The image that the boxes lie on."
    )
    ordinal: int = Field(primary_key=True, description="Position among this source's groundings of the image, from 0.")
    kind: str = _text("region, abnormality or phrase.")
    split: str | None = _text("The annotation's own split, which may differ from the image's.", default=None)
    label: str | None = _text("Class or category name; NULL for kind region.", default=None)
    phrase: str | None = _text("The sentence that the boxes ground.", default=None)
    boxes: str = _text(
        "JSON list of [x_min, y_min, x_max, y_max], each 0-1 of the original image; may be empty. "
        "For kind region a JSON object of region -> such a list; see the view `region`."
    )
    detail: str | None = _text("JSON object of what else the source says.", default=None)
    run_id: int = _text("The run that last changed the row.", foreign_key="run.id")
    __table_args__ = (Index("ix_grounding_kind", "kind"), _WITHOUT_ROWID)


class Prompt(SQLModel, table=True):
    """The part of a request to a language model that many calls share."""

    id: int | None = Field(default=None, primary_key=True)
    hash: bytes = _text("SHA-256 of what decides the answer: model, parameters, schema, messages.")
    name: str = _text("For people, e.g. `curate-dictated`.")
    model: str = _text("Model or deployment, as the user named it.")
    parameters: str = _text("JSON object: max_tokens, temperature, ...")
    answer_schema: str | None = _text("JSON schema that the answer was asked to follow.", default=None)
    messages: bytes = _text("JSON list of {role, content}, zlib.")
    run_id: int = _text("The run that first used it.", foreign_key="run.id")
    __table_args__ = (UniqueConstraint("hash"),)


class Batch(SQLModel, table=True):
    """One job of a provider's Batch API, written before anything is sent."""

    id: int | None = Field(default=None, primary_key=True)
    intent: str = _text("Our own id, sent as metadata, by which an unknown submission is found again.")
    stage: str = _text("curate or converse.")
    host: str = _text("The provider's host.")
    model: str = _text("Model or deployment.")
    status: str = _text("intended, uploaded, submitted, ended, collected, deleted or abandoned.")
    requests: int = _text("Lines sent.")
    tokens: int = _text("Input tokens, estimated.")
    input_file: str | None = _text("The provider's id of the uploaded file.", default=None)
    remote_id: str | None = _text("The provider's id of the batch.", default=None)
    remote_status: str | None = _text("As the provider last reported it.", default=None)
    output_file: str | None = _text("The provider's id of the file of answers.", default=None)
    error_file: str | None = _text("The provider's id of the file of errors.", default=None)
    error: str | None = _text("Codes, if the provider refused the batch.", default=None)
    created_at: str = _text("When it was intended.")
    updated_at: str = _text("When its status last changed.")
    run_id: int = _text("The run that intended it.", foreign_key="run.id")
    __table_args__ = (
        UniqueConstraint("intent"),
        CheckConstraint(
            "status IN ('intended','uploaded','submitted','ended','collected','deleted','abandoned')", name="status"
        ),
    )


class BatchLine(SQLModel, table=True):
    """A call that was sent in a batch and has no answer yet."""

    __tablename__ = "batch_line"
    key: bytes = Field(primary_key=True, description="Key of the call; its `custom_id` is the key in hex.")
    batch_id: int = _text("The batch.")
    prompt_id: int = _text("The prompt.", foreign_key="prompt.id")
    asked: bytes = _text("JSON list of the messages after the prompt's own, zlib.")
    __table_args__ = (
        ForeignKeyConstraint(["batch_id"], ["batch.id"], ondelete="CASCADE"),
        Index(None, "batch_id"),
    )


class LlmCall(SQLModel, table=True):
    """One call to a language model and how it ended: asked once, never paid again."""

    __tablename__ = "llm_call"
    id: int | None = Field(default=None, primary_key=True)
    key: bytes = _text("SHA-256 of what decides the answer: the prompt's hash and the messages after it.")
    prompt_id: int = _text("The prompt.", foreign_key="prompt.id")
    asked: bytes = _text("JSON list of the messages after the prompt's own, zlib.")
    answer: bytes | None = _text("The reply's text, zlib.", default=None)
    status: str = _text(
        "ok, truncated (max_tokens), filtered (content filter), refused (by the model), rejected (400), "
        "or failed (no answer; asked again by the next run)."
    )
    provider: str = _text("azure, openai or endpoint.")
    host: str = _text("Host that was asked.")
    model: str | None = _text("Model as the endpoint reported it.", default=None)
    fingerprint: str | None = _text("system_fingerprint as reported.", default=None)
    request_id: str | None = _text("The endpoint's id of the answer.", default=None)
    finish_reason: str | None = _text("As reported.", default=None)
    http_status: int | None = _text("HTTP status of the last attempt.", default=None)
    error: str | None = _text("Code and kind of the error.", default=None)
    input_tokens: int | None = _text("As the endpoint counted.", default=None)
    cached_tokens: int | None = _text("Of the input, from the provider's prompt cache.", default=None)
    output_tokens: int | None = _text("As the endpoint counted.", default=None)
    reasoning_tokens: int | None = _text("Of the output.", default=None)
    cost: float | None = _text(
        "US dollars by the price table, estimated where no usage was told; NULL where no price is known.", default=None
    )
    tier: str = _text("standard or batch.")
    latency_ms: int | None = _text("Of the attempt that was answered.", default=None)
    attempts: int = _text("HTTP requests made.")
    batch_id: int | None = _text("The batch that it was sent in.", default=None, foreign_key="batch.id")
    answered_at: str = _text("When it ended.")
    run_id: int = _text("The run that made it.", foreign_key="run.id")
    __table_args__ = (
        UniqueConstraint("key"),
        CheckConstraint("status IN ('ok','truncated','filtered','refused','rejected','failed')", name="status"),
        Index(None, "run_id"),
        Index(
            "ix_llm_call_report",
            *("prompt_id", "status", "provider", "tier", "attempts", "input_tokens", "cached_tokens", "output_tokens"),
            *("reasoning_tokens", "cost", "latency_ms"),
        ),
    )


class CuratedText(SQLModel, table=True):
    """A report text fit for training: nothing that refers to a study the model cannot see."""

    __tablename__ = "curated_text"
    id: int | None = Field(default=None, primary_key=True)
    source: str = _text("Source of the report.")
    study_id: str = _text("The dataset's own id.")
    text: str = _text("The text.")
    origin: str = _text("adopted (read from filtered_reports/), or who wrote it: azure, openai, endpoint or rules.")
    key: bytes | None = _text("Hash of what decided the text: report, prompt, checks.", default=None)
    call_id: int | None = _text("The call whose answer it is.", default=None, foreign_key="llm_call.id")
    reviewed: str | None = _text("accepted or edited, if a person did so; then it is never replaced.", default=None)
    artifact_id: int | None = _text(
        "The file it was adopted from or written to.", default=None, foreign_key="artifact.id", ondelete="SET NULL"
    )
    run_id: int = _text("The run that last changed the row.", foreign_key="run.id")
    __table_args__ = (UniqueConstraint("source", "study_id"),)


class Conversation(SQLModel, table=True):
    """A multi-turn dialogue about one image."""

    id: int | None = Field(default=None, primary_key=True)
    source: str = _text("Source of the dialogue: mimic (standard), mscxr or padchest-gr (grounded).")
    image_id: int = _text("The image that it is about.", foreign_key="image.id", ondelete="CASCADE")
    kind: str = _text("standard or grounded.")
    split: str | None = _text("Split folder that it was written to.", default=None)
    turns: str = _text("JSON list of [role, text]; roles human and gpt in turn, human first.")
    origin: str = _text("adopted (read from conversations/), or who wrote it: azure, openai, endpoint or rules.")
    key: bytes | None = _text("Hash of what decided the dialogue: context, prompt, checks.", default=None)
    call_id: int | None = _text("The call whose answer it is.", default=None, foreign_key="llm_call.id")
    reviewed: str | None = _text("accepted or edited, if a person did so; then it is never replaced.", default=None)
    artifact_id: int | None = _text(
        "The file it was adopted from or written to.", default=None, foreign_key="artifact.id", ondelete="SET NULL"
    )
    run_id: int = _text("The run that last changed the row.", foreign_key="run.id")
    __table_args__ = (
        UniqueConstraint("source", "image_id", "kind"),
        CheckConstraint("kind IN ('standard','grounded')", name="kind"),
    )


class Quarantine(SQLModel, table=True):
    """A generated text that did not pass the checks, kept for a person; why is in `outcome` under the same key."""

    stage: str = Field(primary_key=True, description="curate or converse.")
    subject: str = Field(primary_key=True, description="Source.")
    step: str = Field(primary_key=True, description="texts, standard or grounded.")
    item: str = Field(primary_key=True, description="The dataset's own id of the study or image.")
    key: bytes = _text("Hash of what decided the text, as in curated_text and conversation.")
    candidate: str | None = _text("The text, or the JSON of the turns; NULL where the answer held none.", default=None)
    words: str | None = _text("The words at fault.", default=None)
    origin: str = _text("The provider that wrote it.")
    call_id: int | None = _text("The call whose answer it is.", default=None, foreign_key="llm_call.id")
    attempt: int = _text("How often `--retry failed` asked anew.")
    run_id: int = _text("The run that put it here.", foreign_key="run.id")
    __table_args__ = (_WITHOUT_ROWID,)


class Dataset(SQLModel, table=True):
    """One built instruction dataset."""

    id: int | None = Field(default=None, primary_key=True)
    key: str | None = _text("Hash of recipe, options and content; NULL while it is being built.", default=None)
    name: str = _text("Recipe name, and stem of its files.")
    output: str = _text("Folder that holds its files.")
    recipe: str = _text("JSON of the recipe as it was used.")
    options: str = _text("JSON of seed, protocol, label policy, leakage rule, format and image root.")
    sha256: str | None = _text("Of the LLaVA JSON file.", default=None)
    pairs: int | None = _text("Number of pairs written.", default=None)
    status: str = _text("building or complete.")
    run_id: int = _text("The run that built it.", foreign_key="run.id")
    __table_args__ = (CheckConstraint("status IN ('building','complete')", name="status"), Index(None, "name"))


class Component(SQLModel, table=True):
    """One line of a dataset's recipe, with what was expected and what was found."""

    dataset_id: int = Field(primary_key=True, description="The dataset.")
    position: int = Field(primary_key=True, description="Order in the recipe, from 0.")
    name: str = _text("Component name, first part of its pairs' ids.")
    task: str = _text("Task.")
    source: str = _text("Source.")
    splits: str = _text("JSON list of the splits that it takes.")
    repeat: int = _text("How often each record is used.")
    record_limit: int | None = _text("Records at most, sampled.", default=None)
    expected: int | None = _text("Records in the published dataset, before repetition.", default=None)
    found: int = _text("Records in the store that qualify.")
    unusable: int = _text("Records left out because their image is missing or failed.")
    leaked: int = _text("Records found by the leakage check.")
    removed: int = _text("Records that the leakage check removed.")
    pairs: int = _text("Pairs written: records x repeat.")
    remark: str | None = _text("Why found differs from expected, where the store knows.", default=None)
    __table_args__ = (
        ForeignKeyConstraint(["dataset_id"], ["dataset.id"], ondelete="CASCADE"),
        _WITHOUT_ROWID,
    )


class Pair(SQLModel, table=True):
    """One image-instruction pair of a dataset, and the records that it was made from."""

    dataset_id: int = Field(primary_key=True, description="The dataset.")
    position: int = Field(primary_key=True, description="Place in the dataset's files, from 0.")
    pair_id: str = _text("The `id` in the files.")
    component: int = _text("Position of its component.")
    image_id: int = _text("The image.")
    report_id: int | None = _text("The report that a curated text came from.", default=None)
    curated_text_id: int | None = _text("The text that it teaches.", default=None)
    grounding: int | None = _text(
        "Ordinal of the grounding (with the component's source and image_id); "
        "in region grounding the place of the region among the image's, by name, from 0.",
        default=None,
    )
    conversation_id: int | None = _text("The dialogue that it teaches.", default=None)
    __table_args__ = (
        # Checked by `radvlm db check` rather than per row: a million pairs are written at once from ids just read.
        ForeignKeyConstraint(["dataset_id"], ["dataset.id"], ondelete="CASCADE"),
        _WITHOUT_ROWID,
    )


class Leak(SQLModel, table=True):
    """A training record whose patient, study or image is also in an evaluation set."""

    dataset_id: int = Field(primary_key=True, description="The dataset that was checked.")
    component: int = Field(primary_key=True, description="Position of the component.")
    image_id: int = Field(primary_key=True, description="The image in training.")
    level: str = _text("image, study or patient: the closest thing shared.")
    shared: str = _text("Its id, with the cohort: `mimic patient 10000032`.")
    evaluation: str = _text("Component of the evaluation recipe that holds it.")
    __table_args__ = (
        ForeignKeyConstraint(["dataset_id"], ["dataset.id"], ondelete="CASCADE"),
        _WITHOUT_ROWID,
    )


class Training(SQLModel, table=True):
    """What a run of `train` works on, and where: one row beside its row in `run`."""

    run_id: int = Field(primary_key=True, foreign_key="run.id", description="The run.")
    folder: str = _text("The run's own folder: manifest, spools, log, checkpoints.")
    recipe: str = _text("Recipe, as the user named it.")
    model: str = _text("Folder of the model that training starts from.")
    dataset_id: int | None = _text(
        "The dataset, where this store knows it.", default=None, foreign_key="dataset.id", ondelete="SET NULL"
    )
    data_sha256: str = _text("Of the dataset's Parquet file.")
    pairs: int = _text("Pairs in that file.")
    job_id: str | None = _text("SLURM job that trains, if it was submitted.", default=None)
    __table_args__ = (_WITHOUT_ROWID,)


class Checkpoint(SQLModel, table=True):
    """A checkpoint of a run. The disk is the truth: a row is brought in line with it whenever `train` looks."""

    run_id: int = Field(primary_key=True, foreign_key="run.id", description="The run.")
    step: int = Field(primary_key=True, description="Optimizer steps done.")
    consumed_samples: int = _text("Samples that went into it.")
    path: str = _text("Absolute path of its folder.")
    bytes: int = _text("Size of its files.")
    status: str = _text("complete, or removed from the disk.")
    saved_at: str = _text("When it was complete.")
    __table_args__ = (CheckConstraint("status IN ('complete','removed')", name="status"), _WITHOUT_ROWID)


class TestSet(SQLModel, table=True):
    """The samples of one component of an evaluation dataset, frozen: what a model is asked, and what is right."""

    __tablename__ = "test_set"
    __test__ = False  # pytest would take the class for tests
    id: int | None = Field(default=None, primary_key=True)
    key: str = _text("SHA-256 of name, task, options and samples (ids, images, questions, references); not of places.")
    name: str = _text("Component name.")
    task: str = _text("report, classification, region, abnormality, phrase, detection or conversation.")
    source: str = _text("Source.")
    dataset_id: int | None = _text(
        "The dataset that it was frozen from last.", default=None, foreign_key="dataset.id", ondelete="SET NULL"
    )
    options: str = _text("JSON list of the findings to choose among, for classification and detection.")
    samples: int = _text("Number of samples.")
    patients: int = _text("Different patients; studies or images where the source names no patients.")
    expected: int | None = _text("Samples in the published evaluation.", default=None)
    run_id: int = _text("The run that froze it.", foreign_key="run.id")
    __table_args__ = (
        UniqueConstraint("key"),
        CheckConstraint(
            "task IN ('report','classification','region','abnormality','phrase','detection','conversation')",
            name="task",
        ),
        Index(None, "name"),
    )


class TestSample(SQLModel, table=True):
    """One sample of a test set."""

    __tablename__ = "test_sample"
    __test__ = False
    test_set_id: int = Field(primary_key=True, description="The test set.")
    position: int = Field(primary_key=True, description="Place in the test set, from 0.")
    sample_id: str = _text("Id of the pair.")
    image_id: int | None = _text("Row of the image when it was frozen.", default=None)
    path: str = _text("Absolute path of the 8-bit file when it was frozen.")
    patient_id: str | None = _text("The dataset's own id: the cluster for confidence intervals.", default=None)
    study_id: str | None = _text("The dataset's own id.", default=None)
    sex: str | None = _text("F or M.", default=None)
    age: int | None = _text("Years.", default=None)
    view: str | None = _text("As the dataset writes it.", default=None)
    width: int | None = _text("Columns of the original image, pixels.", default=None)
    height: int | None = _text("Rows of the original image, pixels.", default=None)
    subject: str | None = _text("Region, finding or phrase to be located.", default=None)
    indication: str | None = _text("Why the study was made, where the report says.", default=None)
    turns: str = _text("JSON list of the human's turns, in the wording of the dataset.")
    reference: str = _text(
        'JSON object. report: {"text"}; classification: {"labels": {finding: 1, 0 or -1}, "positive": [...]}; '
        'region, abnormality, phrase: {"boxes": [...]}; detection: {"boxes": {finding: [...]}}; '
        'conversation: {"turns": [[role, text], ...]}.'
    )
    __table_args__ = (
        ForeignKeyConstraint(["test_set_id"], ["test_set.id"], ondelete="CASCADE"),
        _WITHOUT_ROWID,
    )


class Evaluation(SQLModel, table=True):
    """One model's answers to one test set, under conditions that decide the answers."""

    id: int | None = Field(default=None, primary_key=True)
    key: str = _text("Hash of `identity`.")
    test_set_id: int = _text("The test set.", foreign_key="test_set.id")
    model: str = _text("Model, as the user named it.")
    weights: str | None = _text("Folder of its weights, or the endpoint.", default=None)
    identity: str = _text(
        "JSON object of all that decides an answer: model, weights' hash, prompts, preprocessing, decoding, dtype, "
        "backend with versions, batching, protocol and test set. The parser is not among it."
    )
    adapter: str | None = _text(
        "JSON object of what the loaded model says of itself; it stays the same for all answers.", default=None
    )
    folder: str = _text("Folder of the run that began it.")
    status: str = _text("building, or complete: every sample has a prediction, failures included.")
    run_id: int = _text("The run that began it.", foreign_key="run.id")
    created_at: str = _text("When it was begun.")
    __table_args__ = (
        UniqueConstraint("key"),
        CheckConstraint("status IN ('building','complete')", name="status"),
        Index(None, "test_set_id"),
    )


class Answering(SQLModel, table=True):
    """What a run of `eval` works on, and where: one row beside its row in `run`."""

    run_id: int = Field(primary_key=True, foreign_key="run.id", description="The run.")
    folder: str = _text("The run's own folder: manifest, spools and logs of its workers.")
    evaluations: str = _text("JSON list of the evaluations that it works on.")
    job_id: str | None = _text("SLURM job that answers, if it was submitted.", default=None)
    __table_args__ = (_WITHOUT_ROWID,)


class Prediction(SQLModel, table=True):
    """What a model said to one sample: its raw text, or why there is none."""

    evaluation_id: int = Field(primary_key=True, description="The evaluation.")
    position: int = Field(primary_key=True, description="The sample's place in the test set.")
    status: str = _text("ok, empty, truncated (at most new tokens), refused, or error (asked again by the next run).")
    text: str = _text("Raw text; for conversations a JSON list of the answers, one per round.")
    prompt: str = _text("What was asked; for conversations a JSON list of the human's turns.")
    seen_width: int | None = _text("Columns of the picture as the model got it.", default=None)
    seen_height: int | None = _text("Rows of the picture as the model got it.", default=None)
    tokens_in: int | None = _text("Tokens of the prompt, pictures included; of all rounds.", default=None)
    tokens_out: int | None = _text("New tokens; of all rounds.", default=None)
    latency_ms: int | None = _text("The sample's share of the time of its batches.", default=None)
    worker: str = _text("Host and rank that asked.")
    attempt: int = _text("Which try of this sample it was, from 1; a later one replaces an earlier.")
    error: str | None = _text("Why there is no answer.", default=None)
    run_id: int = _text("The run that asked.", foreign_key="run.id")
    at: str = _text("When it was answered.")
    __table_args__ = (
        ForeignKeyConstraint(["evaluation_id"], ["evaluation.id"], ondelete="CASCADE"),
        CheckConstraint(f"status IN ({_STATUSES})", name="status"),
        Index("ix_prediction_status", "status", "evaluation_id"),
        _WITHOUT_ROWID,
    )


class Parsed(SQLModel, table=True):
    """What a parser read from a prediction."""

    evaluation_id: int = Field(primary_key=True, description="The evaluation.")
    position: int = Field(primary_key=True, description="The sample's place in the test set.")
    parser: str = Field(primary_key=True, description="Name and version, e.g. `boxes:radvlm/1`.")
    status: str = _text("The prediction's status, or unparsable or refused.")
    content: str = _text("JSON: boxes, findings with their evidence, or text, as the task has it.")
    __table_args__ = (
        ForeignKeyConstraint(["evaluation_id"], ["evaluation.id"], ondelete="CASCADE"),
        CheckConstraint(f"status IN ({_STATUSES})", name="status"),
        Index("ix_parsed_status", "evaluation_id", "status"),
        _WITHOUT_ROWID,
    )


class SampleScore(SQLModel, table=True):
    """The numbers of a sample from which a family of metrics is computed: sums of them give every metric."""

    __tablename__ = "sample_score"
    evaluation_id: int = Field(primary_key=True, description="The evaluation.")
    family: str = Field(primary_key=True, description="Family of metrics, e.g. `bleu`.")
    position: int = Field(primary_key=True, description="The sample's place in the test set.")
    version: int = _text("Of the family.")
    status: str = _text("Of the answer that was scored.")
    numbers: str = _text("JSON list in the order of the family's columns; null where there is none.")
    __table_args__ = (
        ForeignKeyConstraint(["evaluation_id"], ["evaluation.id"], ondelete="CASCADE"),
        CheckConstraint(f"status IN ({_STATUSES})", name="status"),
        _WITHOUT_ROWID,
    )


class Score(SQLModel, table=True):
    """One metric of an evaluation, with its confidence interval."""

    evaluation_id: int = Field(primary_key=True, description="The evaluation.")
    metric: str = Field(primary_key=True, description="Metric.")
    part: str = Field(primary_key=True, description="Empty: all samples; a finding; or parsed-only.")
    value: float | None = _text("NULL where it is not defined, or cannot be computed here (see remark).", default=None)
    low: float | None = _text("Lower end of the 95 % interval.", default=None)
    high: float | None = _text("Upper end of the 95 % interval.", default=None)
    n: int = _text("Samples.")
    clusters: int = _text("Patients; studies or images where the source names no patients.")
    coverage: float | None = _text("Share of samples whose answer could be scored.", default=None)
    family: str = _text("Family of metrics.")
    version: int = _text("Of the family.")
    remark: str | None = _text("Why there is no value, or what to know of it.", default=None)
    __table_args__ = (
        ForeignKeyConstraint(["evaluation_id"], ["evaluation.id"], ondelete="CASCADE"),
        _WITHOUT_ROWID,
    )


class Judgement(SQLModel, table=True):
    """What a judging language model said of a prediction."""

    evaluation_id: int = Field(primary_key=True, description="The evaluation.")
    judge: str = Field(primary_key=True, description="Judge, model and version of its prompt.")
    position: int = Field(primary_key=True, description="The sample's place in the test set.")
    status: str = _text("Of the judgement.")
    text: str = _text("As the judge wrote it.")
    call_id: int | None = _text("The call whose answer it is.", default=None, foreign_key="llm_call.id")
    numbers: str = _text("JSON list of what was read from it: scores, or counts; null where there is none.")
    __table_args__ = (
        ForeignKeyConstraint(["evaluation_id"], ["evaluation.id"], ondelete="CASCADE"),
        CheckConstraint(f"status IN ({_STATUSES})", name="status"),
        _WITHOUT_ROWID,
    )


class ChatTurn(SQLModel, table=True):
    """One question of a chat and what the model said: a session is a run of `chat`."""

    __tablename__ = "chat_turn"
    run_id: int = Field(primary_key=True, foreign_key="run.id", description="The session.")
    position: int = Field(primary_key=True, description="Place in the session, from 0.")
    dialogue: int = _text("Which dialogue of the session, from 0; /reset and another image begin the next.")
    image: str = _text("Absolute path of the image, as the user named it.")
    image_sha256: str = _text("Of that file.")
    preprocessing: str = _text("How the file became the 8-bit picture that the model got; `none`: it is one.")
    model: str = _text("Model, as the user named it.")
    weights: str | None = _text("Folder of its weights, or the endpoint.", default=None)
    adapter: str = _text("JSON object of what the loaded model says of itself.")
    task: str = _text("conversation, report, region, abnormality or phrase.")
    prompt: str = _text("What was asked.")
    status: str = _text("As in `parsed`.")
    text: str = _text("Raw text.")
    boxes: str | None = _text("JSON list of the boxes in it; NULL where the model writes none.", default=None)
    parser: str = _text("Name and version of what read status and boxes.")
    seen_width: int | None = _text("Columns of the picture as the model got it.", default=None)
    seen_height: int | None = _text("Rows of the picture as the model got it.", default=None)
    tokens_in: int | None = _text("Tokens of the prompt, pictures included.", default=None)
    tokens_out: int | None = _text("New tokens.", default=None)
    latency_ms: int = _text("Time of the answer.")
    error: str | None = _text("Why there is no answer.", default=None)
    at: str = _text("When it was answered.")
    __table_args__ = (CheckConstraint(f"status IN ({_STATUSES})", name="status"), _WITHOUT_ROWID)


class Spool(SQLModel, table=True):
    """How far a worker's spool file has been taken in."""

    run_id: int = Field(primary_key=True, foreign_key="run.id", description="The run.")
    file: str = Field(primary_key=True, description="File name in the run's folder.")
    offset: int = _text("Bytes taken in.")
    __table_args__ = (_WITHOUT_ROWID,)


class Event(SQLModel, table=True):
    """One line of a worker's spool: a training step, a log line, a heartbeat."""

    run_id: int = Field(primary_key=True, foreign_key="run.id", description="The run.")
    file: str = Field(primary_key=True, description="Spool file that it came from.")
    offset: int = Field(primary_key=True, description="Byte offset of the line; a line read twice is one row.")
    kind: str = _text("What it tells, e.g. `step`.")
    body: str = _text("JSON object.")
    # The views on training look for later starts by it, and say so: SQLite would rather walk all later events.
    __table_args__ = (Index(None, "run_id", "kind", "file", "offset"), _WITHOUT_ROWID)


VIEWS: dict[str, tuple[str, str]] = {
    "image_label": (
        "One row per image and finding that is mentioned.",
        "SELECT image.id AS image_id, image.source, image.image_id AS name, image.split, "
        "json_each.key AS finding, json_each.value AS value FROM image, json_each(image.labels)",
    ),
    "grounded_image": (
        "Groundings with the image that they lie on.",
        "SELECT grounding.source, image.source AS image_source, image.image_id AS name, image.patient_id, "
        "image.study_id, image.split AS image_split, grounding.split, grounding.ordinal, grounding.kind, "
        "grounding.label, grounding.phrase, grounding.boxes, image.path, image.width, image.height "
        "FROM grounding JOIN image ON image.id = grounding.image_id",
    ),
    "region": (
        "One row per image and anatomical region.",
        "SELECT grounding.source, image.source AS image_source, image.image_id AS name, image.split AS image_split, "
        "grounding.split, json_each.key AS region, json_each.value AS boxes "
        "FROM grounding JOIN image ON image.id = grounding.image_id, json_each(grounding.boxes) "
        "WHERE grounding.kind = 'region'",
    ),
    "llm_spending": (
        "Calls, tokens and dollars by stage's prompt, model and status.",
        "SELECT prompt.name AS prompt, prompt.model, llm_call.provider, llm_call.tier, llm_call.status, "
        "count(*) AS calls, sum(input_tokens) AS input_tokens, sum(cached_tokens) AS cached_tokens, "
        "sum(output_tokens) AS output_tokens, sum(cost) AS cost, avg(latency_ms) AS latency_ms, "
        "sum(attempts) AS attempts FROM llm_call JOIN prompt ON prompt.id = llm_call.prompt_id "
        "GROUP BY prompt.name, prompt.model, llm_call.provider, llm_call.tier, llm_call.status",
    ),
    "quarantined": (
        "Generated texts that wait for a person, with the reason.",
        "SELECT quarantine.stage, quarantine.subject AS source, quarantine.step, quarantine.item, outcome.reason, "
        "quarantine.origin, quarantine.attempt, quarantine.call_id, quarantine.candidate, quarantine.words "
        "FROM quarantine LEFT JOIN outcome ON outcome.stage = quarantine.stage "
        "AND outcome.subject = quarantine.subject AND outcome.step = quarantine.step "
        "AND outcome.item = quarantine.item",
    ),
    "problem": (
        "How many items are skipped or failed, by reason.",
        "SELECT stage, subject, step, status, reason, count(*) AS items FROM outcome "
        "GROUP BY stage, subject, step, status, reason",
    ),
    "dataset_component": (
        "The components of complete datasets, expected beside found.",
        "SELECT dataset.name AS dataset, component.name, component.task, component.source, component.repeat, "
        "component.expected, component.found, component.unusable, component.leaked, component.removed, "
        "component.pairs, component.remark "
        "FROM component JOIN dataset ON dataset.id = component.dataset_id WHERE dataset.status = 'complete'",
    ),
    "pair_provenance": (
        "From a pair's id to the records and files that it came from.",
        "SELECT dataset.name AS dataset, pair.pair_id, component.name AS component, component.task, "
        "image.source AS image_source, image.image_id AS image, image.patient_id, image.study_id, image.path, "
        "pair.report_id, curated_text.origin AS text_origin, curated_text.call_id AS text_call, "
        "text_file.path AS text_file, "
        "CASE grounding.kind WHEN 'region' THEN (SELECT key FROM (SELECT key, row_number() OVER (ORDER BY key) - 1 "
        "AS place FROM json_each(grounding.boxes)) WHERE place = pair.grounding) ELSE grounding.label END AS label, "
        "grounding.phrase, "
        "CASE grounding.kind WHEN 'region' THEN (SELECT value FROM (SELECT value, row_number() OVER (ORDER BY key) - 1 "
        "AS place FROM json_each(grounding.boxes)) WHERE place = pair.grounding) ELSE grounding.boxes END AS boxes, "
        "conversation.origin AS conversation_origin, conversation.call_id AS conversation_call, "
        "conversation_file.path AS conversation_file, image.run_id "
        "FROM pair JOIN dataset ON dataset.id = pair.dataset_id "
        "JOIN component ON component.dataset_id = pair.dataset_id AND component.position = pair.component "
        "JOIN image ON image.id = pair.image_id "
        "LEFT JOIN curated_text ON curated_text.id = pair.curated_text_id "
        "LEFT JOIN artifact AS text_file ON text_file.id = curated_text.artifact_id "
        "LEFT JOIN grounding ON grounding.source = component.source AND grounding.image_id = pair.image_id "
        "AND grounding.ordinal = iif(component.task = 'region-grounding', 0, pair.grounding) "
        "LEFT JOIN conversation ON conversation.id = pair.conversation_id "
        "LEFT JOIN artifact AS conversation_file ON conversation_file.id = conversation.artifact_id",
    ),
    "training_step": (
        "One row per run and optimizer step; steps that a resume did again count once, as they were done last.",
        "SELECT event.run_id, json_extract(event.body, '$.step') AS step, json_extract(event.body, "
        "'$.consumed_samples') AS consumed_samples, json_extract(event.body, '$.loss') AS loss, "
        "json_extract(event.body, '$.learning_rates.language') AS learning_rate, json_extract(event.body, "
        "'$.learning_rates.vision') AS vision_learning_rate, json_extract(event.body, '$.gradient_norm') AS "
        "gradient_norm, json_extract(event.body, '$.tokens') AS tokens, json_extract(event.body, '$.samples') AS "
        "samples, json_extract(event.body, '$.step_s') AS step_s, json_extract(event.body, '$.tokens_per_s') AS "
        "tokens_per_s, json_extract(event.body, '$.samples_per_s') AS samples_per_s, json_extract(event.body, "
        "'$.mfu') AS mfu, json_extract(event.body, '$.memory_gib') AS memory_gib, json_extract(event.body, "
        "'$.data_wait_s') AS data_wait_s, json_extract(event.body, '$.at') AS at FROM event WHERE event.kind = "
        "'step' "
        "AND NOT EXISTS (SELECT 1 FROM event AS later INDEXED BY ix_event_run_id_kind_file_offset "
        "WHERE later.run_id = event.run_id AND later.kind = 'started' "
        "AND later.file = event.file AND later.offset > event.offset "
        "AND coalesce(json_extract(later.body, '$.resumed_from'), 0) < json_extract(event.body, '$.step'))",
    ),
    "training_evaluation": (
        "Loss on held-out pairs, per run, step and task.",
        "SELECT event.run_id, json_extract(event.body, '$.step') AS step, json_each.key AS task, "
        "json_extract(json_each.value, '$.loss') AS loss, json_extract(json_each.value, '$.samples') AS samples, "
        "json_extract(json_each.value, '$.tokens') AS tokens, json_extract(event.body, '$.at') AS at FROM event, "
        "json_each(event.body, '$.losses') WHERE event.kind = 'evaluation' "
        "AND NOT EXISTS (SELECT 1 FROM event AS later INDEXED BY ix_event_run_id_kind_file_offset "
        "WHERE later.run_id = event.run_id AND later.kind = 'started' "
        "AND later.file = event.file AND later.offset > event.offset "
        "AND coalesce(json_extract(later.body, '$.resumed_from'), 0) < json_extract(event.body, '$.step'))",
    ),
    "dropped_pair": (
        "Pairs that a training run left out, and why.",
        "SELECT event.run_id, json_extract(event.body, '$.pair_id') AS pair_id, json_extract(event.body, "
        "'$.reason') AS reason FROM event WHERE event.kind = 'dropped' GROUP BY 1, 2",
    ),
    "evaluation_result": (
        "Every metric of every evaluation, with its interval.",
        "SELECT evaluation.id AS evaluation_id, evaluation.model, test_set.name AS test_set, test_set.task, "
        "test_set.source, evaluation.status, score.metric, score.part, score.value, score.low, score.high, score.n, "
        "score.clusters, score.coverage, score.remark, test_set.expected FROM score "
        "JOIN evaluation ON evaluation.id = score.evaluation_id JOIN test_set ON test_set.id = evaluation.test_set_id",
    ),
    "prediction_view": (
        "Predictions beside what was asked, what is right, and what the parsers read.",
        "SELECT evaluation.id AS evaluation_id, evaluation.model, test_set.name AS test_set, test_set.task, "
        "test_sample.position, test_sample.sample_id, test_sample.patient_id, test_sample.study_id, test_sample.sex, "
        "test_sample.age, test_sample.view, test_sample.path, test_sample.subject, test_sample.reference, "
        "prediction.prompt, prediction.status, prediction.text, prediction.error, prediction.tokens_in, "
        "prediction.tokens_out, prediction.latency_ms, prediction.worker, prediction.attempt, prediction.at, "
        "parsed.parser, parsed.status AS parsed_status, parsed.content FROM prediction "
        "JOIN evaluation ON evaluation.id = prediction.evaluation_id "
        "JOIN test_set ON test_set.id = evaluation.test_set_id "
        "JOIN test_sample ON test_sample.test_set_id = test_set.id AND test_sample.position = prediction.position "
        "LEFT JOIN parsed ON parsed.evaluation_id = prediction.evaluation_id AND parsed.position = prediction.position",
    ),
}
"""Views with stable names: name -> (what it shows, SELECT). A migration creates each as it stood at the time."""
