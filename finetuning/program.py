"""From a manifest to a trained model: one rank of a training run."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from finetuning.errors import TrainingError
from finetuning.events import SpoolWriter, now
from finetuning.manifest import Manifest, ManifestError, read_manifest
from finetuning.stopping import die_with_parent, run_lock

DONE, BUG, USER_ERROR, STOPPED = 0, 1, 3, 130


def main(arguments: Sequence[str]) -> int:
    """Train what the manifest says; the exit code: 0 done, 3 an error that the user can mend, 130 stopped."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print("usage: torchrun [...] finetuning/train.py MANIFEST.json", file=sys.stderr)
        return 2
    try:
        manifest = read_manifest(Path(arguments[0]))
    except ManifestError as error:
        print(f"{arguments[0]}: {error}", file=sys.stderr)
        return USER_ERROR
    try:
        return _run_one_rank(manifest)
    except TrainingError as error:
        # Of closing the spool: the disk has no room for the last events.
        return _print_error(error.message, error.hint)


def _run_one_rank(manifest: Manifest) -> int:
    # Only here: torch takes seconds, and a wrong manifest is told at once.
    from finetuning.places import Place
    from finetuning.running import train

    place = Place.of_environment()
    if place.launched:
        die_with_parent()
    with ExitStack() as stack:
        try:
            if place.rank == 0:
                stack.enter_context(run_lock(manifest.run.folder, note=_note))
            spool = SpoolWriter(manifest.run.folder, place.rank)
            stack.callback(spool.close)
        except TrainingError as error:
            # Not in the spool, which belongs to whoever holds the run.
            return _print_error(error.message, error.hint)
        end = _Ending(spool, place.rank)

        def note(message: str) -> None:
            """To the log, and to whoever watches the spool; other ranks leave the telling to rank 0."""
            if place.rank == 0:
                _note(message)
                spool.append("note", message=message)

        try:
            stopped = train(manifest, place, spool, note=note, reached=end.reached)
        except (TrainingError, ManifestError) as error:
            return end.failed(str(error), getattr(error, "hint", None))
        except BaseException as error:
            end.failed(f"{type(error).__name__}: {error}", _hint_of(error), bug=True)
            raise
        return end.well(stopped)


def _hint_of(error: BaseException) -> str | None:
    """What mends an error of torch's own; None where nobody knows."""
    if type(error).__name__ == "OutOfMemoryError":
        return (
            "Resume with --micro-batch 1, if it was more; or a new run with --strategy zero3, --max-image-side 1024 or "
            "the recipe radvlm-7b-lora (docs/training.md, Memory)"
        )
    if "killed by signal: Killed" in str(error):
        return "A process that reads images was killed, mostly for want of main memory: resume with fewer --workers"
    return None


class _Ending:
    """Writes the last event of this rank, and knows the exit code."""

    def __init__(self, spool: SpoolWriter, rank: int) -> None:
        self._spool, self._rank = spool, rank
        self._step = 0

    def reached(self, step: int) -> None:
        """The run has come to `step`."""
        self._step = step

    def failed(self, message: str, hint: str | None, *, bug: bool = False) -> int:
        """An error ended the run."""
        # Every rank that fails says so: rank 0 may be waiting for this one and be killed.
        self._spool.append("ended", status="failed", message=message, hint=hint, step=self._step, at=now())
        if bug:
            return BUG
        return _print_error(message, hint) if self._rank == 0 else USER_ERROR

    def well(self, stopped: str | None) -> int:
        """The run is done, or stopped with a checkpoint for the reason `stopped`."""
        if self._rank == 0:
            status = "done" if stopped is None else "stopped"
            self._spool.append("ended", status=status, message=stopped, hint=None, step=self._step, at=now())
        return DONE if stopped is None else STOPPED


def _print_error(message: str, hint: str | None) -> int:
    print(f"Error: {message}", file=sys.stderr)
    if hint:
        print(f"Hint: {hint}", file=sys.stderr)
    return USER_ERROR


def _note(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
