"""What worker processes tell through their spool files."""

from __future__ import annotations

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from radvlm_cli.store.tables.columns import WITHOUT_ROWID, column


class Spool(SQLModel, table=True):
    """How far a worker's spool file has been taken in."""

    run_id: int = Field(primary_key=True, foreign_key="run.id", description="The run.")
    file: str = Field(primary_key=True, description="File name in the run's folder.")
    offset: int = column("Bytes taken in.")
    __table_args__ = (WITHOUT_ROWID,)


class Event(SQLModel, table=True):
    """One line of a worker's spool: a training step, a log line, a heartbeat."""

    run_id: int = Field(primary_key=True, foreign_key="run.id", description="The run.")
    file: str = Field(primary_key=True, description="Spool file that it came from.")
    offset: int = Field(primary_key=True, description="Byte offset of the line; a line read twice is one row.")
    kind: str = column("What it tells, e.g. `step`.")
    body: str = column("JSON object.")
    # The views on training look for later starts by it, and say so: SQLite would rather walk all later events.
    __table_args__ = (Index(None, "run_id", "kind", "file", "offset"), WITHOUT_ROWID)
