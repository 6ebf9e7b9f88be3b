"""What every command leaves behind: its run, its outcomes, the files that it wrote."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Index, UniqueConstraint
from sqlmodel import Field, SQLModel

from radvlm_cli.store.tables.columns import WITHOUT_ROWID, column


class Run(SQLModel, table=True):
    """One invocation of a command that writes to the store."""

    id: int | None = Field(default=None, primary_key=True)
    command: str = column("Stage name, e.g. `prepare`.")
    arguments: str = column("JSON object of the options in force, defaults included; no secrets.")
    config_hash: str = column("Hash of command and arguments; `--resume` refuses if it differs.")
    version: str = column("radvlm version.")
    python: str = column("Python version and platform.")
    git_commit: str | None = column("Commit of the checkout that the code ran from, if it was one.", default=None)
    git_dirty: int | None = column("1 if that checkout had uncommitted changes.", default=None)
    host: str = column("Host name.")
    pid: int = column("Process id on that host.")
    started_at: str = column("When the run began.")
    heartbeat_at: str = column("Last sign of life; a running run without one for a minute is dead.")
    ended_at: str | None = column("When it ended.", default=None)
    status: str = column("running, done, failed, interrupted, or partial (finished with failed items).")
    message: str | None = column("Why it failed or stopped.", default=None)
    resumed: int = column("How often `--resume` continued it.", default=0)
    __table_args__ = (
        CheckConstraint("status IN ('running','done','partial','failed','interrupted')", name="status"),
        Index(None, "command", "started_at"),
    )


class Tally(SQLModel, table=True):
    """A count that a run printed."""

    run_id: int = Field(primary_key=True, foreign_key="run.id", description="The run that counted.")
    subject: str = Field(primary_key=True, description="Source or component that was counted.")
    name: str = Field(primary_key=True, description="What was counted, e.g. `images` or `reports skipped`.")
    value: int = column("The count.")
    __table_args__ = (WITHOUT_ROWID,)


class Outcome(SQLModel, table=True):
    """An item that is not, or not wholly, there, and why: the state after the last run of the step."""

    stage: str = Field(primary_key=True, description="Stage, e.g. `prepare`.")
    subject: str = Field(primary_key=True, description="Source or component.")
    step: str = Field(primary_key=True, description="Part of the stage: images, reports, conversions, groundings, ...")
    item: str = Field(primary_key=True, description="The dataset's own id of the image, study, file or box.")
    status: str = column("skipped or failed.")
    reason: str = column("One sentence without the item's id.")
    run_id: int = column("The run that met it.", foreign_key="run.id")
    __table_args__ = (CheckConstraint("status IN ('skipped','failed')", name="status"), WITHOUT_ROWID)


class Step(SQLModel, table=True):
    """A finished part of `prepare` and what it was made from, so that a rerun does only what is missing."""

    subject: str = Field(primary_key=True, description="Source.")
    step: str = Field(primary_key=True, description="images, reports, conversions, groundings, ...")
    fingerprint: str = column("Hash of input files (path, bytes, modification time), options and reader version.")
    run_id: int = column("The run that finished it.", foreign_key="run.id")
    __table_args__ = (WITHOUT_ROWID,)


class Artifact(SQLModel, table=True):
    """A file that the program wrote, or found written by an earlier one and adopted."""

    id: int | None = Field(default=None, primary_key=True)
    root: str = column("data, derived, output or run: what `path` is relative to.")
    path: str = column("POSIX path relative to the root (absolute for root `output`).")
    kind: str = column("image, reports, boxes, resolutions, filtered_report, conversation, dataset, card, ...")
    origin: str = column("written or adopted.")
    key: str | None = column("Hash of what decides the content, where the file is made from something.", default=None)
    sha256: str = column("Of the bytes.")
    bytes: int = column("File size.")
    mtime_ns: int = column("Modification time when it was hashed, nanoseconds.")
    run_id: int = column("The run that wrote or adopted it.", foreign_key="run.id")
    __table_args__ = (
        UniqueConstraint("root", "path"),
        CheckConstraint("origin IN ('written','adopted')", name="origin"),
    )
