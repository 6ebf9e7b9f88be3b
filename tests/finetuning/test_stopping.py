import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetuning.errors import RunHeldError
from finetuning.stopping import StopWatch, run_lock

ROOT = str(Path(__file__).parents[2])


def _python(script: str, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), *arguments],
        env={**os.environ, "PYTHONPATH": ROOT},
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )


def _alone(number: int) -> int:
    return number


def _watch(folder: Path, rank: int = 0, agree: Callable[[int], int] = _alone, **options: Any) -> StopWatch:
    return StopWatch(folder, rank=rank, agree=agree, **{"environment": {}, **options})


def test_nothing_asks_for_a_stop(tmp_path: Path) -> None:
    with _watch(tmp_path) as watch:
        assert [watch.requested(step) for step in range(3)] == [None] * 3
        assert not watch.save_due


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_after_the_step_and_the_old_handlers_come_back(tmp_path: Path, number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with _watch(tmp_path) as watch:
        os.kill(os.getpid(), number)
        assert watch.requested(4) == f"{number.name}, after step 4"
        assert watch.requested(5) == f"{number.name}, after step 4"
    assert signal.getsignal(number) is before


def test_what_one_rank_knows_all_ranks_do(tmp_path: Path) -> None:
    """Rank 1 has the signal; the all-reduce is a maximum."""
    told = []

    def agree(number: int) -> int:
        told.append(number)
        return max(told)

    with _watch(tmp_path, rank=1, agree=agree) as signalled:
        os.kill(os.getpid(), signal.SIGTERM)
        first = signalled.requested(7)
    with _watch(tmp_path, rank=0, agree=agree) as other:
        assert other.requested(7) == first == "SIGTERM, after step 7"


def test_a_stop_file_is_seen_and_honoured_once(tmp_path: Path) -> None:
    (tmp_path / "stop").touch()
    with _watch(tmp_path) as watch:
        assert watch.requested(3) == "as asked, after step 3"
    assert not (tmp_path / "stop").exists(), "a resumed run is not to stop at once"


def test_only_rank_0_looks_for_the_file_and_at_most_once_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    first, second = _watch(tmp_path), _watch(tmp_path, rank=1)
    assert first.requested(1) is None
    (tmp_path / "stop").touch()
    assert second.requested(1) is None
    clock[0] += 0.9
    assert first.requested(2) is None
    clock[0] += 0.2
    assert first.requested(3) == "as asked, after step 3"


@pytest.mark.parametrize(("left_s", "step_s", "stops"), [(400.0, 1.0, False), (299.0, 1.0, True), (400.0, 200.0, True)])
def test_the_end_of_a_slurm_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left_s: float, step_s: float, stops: bool
) -> None:
    """It stops 300 s before the end, earlier where another step would not fit in."""
    environment = {"SLURM_JOB_END_TIME": str(int(time.time() + left_s))}
    watch = _watch(tmp_path, margin_s=300, environment=environment)
    begun = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: begun + step_s)
    assert watch.requested(9) == ("the end of the SLURM job, after step 9" if stops else None)


