"""Quarantine: look at generated texts that did not pass the checks, accept them, or write them anew."""

from __future__ import annotations

import json
from typing import Any

from radvlm_cli.errors import DataError
from radvlm_cli.instructions.conversation import encode, parse
from radvlm_cli.store.components import image_owner
from radvlm_cli.store.engine import Store
from radvlm_cli.store.generated import DIALOGUE_SQL, FORGET_OUTCOME_SQL, RELEASE_SQL, TEXT_SQL
from radvlm_cli.store.runs import Run

_COLUMNS = ("source", "step", "item", "reason", "origin", "attempt", "words", "candidate")


def list_quarantined(store: Store, stage: str, sources: list[str]) -> list[dict[str, Any]]:
    """What waits for a person, with reason and text."""
    marks = ", ".join("?" * len(sources))
    sql = f"SELECT {', '.join(_COLUMNS)} FROM quarantined WHERE stage = ? AND source IN ({marks}) ORDER BY 1, 2, 3"
    return [dict(zip(_COLUMNS, row, strict=True)) for row in store.rows(sql, (stage, *sources))]


def accept(run: Run, stage: str, sources: list[str], item: str) -> None:
    """Keep a quarantined text as it is."""
    source, step, candidate, origin = _find(run.store, stage, sources, item)
    if candidate is None:
        raise DataError(
            f"The answer about {item} holds no text to accept.", f"radvlm {stage} --source {source} --edit {item}"
        )
    _keep(run, stage, source, step, item, candidate, origin, "accepted")


def candidate_of(store: Store, stage: str, sources: list[str], item: str) -> str:
    """The quarantined text of an item, as a person edits it; '' if there is none."""
    _source, step, candidate, _origin = _find(store, stage, sources, item)
    if candidate is None or step == "texts":
        return candidate or ""
    turns = [{"from": role, "value": text} for role, text in json.loads(candidate)]
    return json.dumps(turns, indent=1, ensure_ascii=False)


def edit(run: Run, stage: str, sources: list[str], item: str, text: str) -> None:
    """Put a person's text in the place of a quarantined one."""
    source, step, _candidate, origin = _find(run.store, stage, sources, item)
    content = " ".join(text.split()) if step == "texts" else _encoded(text)
    if not content:
        raise DataError(f"The text for {item} is empty.", f"radvlm {stage} --source {source} --edit {item} --text FILE")
    _keep(run, stage, source, step, item, content, origin, "edited")


def _encoded(text: str) -> str:
    try:
        return encode(parse(json.loads(text)))
    except ValueError as error:
        raise DataError("The dialogue is not JSON.", "A list of {from, value}, human and gpt in turn") from error


def _find(store: Store, stage: str, sources: list[str], item: str) -> tuple[str, str, str | None, str]:
    marks = ", ".join("?" * len(sources))
    sql = (
        f"SELECT subject, step, candidate, origin FROM quarantine WHERE stage = ? AND item = ? AND subject IN ({marks})"
    )
    found = list(store.rows(sql, (stage, item, *sources)))
    if not found:
        raise DataError(f"{item} is not quarantined.", f"radvlm {stage} --source {sources[0]} --show failed")
    if len(found) > 1:
        raise DataError(f"{item} is quarantined for several sources.", f"--source {found[0][0]}")
    return found[0]


def _keep(run: Run, stage: str, source: str, step: str, item: str, content: str, origin: str, how: str) -> None:
    sql = (
        "SELECT q.key, c.key FROM quarantine q LEFT JOIN llm_call c ON c.id = q.call_id "
        "WHERE stage=? AND subject=? AND step=? AND item=?"
    )
    where = (stage, source, step, item)
    key, call = next(run.store.rows(sql, where))
    with run.store.write() as connection:
        if stage == "curate":
            connection.exec_driver_sql(TEXT_SQL, (source, item, content, origin, key, call, how, run.id))
        else:
            image, split = connection.exec_driver_sql(
                "SELECT id, split FROM image WHERE source = ? AND image_id = ?", (image_owner(source), item)
            ).one()
            row = (source, image, step, split, content, origin, key, call, how, run.id)
            connection.exec_driver_sql(DIALOGUE_SQL, row)
        connection.exec_driver_sql(RELEASE_SQL, where)
        connection.exec_driver_sql(FORGET_OUTCOME_SQL, where)
