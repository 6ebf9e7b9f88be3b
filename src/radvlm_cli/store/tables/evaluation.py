"""Test sets, what models answer, and what the answers are worth; what was said in chats."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, UniqueConstraint
from sqlmodel import Field, SQLModel

from radvlm_cli.store.tables.columns import STATUSES, WITHOUT_ROWID, column


class TestSet(SQLModel, table=True):
    """The samples of one component of an evaluation dataset, frozen: what a model is asked, and what is right."""

    __tablename__ = "test_set"
    __test__ = False  # pytest would take the class for tests
    id: int | None = Field(default=None, primary_key=True)
    key: str = column("SHA-256 of name, task, options and samples (ids, images, questions, references); not of places.")
    name: str = column("Component name.")
    task: str = column("report, classification, region, abnormality, phrase, detection or conversation.")
    source: str = column("Source.")
    dataset_id: int | None = column(
        "The dataset that it was frozen from last.", default=None, foreign_key="dataset.id", ondelete="SET NULL"
    )
    options: str = column("JSON list of the findings to choose among, for classification and detection.")
    samples: int = column("Number of samples.")
    patients: int = column("Different patients; studies or images where the source names no patients.")
    expected: int | None = column("Samples in the published evaluation.", default=None)
    run_id: int = column("The run that froze it.", foreign_key="run.id")
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
    sample_id: str = column("Id of the pair.")
    image_id: int | None = column("Row of the image when it was frozen.", default=None)
    path: str = column("Absolute path of the 8-bit file when it was frozen.")
    patient_id: str | None = column("The dataset's own id: the cluster for confidence intervals.", default=None)
    study_id: str | None = column("The dataset's own id.", default=None)
    sex: str | None = column("F or M.", default=None)
    age: int | None = column("Years.", default=None)
    view: str | None = column("As the dataset writes it.", default=None)
    width: int | None = column("Columns of the original image, pixels.", default=None)
    height: int | None = column("Rows of the original image, pixels.", default=None)
    subject: str | None = column("Region, finding or phrase to be located.", default=None)
    indication: str | None = column("Why the study was made, where the report says.", default=None)
    turns: str = column("JSON list of the human's turns, in the wording of the dataset.")
    reference: str = column(
        'JSON object. report: {"text"}; classification: {"labels": {finding: 1, 0 or -1}, "positive": [...]}; '
        'region, abnormality, phrase: {"boxes": [...]}; detection: {"boxes": {finding: [...]}}; '
        'conversation: {"turns": [[role, text], ...]}.'
    )
    __table_args__ = (
        ForeignKeyConstraint(["test_set_id"], ["test_set.id"], ondelete="CASCADE"),
        WITHOUT_ROWID,
    )


class Evaluation(SQLModel, table=True):
    """One model's answers to one test set, under conditions that decide the answers."""

    id: int | None = Field(default=None, primary_key=True)
    key: str = column("Hash of `identity`.")
    test_set_id: int = column("The test set.", foreign_key="test_set.id")
    model: str = column("Model, as the user named it.")
    weights: str | None = column("Folder of its weights, or the endpoint.", default=None)
    identity: str = column(
        "JSON object of all that decides an answer: model, weights' hash, prompts, preprocessing, decoding, dtype, "
        "backend with versions, batching, protocol and test set. The parser is not among it."
    )
    adapter: str | None = column(
        "JSON object of what the loaded model says of itself; it stays the same for all answers.", default=None
    )
    folder: str = column("Folder of the run that began it.")
    status: str = column("building, or complete: every sample has a prediction, failures included.")
    run_id: int = column("The run that began it.", foreign_key="run.id")
    created_at: str = column("When it was begun.")
    __table_args__ = (
        UniqueConstraint("key"),
        CheckConstraint("status IN ('building','complete')", name="status"),
        Index(None, "test_set_id"),
    )


class Answering(SQLModel, table=True):
    """What a run of `eval` works on, and where: one row beside its row in `run`."""

    run_id: int = Field(primary_key=True, foreign_key="run.id", description="The run.")
    folder: str = column("The run's own folder: manifest, spools and logs of its workers.")
    evaluations: str = column("JSON list of the evaluations that it works on.")
    job_id: str | None = column("SLURM job that answers, if it was submitted.", default=None)
    __table_args__ = (WITHOUT_ROWID,)


class Prediction(SQLModel, table=True):
    """What a model said to one sample: its raw text, or why there is none."""

    evaluation_id: int = Field(primary_key=True, description="The evaluation.")
    position: int = Field(primary_key=True, description="The sample's place in the test set.")
    status: str = column("ok, empty, truncated (at most new tokens), refused, or error (asked again by the next run).")
    text: str = column("Raw text; for conversations a JSON list of the answers, one per round.")
    prompt: str = column("What was asked; for conversations a JSON list of the human's turns.")
    seen_width: int | None = column("Columns of the picture as the model got it.", default=None)
    seen_height: int | None = column("Rows of the picture as the model got it.", default=None)
    tokens_in: int | None = column("Tokens of the prompt, pictures included; of all rounds.", default=None)
    tokens_out: int | None = column("New tokens; of all rounds.", default=None)
    latency_ms: int | None = column("The sample's share of the time of its batches.", default=None)
    worker: str = column("Host and rank that asked.")
    attempt: int = column("Which try of this sample it was, from 1; a later one replaces an earlier.")
    error: str | None = column("Why there is no answer.", default=None)
    run_id: int = column("The run that asked.", foreign_key="run.id")
    at: str = column("When it was answered.")
    __table_args__ = (
        ForeignKeyConstraint(["evaluation_id"], ["evaluation.id"], ondelete="CASCADE"),
        CheckConstraint(f"status IN ({STATUSES})", name="status"),
        Index("ix_prediction_status", "status", "evaluation_id"),
        WITHOUT_ROWID,
    )


