"""Follow the workers of an evaluation through their spools, and say how it goes."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

from radvlm_cli.stages.answering.work import Work
from radvlm_cli.store.evaluations import ANSWERS
from radvlm_cli.store.runs import Run
from radvlm_cli.store.spool import Tail, forget_gone, take_in
from radvlm_cli.training.progress import duration

_COUNT_EVERY_S = 5.0
_STUCK_S = 900
"""So long at one batch is worth a warning."""


class Watch:
    """Takes in spools, and keeps what matters of them."""

    def __init__(self, run: Run, folder: Path, work: Work) -> None:
        self._run, self._folder, self._work = run, folder, work
        forget_gone(run.store, run.id, folder)
        take_in(run.store, run.id, folder, ANSWERS)
        self._tail = Tail(run.store, run.id, folder)
        self._begun, self._answered = time.monotonic(), 0
        self._counted, self._failed = float("-inf"), 0
        self._heard: dict[int, float] = {}
        self._over: set[int] = set()
        self._warned: set[str] = set()
        self._left = 0
        self.failure: tuple[str, str | None] | None = None
        """Message and hint of the last worker that failed."""

    def begin(self, left: int) -> None:
        """A pass over so many samples begins."""
        self._heard, self._over, self.failure = {}, set(), None
        self._left = left

    def look(self) -> None:
        """Take in what is new; say how it goes."""
        taken = take_in(self._run.store, self._run.id, self._folder, ANSWERS)
        for file, kind, body in self._tail.new():
            self._event(file, kind, body)
        if taken.rows:
            self._answered += taken.rows
            self._left -= taken.rows
            self._run.progress.status(self._line())
            self._run.progress.advance(taken.rows)

    def at_work(self, rank: int, silent_s: float) -> bool:
        """Whether a worker may still bring something: it has not ended, and is not known to have fallen silent."""
        heard = self._heard.get(rank)
        return rank not in self._over and (heard is None or time.monotonic() - heard < silent_s)

    def _event(self, file: str, kind: str, body: dict[str, Any]) -> None:
        found = re.match(r"rank(\d+)\.", file)
        rank = int(found[1]) if found else 0
        self._heard[rank] = time.monotonic()
        if kind == "loaded":
            self._work.loaded(body["adapter"])
            if not self._answered:
                self._begun = time.monotonic()  # loading is no part of the rate
            where = body.get("gpu") or "the CPU"
            self._run.progress.note(f"Worker {rank}: loaded in {body['seconds']} s on {where} of {body['host']}")
        elif kind == "ended":
            self._over.add(rank)
            if body["status"] == "failed":
                self.failure = (str(body["message"]), body.get("hint"))
        elif kind == "alive" and body["busy_s"] > _STUCK_S and file not in self._warned:
            self._warned.add(file)
            self._run.progress.warn(f"Worker {rank} has been at one batch for {duration(body['busy_s'])}.")

    def _line(self) -> str:
        """Rate and failures."""
        if time.monotonic() - self._counted > _COUNT_EVERY_S:
            self._counted = time.monotonic()
            self._failed = self._work.failed()
        rate = self._answered / max(time.monotonic() - self._begun, 1e-3)
        left = f", {duration(self._left / rate)} left" if self._left > 0 and rate else ""
        return f"{rate:.2g}/s, {self._failed:,} failed{left}"
