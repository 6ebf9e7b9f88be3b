"""What was prepared and built: images, reports, groundings, datasets with expected beside found."""

from __future__ import annotations

from radvlm_cli.reporting.data import (
    Boxes,
    DatasetPart,
    Images,
    Leaks,
    Texts,
    boxes_table,
    components_table,
    images_table,
    leaks_table,
    texts_table,
)
from radvlm_cli.reporting.tables import View
from radvlm_cli.store.snapshot import Snapshot

_FRONTAL = "upper(view) IN ('PA','AP','FRONTAL')"


def data_view(store: Snapshot) -> View:
    """The view `data`."""
    tables = (
        images_table(images(store)),
        texts_table(texts(store)),
        boxes_table(boxes(store)),
        components_table(components(store)),
        leaks_table(leaks(store)),
    )
    return View("data", "Data", tables)


def images(store: Snapshot) -> list[Images]:
    """Images by source and official split, with how many there are of each state, view and sex."""
    states = ", ".join(f"sum(status = '{state}')" for state in ("present", "missing", "failed", "unchecked"))
    rows = store.rows(
        f"SELECT source, split, count(*), {states}, sum({_FRONTAL}), sum(sex = 'F'), sum(sex = 'M'), avg(age) "
        "FROM image GROUP BY source, split ORDER BY source, split"
    )
    return [Images._make((*row[:7], *(value or 0 for value in row[7:10]), row[10])) for row in rows]


def texts(store: Snapshot) -> list[Texts]:
    """Reports by source, and what was made from them."""
    counts: dict[str, list[int]] = {}
    for place, table in enumerate(("report", "curated_text", "conversation")):
        for source, number in store.rows(f"SELECT source, count(*) FROM {table} GROUP BY source"):
            counts.setdefault(source, [0, 0, 0])[place] = number
    return [Texts(source, *numbers) for source, numbers in sorted(counts.items())]


def boxes(store: Snapshot) -> list[Boxes]:
    """Groundings by source and kind."""
    rows = store.rows("SELECT source, kind, count(*) FROM grounding GROUP BY kind, source ORDER BY source, kind")
    return [Boxes(*row) for row in rows]


def components(store: Snapshot) -> list[DatasetPart]:
    """The components of all complete datasets; of datasets of one name the newest."""
    rows = store.rows(
        "SELECT dataset.name, component.name, component.task, component.source, component.expected, component.found, "
        "component.unusable, component.removed, component.repeat, component.pairs, component.remark "
        "FROM component JOIN dataset ON dataset.id = component.dataset_id WHERE dataset.id IN "
        "(SELECT max(id) FROM dataset WHERE status = 'complete' GROUP BY name) ORDER BY dataset.id, component.position"
    )
    return [DatasetPart._make(row) for row in rows]


def leaks(store: Snapshot) -> list[Leaks]:
    """What the leakage check of these datasets found."""
    rows = store.rows(
        "SELECT dataset.name, leak.level, leak.evaluation, count(*) FROM leak JOIN dataset ON dataset.id = dataset_id "
        "WHERE dataset.id IN (SELECT max(id) FROM dataset WHERE status = 'complete' GROUP BY name) "
        "GROUP BY dataset.id, leak.evaluation, leak.level ORDER BY dataset.id, leak.evaluation, leak.level"
    )
    return [Leaks._make(row) for row in rows]
