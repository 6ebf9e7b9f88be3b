"""Generated texts and dialogues: which items there are, what is known of each, and how a verdict is written."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from radvlm_cli.store.components import FRONTAL, image_owner
from radvlm_cli.store.engine import Store
from radvlm_cli.store.queries import OWN_I

_PAGE = 2000
"""Items per read: a read that lasted as long as a job would keep the write-ahead log from being folded back."""

TEXT_SQL = (
    "INSERT INTO curated_text (source, study_id, text, origin, key, call_id, reviewed, run_id) "
    "VALUES (?,?,?,?,?,(SELECT id FROM llm_call WHERE key = ?),?,?) ON CONFLICT (source, study_id) DO UPDATE SET "
    "text=excluded.text, origin=excluded.origin, key=excluded.key, call_id=excluded.call_id, "
    "reviewed=excluded.reviewed, artifact_id=NULL, run_id=excluded.run_id"
)
DIALOGUE_SQL = (
    "INSERT INTO conversation (source, image_id, kind, split, turns, origin, key, call_id, reviewed, run_id) "
    "VALUES (?,?,?,?,?,?,?,(SELECT id FROM llm_call WHERE key = ?),?,?) ON CONFLICT (source, image_id, kind) "
    "DO UPDATE SET split=excluded.split, turns=excluded.turns, origin=excluded.origin, key=excluded.key, "
    "call_id=excluded.call_id, reviewed=excluded.reviewed, artifact_id=NULL, run_id=excluded.run_id"
)
QUARANTINE_SQL = (
    "INSERT OR REPLACE INTO quarantine (stage, subject, step, item, key, candidate, words, origin, call_id, attempt, "
    "run_id) VALUES (?,?,?,?,?,?,?,?,(SELECT id FROM llm_call WHERE key = ?),?,?)"
)
RELEASE_SQL = "DELETE FROM quarantine WHERE stage=? AND subject=? AND step=? AND item=?"
FORGET_OUTCOME_SQL = "DELETE FROM outcome WHERE stage=? AND subject=? AND step=? AND item=?"
DROP_TEXT_SQL = "DELETE FROM curated_text WHERE source=? AND study_id=? AND origin <> 'adopted' AND reviewed IS NULL"
DROP_DIALOGUE_SQL = (
    "DELETE FROM conversation WHERE source=? AND image_id=? AND kind=? AND origin <> 'adopted' AND reviewed IS NULL"
)


class Known(NamedTuple):
    """What the store says of an item."""

    key: bytes | None
    """Of its text or dialogue; None if there is none, or it was adopted."""
    origin: str | None
    reviewed: str | None
    outcome: str | None
    """skipped or failed, if it was."""
    quarantine: bytes | None
    """Key of what is quarantined."""
    attempt: int

    @property
    def untouchable(self) -> bool:
        """Whether the text is somebody else's: adopted from a file, or a person's."""
        return self.origin == "adopted" or self.reviewed is not None


class StudyItem(NamedTuple):
    """A report that may be curated."""

    study_id: str
    findings: str | None
    impression: str | None
    last_paragraph: str | None
    known: Known


class ImageItem(NamedTuple):
    """An image that may be talked about."""

    image: int
    """Row id."""
    image_id: str
    split: str | None
    view: str | None
    sex: str | None
    labels: str | None
    """JSON object."""
    text: str | None
    """The curated report of its study."""
    groundings: str | None
    """JSON list of [phrase, label, boxes]."""
    known: Known


def studies(store: Store, source: str, splits: Sequence[str]) -> array[int]:
    """Row ids of the reports of a source in some splits (empty: all).

    Only reports of frontal images are trained on, so others are not paid for; a source whose images do not tell their
    view takes part with every report.
    """
    where, parameters = _in_splits("r.split", splits)
    sql = f"SELECT r.id FROM report r WHERE r.source = ? AND {where}"
    parameters = [source, *parameters]
    if source in FRONTAL:
        sql += f" AND r.study_id IN (SELECT i.study_id FROM image i WHERE {OWN_I} AND {FRONTAL[source]})"
        parameters += [source] * 3
    return array("q", (row_id for (row_id,) in store.rows(f"{sql} ORDER BY r.id", parameters)))


def study_items(store: Store, source: str, ids: Sequence[int]) -> Iterator[StudyItem]:
    """The reports with these row ids, in pages."""
    sql = (
        "SELECT r.study_id, r.findings, r.impression, coalesce(r.last_paragraph, r.text), "
        "c.key, c.origin, c.reviewed, o.status, q.key, coalesce(q.attempt, 0) FROM json_each(?) j "
        "CROSS JOIN report r ON r.id = j.value "
        "LEFT JOIN curated_text c ON c.source = r.source AND c.study_id = r.study_id "
        "LEFT JOIN outcome o ON o.stage = 'curate' AND o.subject = r.source AND o.step = 'texts' "
        "AND o.item = r.study_id "
        "LEFT JOIN quarantine q ON q.stage = 'curate' AND q.subject = r.source AND q.step = 'texts' "
        "AND q.item = r.study_id ORDER BY j.key"
    )
    for row in _pages(store, sql, ids):
        yield StudyItem._make((*row[:4], Known._make(row[4:])))


def dialogue_images(store: Store, source: str, kind: str, splits: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Row id and name of the images that a kind of dialogue can be about, in some splits (empty: all)."""
    where, parameters = _in_splits("i.split", splits)
    owner = image_owner(source)
    if kind == "standard":
        needed = "EXISTS (SELECT 1 FROM curated_text c WHERE c.source = i.source AND c.study_id = i.study_id)"
        extra: list[str] = []
    else:
        needed = "EXISTS (SELECT 1 FROM grounding g WHERE g.source = ? AND g.image_id = i.id AND g.boxes <> '[]')"
        extra = [source]
    sql = (
        f"SELECT i.id, i.image_id FROM image i WHERE {OWN_I} AND {FRONTAL.get(owner, '1')} "
        f"AND i.status <> 'failed' AND {where} AND {needed} ORDER BY i.id"
    )
    yield from store.rows(sql, (*[owner] * 3, *parameters, *extra))


