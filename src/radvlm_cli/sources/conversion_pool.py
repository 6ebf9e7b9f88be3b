"""Convert original images in many processes, each of which may die of a file without taking the others along.

What a process imports stands between the command and its first image: this module needs no store.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

from radvlm_cli.errors import DataError
from radvlm_cli.sources import Conversion, Options
from radvlm_cli.sources.dicom import Converted, convert

_QUEUED_PER_WORKER = 4


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
