"""Convert original images (VinDr-CXR DICOM, PadChest-GR 16-bit PNG) to JPEG in many processes.

A conversion is done when its file is there and the store says that this program wrote it with the same options, or
adopted it from the published layout. The file comes first, the row last, so a kill loses at most the files in hand.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import chain
from multiprocessing import get_context
from typing import NamedTuple

from radvlm_cli.errors import DataError
from radvlm_cli.files import remove_leftovers
from radvlm_cli.hashing import content_hash, file_sha256
from radvlm_cli.sources import Conversion, Options, Source
from radvlm_cli.sources.dicom import Converted, convert
from radvlm_cli.sources.layout import Layout
from radvlm_cli.store.bulk import DERIVED_FILE_SQL, OUTCOME_SQL, execute_many
from radvlm_cli.store.queries import known_images
from radvlm_cli.store.runs import Run

CONVERTER_VERSION = 1
"""Part of every converted file's key: raise it when the same DICOM file gives another JPEG."""

_COMMIT_EVERY_S = 1.0
_QUEUED_PER_WORKER = 4

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


def run_pool(jobs: list[Conversion], options: Options, workers: int) -> Iterator[tuple[Conversion, Converted]]:
    """Convert in `workers` processes; results in the order of `jobs`.

    A file that takes its process down with it (a decoder's crash, out of memory) fails alone: the pool is made anew.
    """
    waiting = deque(jobs)
    while waiting:
        try:
            with _pool(min(workers, len(waiting))) as pool:
                yield from _through(pool, waiting, options, workers * _QUEUED_PER_WORKER)
        except BrokenProcessPool:
            _check_pool()
            # One of the oldest jobs in hand is to blame: take each alone until the culprit has shown itself.
            for _ in range(min(len(waiting), workers * _QUEUED_PER_WORKER)):
                job = waiting.popleft()
                yield job, _alone(job, options)


def _through(
    pool: ProcessPoolExecutor, waiting: deque[Conversion], options: Options, in_hand: int
) -> Iterator[tuple[Conversion, Converted]]:
    """Keep `in_hand` jobs with the pool; a job leaves `waiting` only with its result."""
    futures: deque[Future[Converted]] = deque()
    try:
        while waiting:
            while len(futures) < min(in_hand, len(waiting)):
                futures.append(_submit(pool, waiting[len(futures)], options))
            result = futures[0].result()
            futures.popleft()
            yield waiting.popleft(), result
    finally:
        for future in futures:
            future.cancel()


def _submit(pool: ProcessPoolExecutor, job: Conversion, options: Options) -> Future[Converted]:
    return pool.submit(convert, job.source, job.target, size=options.size, square=options.square)


def _alone(job: Conversion, options: Options) -> Converted:
    try:
        with _pool(1) as pool:
            return _submit(pool, job, options).result()
    except BrokenProcessPool:
        return Converted(None, None, None, None, "the decoder crashed on this file")


def _check_pool() -> None:
    """DataError where no process can be started at all, lest every file be blamed."""
    try:
        with _pool(1) as pool:
            pool.submit(os.getpid).result()
    except BrokenProcessPool as error:
        raise DataError(
            "The processes that convert images end as soon as they start.",
            "Give them more memory, or fewer of them: radvlm prepare --workers 1",
        ) from error


def _pool(workers: int) -> ProcessPoolExecutor:
    # Not fork: this process has threads (heartbeat), and a forked child may inherit a lock that is held.
    return ProcessPoolExecutor(workers, get_context("spawn"), initializer=_begin_worker, initargs=(os.getpid(),))


def _begin_worker(parent: int) -> None:
    """Leave Ctrl-C to the parent, and die with it (Linux), so that a killed run leaves no orphans."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