def test_saves_become_due_by_the_clock_of_rank_0(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    watch = _watch(tmp_path, save_every_s=60)
    due = []
    for _ in range(4):
        clock[0] += 25
        assert watch.requested(1) is None
        due.append(watch.save_due)
        if watch.save_due:
            watch.saved()
    assert due == [False, False, True, False]


SIGNALLED = """
    import sys, time
    from pathlib import Path
    from finetuning import stopping
    stopping.REPEAT_S = float(sys.argv[1])
    with stopping.StopWatch(Path("."), rank=0, agree=int, environment={}) as watch:
        print("ready", flush=True)
        for step in range(1000):
            time.sleep(0.5)
            if watch.requested(step) and "deaf" not in sys.argv:
                print("saved", flush=True)
                break
"""


def test_signals_close_together_are_one_request(tmp_path: Path) -> None:
    process = _python(SIGNALLED, "60", cwd=tmp_path, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    assert "once more to stop at once" in process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=10)[0] == "saved\n"
    assert process.returncode == 0


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    process = _python(SIGNALLED, "0.1", "deaf", cwd=tmp_path, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    assert "once more to stop at once" in process.stderr.readline()
    time.sleep(0.2)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    assert process.returncode == -signal.SIGINT


STUCK = """
    import os, sys, threading, time
    from pathlib import Path
    from finetuning import stopping
    stopping.PATIENCE_S = 0.3
    with stopping.StopWatch(Path("."), rank=0, agree=int, environment={}) as watch:
        if "fork" in sys.argv and os.fork() == 0:
            time.sleep(0.2)
            os.kill(os.getpid(), 15)  # a loader worker's signals are its own
            os._exit(0)
        print("ready", flush=True)
        if "saving" in sys.argv:
            while not watch.requested(1):
                time.sleep(0.01)
        threading.Event().wait(1.0) if "fork" not in sys.argv else time.sleep(1.0)
    print("over", flush=True)
"""


@pytest.mark.parametrize(
    ("words", "code", "printed"), [((), 143, ""), (("saving",), 0, "over\n"), (("fork",), 0, "over\n")]
)
def test_a_rank_that_is_stuck_dies_of_sigterm(tmp_path: Path, words: tuple[str, ...], code: int, printed: str) -> None:
    """But neither one that saves after its step, however long, nor one whose loader worker was signalled."""
    process = _python(STUCK, *words, cwd=tmp_path, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    if words != ("fork",):
        process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=10)[0] == printed
    assert process.returncode == code


CHILD = """
    import os, sys, time
    from finetuning.stopping import die_with_parent
    die_with_parent(*map(int, sys.argv[1:]))
    print(os.getpid(), flush=True)
    time.sleep(60)
"""
PARENT = f"""
    import subprocess, sys, textwrap, time
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent({CHILD!r})])
    time.sleep(60)
"""


def _gone(process_id: int, within_s: float = 5.0) -> bool:
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        try:
            state = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


def test_a_child_dies_with_its_parent() -> None:
    with _python(PARENT) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert not _gone(child, 0.1)
        parent.kill()
        assert _gone(child)


def test_a_parent_that_died_before_counts_as_well() -> None:
    process = _python(CHILD, str(os.getppid()))  # not its parent: that one is gone
    process.communicate(timeout=10)
    assert process.returncode == -signal.SIGKILL


HOLDER = """
    import os, sys, time
    from pathlib import Path
    from finetuning.stopping import run_lock
    with run_lock(Path(sys.argv[1])):
        if "fork" in sys.argv and os.fork() == 0:
            time.sleep(4)
            os._exit(0)
        print("held", flush=True)
        time.sleep(60)
"""


def test_a_second_trainer_is_refused_with_who_holds_the_run(tmp_path: Path) -> None:
    with _python(HOLDER, str(tmp_path)) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RunHeldError, match=rf"process {holder.pid} on ") as told, run_lock(tmp_path, wait_s=0.2):
            pytest.fail("two trainers on one run")
        assert told.value.hint is not None
        holder.kill()
    with run_lock(tmp_path):
        assert (tmp_path / "lock").read_text().startswith(f"process {os.getpid()} on ")


def test_a_forked_loader_worker_does_not_hold_the_run_of_a_killed_trainer(tmp_path: Path) -> None:
    holder = _python(HOLDER, str(tmp_path), "fork")
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    holder.kill()
    holder.wait()
    with run_lock(tmp_path, wait_s=1.0):
        pass
    holder.stdout.close()


def test_the_lock_is_free_again_after_the_block(tmp_path: Path) -> None:
    for _ in range(2):
        with run_lock(tmp_path, wait_s=0):
            assert json.dumps((tmp_path / "lock").read_text())
