"""Printing: the result to stdout, as tables or JSON; progress, notes and warnings to stderr."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from radvlm_cli.commands.table import lay_out

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

    from radvlm_cli.progress import Progress

_PLAIN_LINE_EVERY_S = 10.0
_PIPE_WIDTH = 120
_COMMANDS = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069]")
"""Control characters but tab and new line, and those that turn the direction of writing."""


def print_json(value: Any) -> None:
    """Print `value` as indented JSON."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def print_table(
    rows: Iterable[Mapping[str, Any]],
    *,
    title: str | None = None,
    columns: Sequence[str] = (),
    notes: str | None = None,
    spare: Sequence[str] = (),
) -> None:
    """Print rows as a table; see lay_out for `notes` and `spare`. A pipe counts as 120 columns wide."""
    rows = list(rows)
    names = list(columns) or (list(rows[0]) if rows else [])
    if title:
        print(title)
    if names:
        print("\n".join(lay_out(rows, names, width=terminal_width(), notes=notes, spare=spare)))


def terminal_width() -> int:
    """Columns of the terminal behind stdout; COLUMNS counts first, a pipe has 120."""
    return shutil.get_terminal_size((_PIPE_WIDTH, 0)).columns


def takes_colours() -> bool:
    """Whether stdout is a terminal that shows colours, and nobody has asked for none (NO_COLOR)."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("NO_COLOR")


def plain(text: str) -> str:
    """What a model or a file says, without the characters that a terminal would obey."""
    return _COMMANDS.sub("\N{REPLACEMENT CHARACTER}", text)


def say(message: str) -> None:
    """Print one line to stderr."""
    print(message, file=sys.stderr, flush=True)


@contextmanager
def live_progress() -> Iterator[Progress]:
    """A live bar with rate and ETA on a terminal, plain lines every ten seconds elsewhere."""
    if not sys.stderr.isatty():
        yield PlainProgress()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True, highlight=False, markup=False)
    rate = TextColumn("{task.fields[rate]}")
    with Bar(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        rate,
        TimeRemainingColumn(),
        TextColumn("{task.fields[status]}"),
        console=console,
        transient=True,
    ) as bar:
        yield LiveProgress(bar)


class LiveProgress:
    """One bar for the task at hand; it goes when that is done."""

    def __init__(self, bar: RichProgress) -> None:
        self._bar = bar
        self._task: TaskID | None = None
        self._clock = _Clock()

    def start(self, task: str, total: int | None = None, done: int = 0) -> None:
        """Begin a task."""
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._clock = _Clock(done)
        self._task = self._bar.add_task(task, total=total, completed=done, rate="", status="")

    def advance(self, count: int = 1) -> None:
        """Count finished items."""
        if self._task is not None:
            self._clock.count += count
            self._bar.update(self._task, advance=count, rate=self._clock.rate())

    def status(self, text: str) -> None:
        """Show how it is going, behind the bar."""
        if self._task is not None:
            self._bar.update(self._task, status=text)

    def note(self, message: str) -> None:
        """Print a line above the bar."""
        self._bar.console.print(message)

    def warn(self, message: str) -> None:
        """Print a warning above the bar."""
        self._bar.console.print(f"Warning: {message}", style="yellow")


class PlainProgress:
    """A line when a task begins and every ten seconds while it lasts."""

    def __init__(self) -> None:
        self._task = ""
        self._total: int | None = None
        self._clock = _Clock()
        self._said = 0.0
        self._status = ""

    def start(self, task: str, total: int | None = None, done: int = 0) -> None:
        """Begin a task."""
        self._task, self._total, self._status = task, total, ""
        self._clock = _Clock(done)
        self._said = time.monotonic()
        say(task if total is None else f"{task} ({total:,}{f', {done:,} done before' if done else ''})")

    def advance(self, count: int = 1) -> None:
        """Count finished items."""
        self._clock.count += count
        now = time.monotonic()
        if now - self._said >= _PLAIN_LINE_EVERY_S:
            self._said = now
            of = "" if self._total is None else f" of {self._total:,}"
            how = self._status or f"{self._clock.rate()}{self._clock.eta(self._total)}"
            say(f"{self._task}: {self._clock.count:,}{of}, {how}")

    def status(self, text: str) -> None:
        """Say this with the next line."""
        self._status = text

    def note(self, message: str) -> None:
        """Print a line."""
        say(message)

    def warn(self, message: str) -> None:
        """Print a warning."""
        say(f"Warning: {message}")


class _Clock:
    """Items since a start, as a rate and a time left."""

    def __init__(self, before: int = 0) -> None:
        self.count = self._before = before
        self._begun = time.monotonic()

    def _per_second(self) -> float:
        return (self.count - self._before) / max(time.monotonic() - self._begun, 1e-3)

    def rate(self) -> str:
        """Items per second, or seconds per item where they are slow."""
        rate = self._per_second()
        if 0 < rate < 0.2:
            return f"{1 / rate:.0f} s each"
        return f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s"

    def eta(self, total: int | None) -> str:
        """Time left, where the total is known."""
        if not total or self.count == self._before or self.count >= total:
            return ""
        left = int((total - self.count) / self._per_second())
        return f", {left // 3600}:{left // 60 % 60:02}:{left % 60:02} left"
