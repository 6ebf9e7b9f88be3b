"""What cells of Datasette's tables lead to. Registered with Datasette once; it has no state."""

from __future__ import annotations

import re
from typing import Any

from datasette import hookimpl
from markupsafe import Markup, escape

from radvlm_cli.stages.serving.read_only import NAME

_PREDICTION = re.compile(r"\d{1,18}/\d{1,18}")
_ADDRESS = re.compile(r"\s*https?://", re.IGNORECASE)


@hookimpl  # type: ignore[untyped-decorator]
def render_cell(row: Any, value: Any, column: str, table: str | None, database: str) -> Markup | None:
    """A link to the page of a prediction, a picture or a run; None: as Datasette shows it.

    What looks like an address stays text: models and reports write it, and a click would tell its host.
    """
    if database != NAME:
        return None
    if isinstance(value, str):
        if column == "prediction" and _PREDICTION.fullmatch(value):
            return _link(f"/prediction/{value}", value)
        if column == "path" and table == "image":
            return _link(f"/picture/image/{_plain(row['id'])}.jpg", value)
        if column == "path" and table == "test_sample":
            return _link(f"/picture/sample/{_plain(row['test_set_id'])}/{_plain(row['position'])}.jpg", value)
        return escape(value) if _ADDRESS.match(value) else None
    if not isinstance(value, int):
        return None
    has = set(row.keys())
    if column == "position" and "evaluation_id" in has and table != "score":
        return _link(f"/prediction/{_plain(row['evaluation_id'])}/{value}", str(value))
    if column == "run" and table is None:
        return _link(f"/{NAME}/run/{value}", str(value))
    if column == "evaluation_id" and table is None:
        return _link(f"/{NAME}/evaluation/{value}", str(value))
    return None


def _plain(value: Any) -> Any:
    """A key by itself: Datasette puts a label beside keys of other tables."""
    return value["value"] if isinstance(value, dict) else value


def _link(href: str, words: str) -> Markup:
    return Markup('<a href="{}">{}</a>').format(href, words)
