"""Questions that the stages ask of the store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from radvlm_cli.store.engine import Store

OWN_IMAGES = (
    "image.id BETWEEN (SELECT min(id) FROM image WHERE source = ?1) AND (SELECT max(id) FROM image WHERE source = ?1) "
    "AND +image.source = ?1"
)
"""A source's images by row id: they lie together, so this reads them in order. + keeps SQLite from the index on source
and image id, which would jump about in the table."""

OWN_I = OWN_IMAGES.replace("image.", "i.").replace("?1", "?")
"""The same for `image i`, with the source as a parameter three times."""


class KnownImage(NamedTuple):
    """Row id and true resolution of an image."""

    id: int
    width: int | None
    height: int | None


def image_ids(store: Store, source: str) -> Iterator[str]:
    """The dataset's own ids of a source's images."""
    return (name for (name,) in store.rows(f"SELECT image_id FROM image WHERE {OWN_IMAGES}", (source,)))


def known_images(store: Store, source: str) -> dict[str, KnownImage]:
    """The images of a source by the dataset's own id."""
    rows = store.rows(f"SELECT image_id, id, width, height FROM image WHERE {OWN_IMAGES}", (source,))
    return {name: KnownImage(row_id, width, height) for name, row_id, width, height in rows}


def source_counts(store: Store, source: str) -> dict[str, int]:
    """How many rows of each kind a source has: `images`, `images missing`, `reports`, `groundings`, ..."""
    counts = {"images": 0}
    by_status = f"SELECT status, count(*) FROM image WHERE {OWN_IMAGES} GROUP BY status"
    for status, number in store.rows(by_status, (source,)):
        counts["images"] += number
        if status != "present":
            counts["images unreadable" if status == "failed" else f"images {status}"] = number
    for table, name in (
        ("report", "reports"),
        ("grounding", "groundings"),
        ("curated_text", "curated texts"),
        ("conversation", "conversations"),
    ):
        if number := store.value(f"SELECT count(*) FROM {table} WHERE source = ?", (source,)):
            counts[name] = number
    return counts


def outcome_counts(store: Store, stage: str, subject: str) -> dict[str, int]:
    """How many items each step of a stage skipped or failed: `groundings skipped`, ..."""
    rows = store.rows(
        "SELECT step, status, count(*) FROM outcome WHERE stage = ? AND subject = ? GROUP BY step, status",
        (stage, subject),
    )
    return {f"{step} {status}": number for step, status, number in rows}
