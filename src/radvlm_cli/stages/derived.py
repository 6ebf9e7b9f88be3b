"""The derived files of the published layout, under its names, so that other code that reads them keeps working.

A file of that name that this program did not write is adopted: kept as it is, and known to the store.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

from radvlm_cli.files import TEMPORARY_SUFFIX, remove_leftovers
from radvlm_cli.hashing import content_hash, file_sha256
from radvlm_cli.records import Grounding, Report
from radvlm_cli.sources.layout import Layout
from radvlm_cli.sources.mimic import write_reports_csv
from radvlm_cli.sources.mscxr import write_sentence_boxes
from radvlm_cli.sources.vindr import read_resolutions, write_resolutions
from radvlm_cli.store.bulk import DERIVED_FILE_SQL
from radvlm_cli.store.runs import Run

_KNOWN = "SELECT origin, key FROM artifact WHERE root = 'derived' AND path = ?"
_REPORT_COLUMNS = ", ".join(Report._fields)


def write_derived(run: Run, layout: Layout) -> None:
    """Write the derived files of a prepared source, those that would differ from what is there."""
    writer = {"mimic": _reports, "vindr": _resolutions, "mscxr": _sentence_boxes}.get(layout.info.name)
    if writer is not None:
        writer(run, layout)


def _reports(run: Run, layout: Layout) -> None:
    """reports.csv, unless the reports were read from such a file."""
    made_here = run.store.value("SELECT 1 FROM report WHERE source = 'mimic' AND origin <> 'adopted' LIMIT 1")
    if made_here is None:
        return
    key = str(run.store.value("SELECT fingerprint FROM step WHERE subject = 'mimic' AND step = 'reports'"))
    path = layout.derived / "reports.csv"
    rows = run.store.rows(f"SELECT {_REPORT_COLUMNS} FROM report WHERE source = 'mimic' ORDER BY patient_id, study_id")
    _write(run, layout, path, "reports", key, lambda path: write_reports_csv(path, map(Report._make, rows)))


def _resolutions(run: Run, layout: Layout) -> None:
    """image_resolutions_train.json and image_resolutions_test.json."""
    for split in ("train", "test"):
        rows = list(
            run.store.rows(
                "SELECT image_id, height, width FROM image WHERE source = 'vindr' AND split = ? "
                "AND width IS NOT NULL ORDER BY image_id",
                (split,),
            )
        )
        if rows:
            _merge_resolutions(run, layout, layout.derived / f"image_resolutions_{split}.json", rows)


def _merge_resolutions(run: Run, layout: Layout, path: Path, rows: list[tuple[str, int, int]]) -> None:
    """Add what is not in the file yet; entries of others stay."""
    ours = {image: [height, width] for image, height, width in rows}
    there = read_resolutions(path) if path.is_file() else {}
    if any(there.get(image) != size for image, size in ours.items()):
        write_resolutions(path, rows)
    elif run.store.value(_KNOWN, (layout.relative_derived(path),)) is not None:
        return
    origin = "written" if there == ours or any(there.get(i) != size for i, size in ours.items()) else "adopted"
    _keep(run, layout, path, "resolutions", origin, None)


def _sentence_boxes(run: Run, layout: Layout) -> None:
    """sentences_BBox_mscxr/<image>.json, one small file an image."""
    columns = ("g.split", "g.ordinal", "g.label", "g.phrase", "g.boxes", "g.detail", "i.image_id")
    rows = run.store.rows(
        f"SELECT {', '.join(columns)} FROM grounding g JOIN image i ON i.id = g.image_id "
        "WHERE g.source = 'mscxr' ORDER BY i.image_id, g.ordinal"
    )
    groundings = [
        Grounding("mscxr", "mimic", image, "phrase", ordinal, split, label, phrase, boxes, detail)
        for split, ordinal, label, phrase, boxes, detail, image in rows
    ]
    if not groundings:
        return
    folder = layout.derived / "sentences_BBox_mscxr"
    key = content_hash([list(g) for g in groundings])
    remove_leftovers(folder)
    for image, group in groupby(groundings, key=lambda grounding: grounding.image_id):
        boxes = list(group)
        key = content_hash([list(grounding) for grounding in boxes])
        _write(run, layout, folder / f"{image}.json", "boxes", key, lambda path, b=boxes: write_sentence_boxes(path, b))  # type: ignore[misc]


def _write(run: Run, layout: Layout, path: Path, kind: str, key: str, write: Callable[[Path], Any]) -> None:
    """Write unless the store says that this very content is there, or the file is somebody else's."""
    name = layout.relative_derived(path)
    known = next(run.store.rows(_KNOWN, (name,)), None)
    if path.is_file() and known is not None and (known[0] == "adopted" or known[1] == key):
        return
    staged = path.with_name(f"{path.name}{TEMPORARY_SUFFIX}")
    write(staged)
    if path.is_file() and known is None and file_sha256(path) != file_sha256(staged):
        staged.unlink()
        _keep(run, layout, path, kind, "adopted", None)
        return
    staged.replace(path)
    _keep(run, layout, path, kind, "written", key)


def _keep(run: Run, layout: Layout, path: Path, kind: str, origin: str, key: str | None) -> None:
    state = path.stat()
    name, digest = layout.relative_derived(path), file_sha256(path)
    with run.store.write() as connection:
        row = (name, kind, origin, key, digest, state.st_size, state.st_mtime_ns, run.id)
        connection.exec_driver_sql(DERIVED_FILE_SQL, row)
