"""train: start the training program on a manifest, take in what it tells, and say how it ended.

The program writes events to its spool and checkpoints to its folder; this process alone writes the store. Whatever
dies, the next start takes in what the spool holds and brings the checkpoints' rows in line with the disk.
"""

from __future__ import annotations

import shlex
import subprocess
import time
from pathlib import Path
from typing import Any, NamedTuple

from radvlm_cli.errors import Interrupted, StoreError, TrainingError
from radvlm_cli.stages.training.request import Request
from radvlm_cli.store.runs import Run
from radvlm_cli.store.spool import Tail, take_in
from radvlm_cli.store.training import (
    dataset_of,
    keep_job,
    keep_training,
    last_event,
    left_out,
    reconcile_checkpoints,
    training_row,
)
from radvlm_cli.training import slurm
from radvlm_cli.training.launch import Launched, command
from radvlm_cli.training.manifest import LOG, SPOOL, STOP_FILE, make_manifest, write_manifest
from radvlm_cli.training.progress import Ended, Watch

_LOOK_EVERY_S = 1.0
_ASK_SLURM_EVERY_S = 15.0


class Trained(NamedTuple):
    """A run that is done, or left to a SLURM job."""

    run_id: int
    folder: Path
    step: int | None
    loss: float | None
    checkpoint: Path | None
    """The newest complete one."""
    final: Path | None
    """The trained model."""
    job_id: str | None = None

    def row(self) -> dict[str, Any]:
        """As a flat record, for tables and JSON."""
        return {name: str(value) if isinstance(value, Path) else value for name, value in self._asdict().items()}


def train(run: Run, request: Request) -> Trained:
    """Train on this machine (or on the allocation that it is in) to the end.

    Raises Interrupted where it was stopped, with a complete checkpoint; TrainingError with the program's own words.
    """
    folder = prepare_folder(run, request)
    ranks, node = request.ranks, request.node
    watch = Watch(run.progress)
    _take(run, folder, None, watch)
    tail = Tail(run.store, run.id, folder)
    for number, host in enumerate(ranks.hosts):
        if number != node:
            run.progress.note(f"On {host} run:  {shlex.join(command(folder, ranks, node=number, run_id=run.id))}")
    run.progress.start(f"starting the training program, which prints into {folder / LOG}")
    launched = Launched(folder, command(folder, ranks, node=node, run_id=run.id), on_cpu=ranks.gpus == 0)
    try:
        _watch(run, folder, launched, tail, watch)
    except BaseException as error:
        launched.kill()
        _take(run, folder, tail, watch)
        if isinstance(error, KeyboardInterrupt):
            saved = reconcile_checkpoints(run.store, run.id, folder)
            where = f"it goes on from {saved[-1].name}" if saved else "it has no checkpoint yet"
            raise Interrupted(f"Run {run.id} was stopped at once; {where}.", resume_words(run.id)) from error
        raise
    if watch.ended is None or watch.ended.status == "failed":
        _raise_failure(run, launched, watch.ended)
    return _outcome(run, folder, watch)


def submit(run: Run, request: Request) -> Trained:
    """Hand the run to SLURM and return; `follow` takes in what the job tells."""
    assert request.profile is not None, "the caller has looked"
    folder = prepare_folder(run, request)
    text = slurm.render(request.profile, run_id=run.id, folder=folder, ranks=request.ranks)
    job_id = slurm.submit(slurm.write_script(folder, text))
    keep_job(run, job_id)
    run.left_to = f"left to SLURM job {job_id}"
    return _state(run, folder)._replace(job_id=job_id)


def follow(run: Run) -> Trained:
    """Take in what a run tells that trains elsewhere, until it ends or its job is over.

    Ctrl-C ends only the watching.
    """
    row = training_row(run.store, run.id)
    watch = Watch(run.progress)
    tail = Tail(run.store, run.id, row.folder)
    _take(run, row.folder, None, watch)
    begun = last_event(run.store, run.id, ("started", "ended"))
    if begun is not None:
        watch.take(begun["kind"], begun)
    asked, state = float("-inf"), None
    while watch.ended is None or watch.ended.status == "stopped":
        if time.monotonic() - asked >= _ASK_SLURM_EVERY_S:
            asked, state = time.monotonic(), slurm.job_state(row.job_id) if row.job_id else None
        _take(run, row.folder, tail, watch)
        if state is None and (row.job_id is not None or watch.ended is not None):
            break
        if run.stop.requested:
            raise Interrupted(f"Run {run.id} goes on without being watched.", f"radvlm train --follow {run.id}")
        time.sleep(_LOOK_EVERY_S)
    if watch.ended is None:
        raise TrainingError(
            f"SLURM job {row.job_id} is over, and run {run.id} has not said how it ended.",
            f"See {row.folder}/slurm-*.log; go on: radvlm train --resume --run {run.id} --slurm ...",
        )
    if watch.ended.status == "failed":
        raise TrainingError(watch.ended.message or "The training program failed.", watch.ended.hint)
    return _outcome(run, row.folder, watch)