class Parsed(SQLModel, table=True):
    """What a parser read from a prediction."""

    evaluation_id: int = Field(primary_key=True, description="The evaluation.")
    position: int = Field(primary_key=True, description="The sample's place in the test set.")
    parser: str = Field(primary_key=True, description="Name and version, e.g. `boxes:radvlm/1`.")
    status: str = column(
        "How it was read: ok, unparsable, refused, or as the prediction failed. What was cut off is ok where it is "
        "scored for what there is of it."
    )
    content: str = column("JSON: boxes, findings with their evidence, or text, as the task has it.")
    __table_args__ = (
        ForeignKeyConstraint(["evaluation_id"], ["evaluation.id"], ondelete="CASCADE"),
        CheckConstraint(f"status IN ({STATUSES})", name="status"),
        Index("ix_parsed_status", "evaluation_id", "status"),
        WITHOUT_ROWID,
    )


class SampleScore(SQLModel, table=True):
    """The numbers of a sample from which a family of metrics is computed: sums of them give every metric."""

    __tablename__ = "sample_score"
    evaluation_id: int = Field(primary_key=True, description="The evaluation.")
    family: str = Field(primary_key=True, description="Family of metrics, e.g. `bleu`.")
    position: int = Field(primary_key=True, description="The sample's place in the test set.")
    version: int = column("Of the family.")
    status: str = column("Of the answer that was scored.")
    numbers: str = column("JSON list in the order of the family's columns; null where there is none.")
    __table_args__ = (
        ForeignKeyConstraint(["evaluation_id"], ["evaluation.id"], ondelete="CASCADE"),
        CheckConstraint(f"status IN ({STATUSES})", name="status"),
        WITHOUT_ROWID,
    )


class Score(SQLModel, table=True):
    """One metric of an evaluation, with its confidence interval."""

    evaluation_id: int = Field(primary_key=True, description="The evaluation.")
    metric: str = Field(primary_key=True, description="Metric.")
    part: str = Field(primary_key=True, description="Empty: all samples; a finding; or parsed-only.")
    value: float | None = column("NULL where it is not defined, or cannot be computed here (see remark).", default=None)
    low: float | None = column("Lower end of the 95 % interval.", default=None)
    high: float | None = column("Upper end of the 95 % interval.", default=None)
    n: int = column("Samples.")
    clusters: int = column("Patients; studies or images where the source names no patients.")
    coverage: float | None = column("Share of samples whose answer could be scored.", default=None)
    family: str = column("Family of metrics.")
    version: int = column("Of the family.")
    remark: str | None = column("Why there is no value, or what to know of it.", default=None)
    __table_args__ = (
        ForeignKeyConstraint(["evaluation_id"], ["evaluation.id"], ondelete="CASCADE"),
        WITHOUT_ROWID,
    )


class Judgement(SQLModel, table=True):
    """What a judging language model said of a prediction."""

    evaluation_id: int = Field(primary_key=True, description="The evaluation.")
    judge: str = Field(primary_key=True, description="Judge, model and version of its prompt.")
    position: int = Field(primary_key=True, description="The sample's place in the test set.")
    status: str = column("Of the judgement.")
    text: str = column("As the judge wrote it.")
    call_id: int | None = column("The call whose answer it is.", default=None, foreign_key="llm_call.id")
    numbers: str = column("JSON list of what was read from it: scores, or counts; null where there is none.")
    __table_args__ = (
        ForeignKeyConstraint(["evaluation_id"], ["evaluation.id"], ondelete="CASCADE"),
        CheckConstraint(f"status IN ({STATUSES})", name="status"),
        WITHOUT_ROWID,
    )


class ChatTurn(SQLModel, table=True):
    """One question of a chat and what the model said: a session is a run of `chat`."""

    __tablename__ = "chat_turn"
    run_id: int = Field(primary_key=True, foreign_key="run.id", description="The session.")
    position: int = Field(primary_key=True, description="Place in the session, from 0.")
    dialogue: int = column("Which dialogue of the session, from 0; /reset and another image begin the next.")
    image: str = column("Absolute path of the image, as the user named it; of one uploaded to the page the name alone.")
    image_sha256: str = column("Of that file.")
    preprocessing: str = column("How the file became the 8-bit picture that the model got; `none`: it is one.")
    model: str = column("Model, as the user named it.")
    weights: str | None = column("Folder of its weights, or the endpoint.", default=None)
    adapter: str = column("JSON object of what the loaded model says of itself.")
    task: str = column("conversation, report, region, abnormality or phrase.")
    prompt: str = column("What was asked.")
    status: str = column("As in `parsed`.")
    text: str = column("Raw text.")
    boxes: str | None = column("JSON list of the boxes in it; NULL where the model writes none.", default=None)
    parser: str = column("Name and version of what read status and boxes.")
    seen_width: int | None = column("Columns of the picture as the model got it.", default=None)
    seen_height: int | None = column("Rows of the picture as the model got it.", default=None)
    tokens_in: int | None = column("Tokens of the prompt, pictures included.", default=None)
    tokens_out: int | None = column("New tokens.", default=None)
    latency_ms: int = column("Time of the answer.")
    error: str | None = column("Why there is no answer.", default=None)
    at: str = column("When it was answered.")
    __table_args__ = (CheckConstraint(f"status IN ({STATUSES})", name="status"), WITHOUT_ROWID)
