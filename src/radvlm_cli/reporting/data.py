"""Rows of what was prepared and built."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from radvlm_cli.reporting.tables import Column, Table


class Images(NamedTuple):
    """The images of a source in one official split."""

    source: str
    split: str | None
    images: int
    present: int
    missing: int
    failed: int
    unchecked: int
    frontal: int
    """PA or AP."""
    female: int
    male: int
    age: float | None
    """Mean age of those whose age is known, years."""


class Texts(NamedTuple):
    """Reports of a source with what was made from them."""

    source: str
    reports: int
    curated: int
    conversations: int


class Boxes(NamedTuple):
    """Groundings of a source by kind."""

    source: str
    kind: str
    groundings: int


class DatasetPart(NamedTuple):
    """A component of a built dataset: what was expected beside what was found."""

    dataset: str
    component: str
    task: str
    source: str
    expected: int | None
    found: int
    unusable: int
    removed: int
    repeat: int
    pairs: int
    remark: str | None

    @property
    def share(self) -> float | None:
        """Found of expected."""
        return self.found / self.expected if self.expected else None


class Leaks(NamedTuple):
    """Training records that share an image, study or patient with an evaluation set."""

    dataset: str
    level: str
    evaluation: str
    records: int


def images_table(rows: Sequence[Images]) -> Table:
    """Images by source and split."""
    columns = (
        Column("source", lambda row: row.source, key=True),
        Column("split", lambda row: row.split or "none", key=True),
        Column("images", lambda row: row.images, "count"),
        Column("present", lambda row: row.present, "count"),
        Column("missing", lambda row: row.missing, "count"),
        Column("failed", lambda row: row.failed, "count"),
        Column("unchecked", lambda row: row.unchecked, "count"),
        Column("frontal", lambda row: row.frontal, "count"),
        Column("F", lambda row: row.female, "count", name="female"),
        Column("M", lambda row: row.male, "count", name="male"),
        Column("mean age", lambda row: None if row.age is None else round(row.age), "count", name="mean_age"),
    )
    note = "Frontal, F, M: images whose view or sex the source tells so; age in years, of those known."
    return Table("images", "Images", columns, tuple(rows), (note,))


def texts_table(rows: Sequence[Texts]) -> Table:
    """Reports, curated texts, conversations."""
    columns = (
        Column("source", lambda row: row.source, key=True),
        Column("reports", lambda row: row.reports, "count"),
        Column("curated texts", lambda row: row.curated, "count", name="curated_texts"),
        Column("conversations", lambda row: row.conversations, "count"),
    )
    return Table("texts", "Texts", columns, tuple(rows))


def boxes_table(rows: Sequence[Boxes]) -> Table:
    """Groundings."""
    columns = (
        Column("source", lambda row: row.source, key=True),
        Column("kind", lambda row: row.kind, key=True),
        Column("groundings", lambda row: row.groundings, "count"),
    )
    note = "Of kind region a grounding has all regions of an image."
    return Table("groundings", "Groundings", columns, tuple(rows), (note,))


def components_table(rows: Sequence[DatasetPart]) -> Table:
    """Components of datasets."""
    columns = (
        Column("dataset", lambda row: row.dataset, key=True),
        Column("component", lambda row: row.component, key=True),
        Column("expected", lambda row: row.expected, "count"),
        Column("found", lambda row: row.found, "count"),
        Column("of expected", lambda row: row.share, "share", name="share"),
        Column("unusable", lambda row: row.unusable, "count"),
        Column("leaks removed", lambda row: row.removed, "count", name="removed"),
        Column("repeat", lambda row: row.repeat, "count"),
        Column("pairs", lambda row: row.pairs, "count"),
        Column("remark", lambda row: row.remark, "words"),
    )
    note = "Expected: records in the published dataset, before repetition."
    return Table("components", "Datasets and their components", columns, tuple(rows), (note,))


def leaks_table(rows: Sequence[Leaks]) -> Table:
    """What the leakage check found."""
    columns = (
        Column("dataset", lambda row: row.dataset, key=True),
        Column("evaluation set", lambda row: row.evaluation, name="evaluation"),
        Column("shared", lambda row: row.level, name="level"),
        Column("records", lambda row: row.records, "count"),
    )
    return Table("leaks", "Training records that an evaluation set shares", columns, tuple(rows))