def image_items(store: Store, source: str, kind: str, ids: Sequence[int]) -> Iterator[ImageItem]:
    """The images with these row ids, in pages, with all that a dialogue about them may use."""
    sql = (
        "SELECT i.id, i.image_id, i.split, i.view, i.sex, i.labels, c.text, "
        "(SELECT json_group_array(json_array(phrase, label, json(boxes))) FROM (SELECT phrase, label, boxes "
        "FROM grounding g WHERE g.source = ?1 AND g.image_id = i.id AND g.kind = 'phrase' ORDER BY g.ordinal)), "
        "v.key, v.origin, v.reviewed, o.status, q.key, coalesce(q.attempt, 0) FROM json_each(?3) j "
        "CROSS JOIN image i ON i.id = j.value "
        "LEFT JOIN curated_text c ON c.source = i.source AND c.study_id = i.study_id "
        "LEFT JOIN conversation v ON v.source = ?1 AND v.image_id = i.id AND v.kind = ?2 "
        "LEFT JOIN outcome o ON o.stage = 'converse' AND o.subject = ?1 AND o.step = ?2 AND o.item = i.image_id "
        "LEFT JOIN quarantine q ON q.stage = 'converse' AND q.subject = ?1 AND q.step = ?2 AND q.item = i.image_id "
        "ORDER BY j.key"
    )
    for row in _pages(store, sql, ids, source, kind):
        yield ImageItem._make((*row[:8], Known._make(row[8:])))


def _pages(store: Store, sql: str, ids: Sequence[int], *before: str) -> Iterator[tuple[Any, ...]]:
    for start in range(0, len(ids), _PAGE):
        page = list(ids[start : start + _PAGE])
        yield from list(store.rows(sql, (*before, str(page))))


def _in_splits(column: str, splits: Sequence[str]) -> tuple[str, list[str]]:
    if not splits:
        return "1", []
    return f"{column} IN ({', '.join('?' * len(splits))})", list(splits)
