"""What all tables are made with."""

from __future__ import annotations

from typing import Any

from sqlmodel import Field, SQLModel

# Names for constraints, so that Alembic's batch mode can find them again.
SQLModel.metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

WITHOUT_ROWID: dict[str, Any] = {"sqlite_with_rowid": False}
STATUSES = "'ok','empty','unparsable','truncated','error','refused'"


def column(description: str, **options: Any) -> Any:
    """A column, and what it holds."""
    return Field(description=description, **options)
