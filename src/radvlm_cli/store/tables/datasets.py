"""What build writes, and what train makes of it."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index
from sqlmodel import Field, SQLModel

from radvlm_cli.store.tables.columns import WITHOUT_ROWID, column


class Dataset(SQLModel, table=True):
    """One built instruction dataset."""

    id: int | None = Field(default=None, primary_key=True)
    key: str | None = column("Hash of recipe, options and content; NULL while it is being built.", default=None)
    name: str = column("Recipe name, and stem of its files.")
    output: str = column("Folder that holds its files.")
    recipe: str = column("JSON of the recipe as it was used.")
    options: str = column("JSON of seed, protocol, label policy, leakage rule, format and image root.")
    sha256: str | None = column("Of the LLaVA JSON file.", default=None)
    pairs: int | None = column("Number of pairs written.", default=None)
    status: str = column("building or complete.")
    run_id: int = column("The run that built it.", foreign_key="run.id")
    __table_args__ = (CheckConstraint("status IN ('building','complete')", name="status"), Index(None, "name"))


class Component(SQLModel, table=True):
    """One line of a dataset's recipe, with what was expected and what was found."""

    dataset_id: int = Field(primary_key=True, description="The dataset.")
    position: int = Field(primary_key=True, description="Order in the recipe, from 0.")
    name: str = column("Component name, first part of its pairs' ids.")
    task: str = column("Task.")
    source: str = column("Source.")
    splits: str = column("JSON list of the splits that it takes.")
    repeat: int = column("How often each record is used.")
    record_limit: int | None = column("Records at most, sampled.", default=None)
    expected: int | None = column("Records in the published dataset, before repetition.", default=None)
    found: int = column("Records in the store that qualify.")
    unusable: int = column("Records left out because their image is missing or failed.")
    leaked: int = column("Records found by the leakage check.")
    removed: int = column("Records that the leakage check removed.")
    pairs: int = column("Pairs written: records x repeat.")
    remark: str | None = column("Why found differs from expected, where the store knows.", default=None)
    __table_args__ = (
        ForeignKeyConstraint(["dataset_id"], ["dataset.id"], ondelete="CASCADE"),
        WITHOUT_ROWID,
    )


class Pair(SQLModel, table=True):
    """One image-instruction pair of a dataset, and the records that it was made from."""

    dataset_id: int = Field(primary_key=True, description="The dataset.")
    position: int = Field(primary_key=True, description="Place in the dataset's files, from 0.")
    pair_id: str = column("The `id` in the files.")
    component: int = column("Position of its component.")
    image_id: int = column("The image.")
    report_id: int | None = column("The report that a curated text came from.", default=None)
    curated_text_id: int | None = column("The text that it teaches.", default=None)
    grounding: int | None = column(
        "Ordinal of the grounding (with the component's source and image_id); "
        "in region grounding the place of the region among the image's, by name, from 0.",
        default=None,
    )
    conversation_id: int | None = column("The dialogue that it teaches.", default=None)
    __table_args__ = (
        # Checked by `radvlm db check` rather than per row: a million pairs are written at once from ids just read.
        ForeignKeyConstraint(["dataset_id"], ["dataset.id"], ondelete="CASCADE"),
        WITHOUT_ROWID,
    )


class Leak(SQLModel, table=True):
    """A training record whose patient, study or image is also in an evaluation set."""

    dataset_id: int = Field(primary_key=True, description="The dataset that was checked.")
    component: int = Field(primary_key=True, description="Position of the component.")
    image_id: int = Field(primary_key=True, description="The image in training.")
    level: str = column("image, study or patient: the closest thing shared.")
    shared: str = column("Its id, with the cohort: `mimic patient 10000032`.")
    evaluation: str = column("Component of the evaluation recipe that holds it.")
    __table_args__ = (
        ForeignKeyConstraint(["dataset_id"], ["dataset.id"], ondelete="CASCADE"),
        WITHOUT_ROWID,
    )


class Training(SQLModel, table=True):
    """What a run of `train` works on, and where: one row beside its row in `run`."""

    run_id: int = Field(primary_key=True, foreign_key="run.id", description="The run.")
    folder: str = column("The run's own folder: manifest, spools, log, checkpoints.")
    recipe: str = column("Recipe, as the user named it.")
    model: str = column("Folder of the model that training starts from.")
    dataset_id: int | None = column(
        "The dataset, where this store knows it.", default=None, foreign_key="dataset.id", ondelete="SET NULL"
    )
    data_sha256: str = column("Of the dataset's Parquet file.")
    pairs: int = column("Pairs in that file.")
    job_id: str | None = column("SLURM job that trains, if it was submitted.", default=None)
    __table_args__ = (WITHOUT_ROWID,)


class Checkpoint(SQLModel, table=True):
    """A checkpoint of a run. The disk is the truth: a row is brought in line with it whenever `train` looks."""

    run_id: int = Field(primary_key=True, foreign_key="run.id", description="The run.")
    step: int = Field(primary_key=True, description="Optimizer steps done.")
    consumed_samples: int = column("Samples that went into it.")
    path: str = column("Absolute path of its folder.")
    bytes: int = column("Size of its files.")
    status: str = column("complete, or removed from the disk.")
    saved_at: str = column("When it was complete.")
    __table_args__ = (CheckConstraint("status IN ('complete','removed')", name="status"), WITHOUT_ROWID)