def prepare_folder(run: Run, request: Request) -> Path:
    """Make the run's folder, or go on with the one that it has; write manifest and row."""
    rows = list(run.store.rows("SELECT folder FROM training WHERE run_id = ?", (run.id,)))
    folder = Path(rows[0][0]) if rows else _new_folder(request.output, run.id)
    folder.mkdir(parents=True, exist_ok=True)
    # Of an earlier start that ended before it saw the file: this one is not to stop at its first step.
    (folder / STOP_FILE).unlink(missing_ok=True)
    settings, data = request.settings, request.settings["data"]
    manifest = make_manifest(settings, run_id=run.id, folder=folder, allow_changed=request.allow_changed)
    write_manifest(folder, manifest)
    keep_training(
        run,
        folder=folder,
        recipe=request.recipe,
        model=Path(settings["model"]["path"]),
        dataset=dataset_of(run.store, Path(data["table"])),
        sha256=data["sha256"],
        pairs=data["pairs"],
    )
    return folder


def _new_folder(output: Path, run_id: int) -> Path:
    """RUNS/ID; another name where a run of another store has that one."""
    names = (f"{run_id}{suffix}" for suffix in ("", *(f"-{n}" for n in range(2, 10_000))))
    return next(output / name for name in names if not (output / name).exists())


def _watch(run: Run, folder: Path, launched: Launched, tail: Tail, watch: Watch) -> None:
    """Take in events about once a second until the program is over; pass on the first request to stop.

    A store that cannot be written for a while (locked, or its disk full) stops no training: all is in the spool.
    """
    asked = warned = False
    while True:
        over = launched.ended  # looked at before reading: what it wrote last is taken in
        try:
            _take(run, folder, tail, watch)
            warned = False
        except StoreError as error:
            if over:
                raise StoreError(error.message, f"Mend that, then: {resume_words(run.id)}") from error
            if not warned:
                run.progress.warn(f"{error.message} Training goes on; what it tells waits in {folder / SPOOL}.")
            warned = True
        if over:
            return
        if run.stop.requested and not asked:
            launched.stop()
            asked = True
        try:
            launched.process.wait(_LOOK_EVERY_S)
        except subprocess.TimeoutExpired:
            continue


def _take(run: Run, folder: Path, tail: Tail | None, watch: Watch) -> None:
    """Spools into the store, new events to the watch, checkpoints in line with the disk."""
    take_in(run.store, run.id, folder)
    before = watch.checkpoints
    for file, kind, body in tail.new() if tail is not None else ():
        if file == SPOOL:
            watch.take(kind, body)
        elif kind == "ended" and watch.ended is None:
            watch.take(kind, body)  # rank 0 may be waiting for the rank that failed, and be killed
    if tail is None or watch.checkpoints != before or watch.ended is not None:
        reconcile_checkpoints(run.store, run.id, folder)


def _raise_failure(run: Run, launched: Launched, ended: Ended | None) -> None:
    log = f"See {launched.log}; go on: radvlm train --resume --run {run.id}"
    if ended is not None:
        raise TrainingError(ended.message or "The training program failed.", ended.hint or log)
    words = launched.last_words()
    told = [line for line in words.splitlines() if line.startswith("Error: ")]
    hints = [line for line in words.splitlines() if line.startswith("Hint: ")]
    if told:
        hint = hints[-1].removeprefix("Hint: ") if hints else log
        raise TrainingError(told[-1].removeprefix("Error: "), hint)
    if words:
        run.progress.note(words)
    code = launched.process.returncode
    raise TrainingError(f"The training program ended without a word (exit code {code}).", log)


def _outcome(run: Run, folder: Path, watch: Watch) -> Trained:
    """What the program made; Interrupted where it was stopped."""
    assert watch.ended is not None, "the caller has looked"
    _tell_counts(run, watch)
    if watch.ended.status == "stopped":
        saved = reconcile_checkpoints(run.store, run.id, folder)
        where = f"; it goes on from {saved[-1].name}" if saved else ""
        raise Interrupted(f"Run {run.id} stopped: {watch.ended.message}{where}.", resume_words(run.id))
    return _state(run, folder)


def _tell_counts(run: Run, watch: Watch) -> None:
    """Say, and keep, what was left out or kept as text since the run began: nothing is passed over in silence."""
    dropped = left_out(run.store, run.id)
    literals = int((last_event(run.store, run.id, ("step",)) or {}).get("literals") or 0)
    for reason, count in dropped.items():
        run.progress.note(f"{count:,} pairs left out: {reason}" if count != 1 else f"1 pair left out: {reason}")
    if literals:
        run.progress.note(
            f"{literals:,} times a text held what reads like a special token (<image>, <|im_end|>); it was kept as text"
        )
    counts = {"checkpoints": watch.checkpoints, "steps": watch.step}
    run.tally("training", {**counts, "pairs dropped": sum(dropped.values()), "special tokens in texts": literals})


def resume_words(run_id: int) -> str:
    """The command that goes on with a run."""
    return f"radvlm train --resume --run {run_id}"


def _state(run: Run, folder: Path) -> Trained:
    step = last_event(run.store, run.id, ("step",)) or {}
    saved = reconcile_checkpoints(run.store, run.id, folder)
    final = folder / "final"
    return Trained(
        run.id,
        folder,
        step.get("step"),
        step.get("loss"),
        saved[-1] if saved else None,
        final if final.is_dir() else None,
    )
