"""Run a stage from the command line: settings, store, run record, progress and signals around one call."""

from __future__ import annotations

import gc
import re
import shlex
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

from radvlm_cli.commands.output import live_progress, say
from radvlm_cli.config import Settings
from radvlm_cli.errors import Interrupted, RadvlmError
from radvlm_cli.progress import Progress, StopSignal

if TYPE_CHECKING:
    from radvlm_cli.store.runs import Run

DETACHING = "The run goes on; this only watched it."
"""What Ctrl-C says to who follows a run."""
_STOPPING = "Stopping after the items in hand; once more to stop at once."


@contextmanager
def stage_run(
    command: str,
    arguments: Mapping[str, Any],
    settings: Settings,
    *,
    resume: bool,
    allow_network: bool,
    stopping: str = _STOPPING,
    **choice: Any,
) -> Iterator[Run]:
    """Open the store and a run; the first Ctrl-C stops after the items in hand, the second at once.

    `stopping` is what is said then; `choice` is passed on to open_run.
    """
    from radvlm_cli.store.engine import open_store
    from radvlm_cli.store.runs import open_run

    # Millions of tuples are made that form no cycles; looking for cycles among them took a fifth of a build.
    gc.set_threshold(200_000, 50, 100)
    stop = StopSignal()
    try:
        with (
            _listening(stop, stopping),
            live_progress() as progress,
            open_store(settings.store, allow_network=allow_network) as store,
            open_run(store, command, arguments, resume=resume, progress=progress, stop=stop, **choice) as run,
        ):
            yield run
    except Interrupted as error:
        raise Interrupted(error.message, error.hint or resume_command()) from error
    except KeyboardInterrupt as error:
        raise Interrupted("Stopped; everything finished so far is kept.", resume_command()) from error


@contextmanager
def unrecorded() -> Iterator[tuple[Progress, StopSignal]]:
    """Progress and signals around a stage that is kept in no store."""
    stop = StopSignal()
    with _listening(stop, "Stopping; once more to stop at once."), live_progress() as progress:
        yield progress, stop


@contextmanager
def all_or_nothing() -> Iterator[None]:
    """Around a stage that begins anew when it is run again: Ctrl-C says so, with the same command."""
    try:
        yield
    except (Interrupted, KeyboardInterrupt) as error:
        raise Interrupted("Stopped; nothing was left behind.", shlex.join(["radvlm", *sys.argv[1:]])) from error


@contextmanager
def _listening(stop: StopSignal, stopping: str = _STOPPING) -> Iterator[None]:
    def on_signal(_number: int, _frame: FrameType | None) -> None:
        if stop.requested:
            raise KeyboardInterrupt
        stop.requested = True
        say(stopping)

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def places_in_hints() -> Iterator[None]:
    """Around a command whose errors name other commands of its own: those get --store and --data-dir as typed here."""
    try:
        yield
    except RadvlmError as error:
        error.hint = None if error.hint is None else with_places(error.hint)
        raise


def with_places(text: str) -> str:
    """`text` with the store that this command line names put into the `radvlm train --...` that it tells to type."""
    words, places = sys.argv[1:], []
    for word, following in zip(words, [*words[1:], ""], strict=True):
        name, equals, value = word.partition("=")
        if name in ("--store", "--data-dir"):
            places += [name, value if equals else following]
    return re.sub(r"\bradvlm train(?= --)", lambda _: shlex.join(["radvlm", "train", *places]), text)


def resume_command() -> str:
    """The command line that goes on from here."""
    words = [word for word in sys.argv[1:] if word != "--resume"]
    return shlex.join(["radvlm", *words, "--resume"])
