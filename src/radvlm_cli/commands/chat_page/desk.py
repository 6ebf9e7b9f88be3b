"""The desk: where what the page wants waits for the one thread that may ask the model."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any

MOST_WAITING = 8
"""More than that is no dialogue."""
_REMEMBERED = 32
"""Jobs done whose result can still be fetched."""
_LOOK_UP_S = 0.5
"""So often the worker looks up from waiting: a Ctrl-C that comes just as it begins to wait would wake nobody."""

Values = Mapping[str, Any]


class Job:
    """Something to do in its turn; `result` once `done`."""

    def __init__(self, number: int, do: Callable[[], Values]) -> None:
        self.number, self.do = number, do
        self.done = threading.Event()
        self.result: Values | None = None


class Desk:
    """Jobs are done one at a time, in the order in which they came."""

    def __init__(self) -> None:
        self.busy = False
        self._waiting: queue.Queue[Job | None] = queue.Queue()
        self._jobs: dict[int, Job] = {}
        self._lock = threading.Lock()
        self._last = 0

    def hand_in(self, do: Callable[[], Values]) -> Job | None:
        """Put a job at the end of the queue; None where too many wait."""
        with self._lock:
            if self._unfinished() >= MOST_WAITING:
                return None
            self._last += 1
            job = self._jobs[self._last] = Job(self._last, do)
            for number in [number for number, each in self._jobs.items() if each.done.is_set()][:-_REMEMBERED]:
                del self._jobs[number]
            self._waiting.put(job)
            return job

    def find(self, number: int) -> Job | None:
        """A job that waits, is at work, or was done not long ago."""
        with self._lock:
            return self._jobs.get(number)

    def ahead(self, job: Job) -> int:
        """How many jobs come before this one."""
        with self._lock:
            return sum(number < job.number and not each.done.is_set() for number, each in self._jobs.items())

    def work(self) -> None:
        """Do jobs until `end`. Ctrl-C, and a bug in a job, end it too."""
        while True:
            try:
                job = self._waiting.get(timeout=_LOOK_UP_S)
            except queue.Empty:
                continue
            if job is None:
                return
            self.busy = True
            job.result = job.do()
            self.busy = False
            job.done.set()

    def end(self) -> None:
        """Have the worker go home after what was handed in before."""
        self._waiting.put(None)

    def _unfinished(self) -> int:
        return sum(not job.done.is_set() for job in self._jobs.values())
