"""Convert original images (VinDr-CXR DICOM, PadChest-GR 16-bit PNG) to JPEG in many processes.

A conversion is done when its file is there and the store says that this program wrote it with the same options, or
adopted it from the published layout. The file comes first, the row last, so a kill loses at most the files in hand.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

from radvlm_cli.files import remove_leftovers
from radvlm_cli.hashing import content_hash, file_sha256
from radvlm_cli.sources import Conversion, Options, Source
from radvlm_cli.sources.conversion_pool import run_pool
from radvlm_cli.sources.dicom import Converted
from radvlm_cli.sources.layout import Layout
from radvlm_cli.store.bulk import DERIVED_FILE_SQL, OUTCOME_SQL, execute_many
from radvlm_cli.store.queries import known_images
from radvlm_cli.store.runs import Run

CONVERTER_VERSION = 1
"""Part of every converted file's key: raise it when the same DICOM file gives another JPEG."""

_COMMIT_EVERY_S = 1.0

_IMAGE_SQL = (
    "UPDATE image SET width=coalesce(?1, width), height=coalesce(?2, height), status=?3, reason=?4, run_id=?5 "
    "WHERE source=?6 AND image_id=?7 AND (status, reason, width) IS NOT (?3, ?4, coalesce(?1, width))"
)


class _Done(NamedTuple):
    job: Conversion
    result: Converted
    origin: str


def convert_images(
    run: Run, source: Source, layout: Layout, options: Options, *, workers: int, force: bool = False
) -> None:
    """Convert what is not converted yet; a file that cannot be read ends as a failed image with the reason."""
    if options.tables_only:
        return
    name = layout.info.name
    key = content_hash({"size": options.size, "square": options.square, "converter": CONVERTER_VERSION})
    todo, adoptable = _sort_out(run, source, layout, options, key, force=force)
    if not todo and not adoptable:
        return
    for folder in sorted({job.target.parent for job in todo}):
        remove_leftovers(folder)
    with run.store.write() as connection:
        connection.exec_driver_sql(
            "DELETE FROM outcome WHERE stage='prepare' AND subject=? AND step='conversions'", (name,)
        )
    run.progress.start(f"{name}: conversions", len(todo) + len(adoptable))
    converted = (_Done(job, result, "written") for job, result in run_pool(todo, options, workers))
    pending: list[_Done] = []
    committed = time.monotonic()
    try:
        for done in run.stop.watch(chain(_adopt_existing(adoptable), converted)):
            pending.append(done)
            run.progress.advance()
            if time.monotonic() - committed >= _COMMIT_EVERY_S:
                _commit(run, layout, key, pending)
                pending, committed = [], time.monotonic()
    finally:
        _commit(run, layout, key, pending)


def _sort_out(
    run: Run, source: Source, layout: Layout, options: Options, key: str, *, force: bool
) -> tuple[list[Conversion], list[Conversion]]:
    """The conversions to do, and those whose file was there before this program (with a known resolution)."""
    rows = run.store.rows("SELECT path, origin, key FROM artifact WHERE root = 'derived' AND kind = 'image'")
    artifacts = {path: (origin, made_with) for path, origin, made_with in rows}
    known = known_images(run.store, layout.info.name)
    todo, adoptable = [], []
    for job in source.conversions(layout, options):
        origin, made_with = artifacts.get(layout.relative_derived(job.target), (None, None))
        resolved = job.image_id in known and known[job.image_id].width is not None
        there = resolved and not force and job.target.is_file()
        if there and origin is None and job.published:
            adoptable.append(job)
        elif not there or (origin != "adopted" and made_with != key):
            todo.append(job)
    return todo, adoptable


def _adopt_existing(jobs: Iterable[Conversion]) -> Iterator[_Done]:
    for job in jobs:
        size = job.target.stat().st_size
        yield _Done(job, Converted(None, None, file_sha256(job.target), size, None), "adopted")


def _commit(run: Run, layout: Layout, key: str, batch: list[_Done]) -> None:
    name = layout.info.name
    images, artifacts, failures = [], [], []
    for job, result, origin in batch:
        status = "present" if result.problem is None else "failed"
        images.append((result.width, result.height, status, result.problem, run.id, name, job.image_id))
        if result.problem is not None:
            failures.append(("prepare", name, "conversions", job.image_id, "failed", result.problem, run.id))
            continue
        path = layout.relative_derived(job.target)
        made_with = key if origin == "written" else None
        mtime = job.target.stat().st_mtime_ns
        artifacts.append((path, "image", origin, made_with, result.sha256, result.bytes, mtime, run.id))
    with run.store.write() as connection:
        execute_many(connection, DERIVED_FILE_SQL, artifacts)
        execute_many(connection, _IMAGE_SQL, images)
        execute_many(connection, OUTCOME_SQL, failures)
