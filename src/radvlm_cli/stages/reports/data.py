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

_FRONTAL = ("PA", "AP", "FRONTAL")


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
    groups: dict[tuple[str, str | None], dict[str, int]] = {}
    # In the order of an index that holds all of it: nothing is sorted, and no row of the table is read.
    for source, split, status, view, sex, number, years, aged in store.rows(
        "SELECT source, split, status, view, sex, count(*), sum(age), count(age) FROM image "
        "GROUP BY source, split, status, view, sex"
    ):
        group = groups.setdefault((source, split), dict.fromkeys(("all", "frontal", "years", "aged"), 0))
        counted = {"all": number, f"status {status}": number, f"sex {sex}": number, "years": years or 0, "aged": aged}
        counted["frontal"] = number if (view or "").upper() in _FRONTAL else 0
        for name, value in counted.items():
            group[name] = group.get(name, 0) + value
    return [_images(*key, group) for key, group in groups.items()]


def _images(source: str, split: str | None, group: dict[str, int]) -> Images:
    return Images(
        source=source,
        split=split,
        images=group["all"],
        present=group.get("status present", 0),
        missing=group.get("status missing", 0),
        failed=group.get("status failed", 0),
        unchecked=group.get("status unchecked", 0),
        frontal=group["frontal"],
        female=group.get("sex F", 0),
        male=group.get("sex M", 0),
        age=group["years"] / group["aged"] if group["aged"] else None,
    )


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
