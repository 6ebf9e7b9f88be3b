"""SIGKILL at every delicate moment of a training run: afterwards losses, weights and store are those of a whole one."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from finetuning.checkpoints import newest
from radvlm_cli.store.engine import Store
from radvlm_cli.store.runs import open_run
from radvlm_cli.store.spool import take_in
from tests.finetuning import tiny

ROOT = Path(__file__).parents[1]
PROGRAM = ROOT / "tests" / "finetuning" / "doomed.py"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu", "PYTHONPATH": str(ROOT)}
EVERY, BATCH = 2, 2


class Killed(NamedTuple):
    """A planned death: where, on which rank, at which step; and the newest complete checkpoint afterwards."""

    point: str
    rank: int
    step: int
    newest: int


CHAIN = (
    Killed("step", 1, 3, newest=2),
    Killed("save", 0, 4, newest=2),
    Killed("save", 1, 4, newest=2),
    Killed("before-rename", 0, 4, newest=2),
    Killed("after-rename", 0, 4, newest=4),
)


class Training:
    """One run's folder, and how it is started again and again."""

    def __init__(self, folder: Path, model: Path, table: Path, steps: int, **sections: dict[str, object]) -> None:
        self.folder, self.steps = folder, steps
        sections["optimization"] = {"max_steps": steps, "global_batch": BATCH}
        sections["checkpoints"] = {"every_steps": EVERY}
        self.manifest = tiny.write_manifest(folder, model, table, **sections)

    def words(self, planned: Killed | None = None) -> list[str]:
        """Arguments of the program, to die as planned."""
        death = [] if planned is None else [planned.point, str(planned.rank), str(planned.step)]
        return [str(self.manifest), *death]

    def start(self, planned: Killed | None = None) -> subprocess.Popen[bytes]:
        """Start it on two ranks."""
        launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
        with (self.folder / "log.txt").open("a") as log:
            return subprocess.Popen(
                [sys.executable, *launch, str(PROGRAM), *self.words(planned)],
                env=ENVIRONMENT,
                stdout=log,
                stderr=log,
            )

    def finish(self) -> None:
        """Train to the end."""
        assert self.start().wait(600) == 0, self.log()

    def die(self, planned: Killed) -> None:
        """Train until the planned death; whoever is left ends too, and the disk holds what is expected."""
        assert self.start(planned).wait(600) != 0, "it was to be killed"
        self.no_process_left()
        checkpoint = newest(self.folder / "checkpoints")
        assert checkpoint is not None
        assert checkpoint.facts.step == planned.newest, self.log()

    def no_process_left(self, within_s: float = 20.0) -> None:
        """No rank, loader worker or launcher of this run is alive."""
        end = time.monotonic() + within_s
        while (left := list(_processes(str(self.manifest)))) and time.monotonic() < end:
            time.sleep(0.05)
        assert left == []

    def log(self) -> str:
        """The end of what it printed."""
        return (self.folder / "log.txt").read_text()[-3000:]

    def steps_made(self) -> int:
        """The last step in the spool."""
        try:
            return max((event["step"] for event in tiny.events(self.folder, "step")), default=0)
        except (FileNotFoundError, json.JSONDecodeError):
            return 0

    def weights(self) -> dict[str, str]:
        """SHA-256 of the weight files of the trained model."""
        files = sorted((self.folder / "final").glob("*.safetensors"))
        return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def _processes(argument: str) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            if argument in words:
                found.append(int(folder.name))
    return found


def _stored_steps(store: Store, training: Training) -> list[tuple[Any, ...]]:
    """What the store knows of the run's steps once its spool is taken in: all that does not tell the time."""
    with open_run(store, "train", {"folder": str(training.folder)}) as run:
        take_in(store, run.id, training.folder)
        rows = store.rows(
            "SELECT step, consumed_samples, loss, gradient_norm, learning_rate FROM training_step "
            "WHERE run_id = ? ORDER BY step",
            (run.id,),
        )
        return [tuple(row) for row in rows]


def _same_end(store: Store, whole: Training, killed: Training) -> None:
    expected = _stored_steps(store, whole)
    assert [row[:2] for row in expected] == [(step, BATCH * step) for step in range(1, whole.steps + 1)]
    assert len({row[2] for row in expected}) == whole.steps, "losses that differ, so that equal ones mean something"
    assert _stored_steps(store, killed) == expected
    assert whole.weights()
    assert killed.weights() == whole.weights()


def test_one_process_killed_in_a_step_and_in_saves_goes_on_to_the_same_end(store: Store, tmp_path: Path) -> None:
    """All starts are forks of one process: importing torch takes longer than they do."""
    model, table = tiny.make_model(tmp_path / "model"), tiny.make_table(tmp_path / "table.parquet")
    whole, killed = (Training(tmp_path / name, model, table, 6) for name in ("whole", "killed"))
    deaths = [Killed("step", 0, 3, 2), Killed("save", 0, 4, 2), Killed("after-rename", 0, 4, 4)]
    starts = [whole.words(), *map(killed.words, deaths), killed.words()]
    words = [word for start in starts for word in ("--", *start)][1:]
    result = subprocess.run(
        [sys.executable, str(PROGRAM), *words], env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert json.loads(result.stdout.splitlines()[-1]) == [0, -9, -9, -9, 0], result.stderr[-3000:]
    resumed = [event["resumed_from"] for event in tiny.events(killed.folder, "started")]
    assert resumed == [None, *(death.newest for death in deaths)]
    _same_end(store, whole, killed)


@pytest.mark.slow
def test_a_run_killed_six_times_ends_as_one_that_never_was(store: Store, tmp_path: Path) -> None:
    """Two ranks, ZeRO-2: each rank, each moment of a save, and the launcher."""
    model, table = tiny.make_model(tmp_path / "model"), tiny.make_table(tmp_path / "table.parquet")
    zero2: dict[str, object] = {"strategy": "zero2"}
    whole, killed = (Training(tmp_path / name, model, table, 10, parallel=zero2) for name in ("whole", "killed"))
    whole.finish()
    for planned in CHAIN:
        killed.die(planned)

    launcher = killed.start()
    while killed.steps_made() < 7 and launcher.poll() is None:
        time.sleep(0.01)
    launcher.send_signal(signal.SIGKILL)
    launcher.wait()
    killed.no_process_left()
    assert killed.steps_made() < killed.steps, "the kill came too late to test anything"
    last = newest(killed.folder / "checkpoints")
    assert last is not None

    killed.finish()
    resumed = [event["resumed_from"] for event in tiny.events(killed.folder, "started")]
    assert resumed == [None, 2, 2, 2, 2, 4, last.facts.step]
    _same_end(store, whole, killed)
