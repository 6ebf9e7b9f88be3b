"""A cluster: the script that is written, its submission, and a run that goes on from job to job."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from radvlm_cli.errors import ConfigError
from radvlm_cli.training import slurm
from radvlm_cli.training.launch import Ranks, command, node_of_this_host
from radvlm_cli.training.slurm import Profile, load_profile, render
from tests.training.conftest import ROOT, World

PROFILE = """\
account: hospital-lab
partition: gpu
time: 12:00:00
memory: 450G
cpus_per_task: 64
gpus_per_node: 4
sbatch:
  - --constraint=h100
modules:
  - cuda/12.8
environment:
  NCCL_SOCKET_IFNAME: hsn
setup:
  - source /home/lab/venv/bin/activate
python: /home/lab/venv/bin/python
program: /home/lab/radvlm/finetuning/train.py
"""


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    path = tmp_path / "cluster.yaml"
    path.write_text(PROFILE)
    return path


@pytest.fixture
def cluster(world: World) -> Path:
    """SLURM's commands on the path; the folder that holds their state."""
    state, bin_folder = world.folder / "slurm", world.folder / "bin"
    state.mkdir()
    bin_folder.mkdir()
    for name in ("sbatch", "srun", "scontrol", "squeue"):
        text = f'#!/bin/sh\nexec {sys.executable} {ROOT}/tests/training/slurm_stand_in.py {name} "$@"\n'
        (bin_folder / name).write_text(text)
        (bin_folder / name).chmod(0o755)
    world.environment |= {"PATH": f"{bin_folder}:{os.environ['PATH']}", "SLURM_STAND_IN": str(state)}
    return state


def _job(cluster: Path, number: int = 4000) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((cluster / f"{number}.json").read_text())
    return value


def _wait_for_end(cluster: Path, number: int = 4000) -> dict[str, Any]:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        job = _job(cluster, number)
        if job["state"] in ("COMPLETED", "FAILED"):
            return job
        time.sleep(0.1)
    pytest.fail("the job does not end")


def test_the_script_is_the_one_in_the_documentation(profile: Path) -> None:
    text = render(load_profile(profile), run_id=12, folder=Path("/scratch/lab/runs/12"), ranks=Ranks(4, nodes=8))
    assert text == (ROOT / "docs" / "slurm-example.sh").read_text()
    assert "@" not in text
    assert subprocess.run(["bash", "-n"], input=text, text=True, check=False).returncode == 0


def test_a_folder_with_spaces_and_quotes_stays_one_word() -> None:
    text = render(Profile(), run_id=1, folder=Path("/data/o'brien runs/1"), ranks=Ranks(1))
    (line,) = re.findall(r"^run=.*$", text, re.MULTILINE)
    said = subprocess.run(["bash", "-c", f'{line}; echo "$run"'], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "/data/o'brien runs/1"


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("acount: x", "'acount'", "account"),
        ("environment: {WANDB_API_KEY: abc}", "keys do not belong into files", "export WANDB_API_KEY"),
        ("environment: {'A B': abc}", "no name of a variable", None),
        ("modules: cuda", "must be a list", None),
        ("gpus_per_node: four", "does not fit", None),
        ("account: 'a\n\n  b'", "one line", None),
        ("- account", "must be a mapping", None),
        ("account: [", "not valid YAML", None),
    ],
)
def test_a_mistake_in_a_profile_is_told(tmp_path: Path, text: str, said: str, hint: str | None) -> None:
    path = tmp_path / "profile.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=re.escape(said)) as caught:
        load_profile(path)
    assert hint is None or hint in (caught.value.hint or "")


def test_a_time_of_day_in_yaml_stays_a_time(tmp_path: Path) -> None:
    path = tmp_path / "profile.yaml"
    for written, meant in (("12:00:00", "12:00:00"), ("01:30:00", "01:30:00"), ("1-00:00:00", "1-00:00:00")):
        path.write_text(f"time: {written}")
        assert load_profile(path).time == meant


def test_a_job_trains_to_the_end_and_is_followed(world: World, cluster: Path) -> None:
    (world.folder / "cluster.yaml").write_text("partition: debug\ntime: 01:00:00\n")
    words = world.new("--max-steps", "8", "--slurm", "--nodes", "1", "--profile", "cluster.yaml")
    submitted = world.run(words)
    assert submitted.returncode == 0, submitted.stderr
    assert submitted.stdout.strip() == "4000"
    assert world.query("SELECT status, message FROM run") == [("interrupted", "left to SLURM job 4000")]
    followed = world.run(world.words("--follow", "1"))
    assert followed.returncode == 0, followed.stderr
    assert followed.stdout.strip() == str(world.runs / "1" / "final")
    assert world.steps() == list(range(1, 9))
    assert world.query("SELECT run.status, job_id FROM training JOIN run ON run.id = run_id") == [("done", "4000")]
    job = _wait_for_end(cluster)
    assert (job["state"], job["options"]["partition"], job["options"]["nodes"]) == ("COMPLETED", "debug", "1")
    assert any(
        call.startswith("srun --kill-on-bad-exit=1 ") for call in (cluster / "calls.txt").read_text().splitlines()
    )


def test_a_job_that_runs_out_of_time_is_queued_again_until_all_is_done(world: World, cluster: Path) -> None:
    (cluster / "seconds").write_text("4")
    world.tell("step_s", "0.15")
    world.run(world.new("--max-steps", "40", "--slurm", "--set", "stop.margin_s=1"))
    followed = world.run(world.words("--follow", "1", "--json"))
    assert followed.returncode == 0, followed.stderr
    assert json.loads(followed.stdout)["step"] == 40
    assert world.steps() == list(range(1, 41))
    assert 1 <= _wait_for_end(cluster)["restarts"] < 20, "each job had time for several steps"


def test_an_older_slurm_that_does_not_tell_the_end_is_asked(world: World, cluster: Path) -> None:
    (cluster / "old").touch()
    world.run(world.new("--max-steps", "4", "--slurm"))
    assert _wait_for_end(cluster)["state"] == "COMPLETED"
    assert "squeue --noheader --jobs 4000 --format %e" in (cluster / "calls.txt").read_text()


def test_a_job_without_time_for_a_step_is_not_queued_for_ever(world: World, cluster: Path) -> None:
    world.tell("stop_at_once", "the end of the SLURM job, after step 0")
    world.run(world.new("--max-steps", "4", "--slurm"))
    job = _wait_for_end(cluster)
    assert (job["state"], job["restarts"]) == ("COMPLETED", 0)
    assert "requeue" not in (cluster / "calls.txt").read_text()


def test_a_stopped_job_is_not_queued_again(world: World, cluster: Path) -> None:
    world.tell("step_s", "0.1")
    world.run(world.new("--max-steps", "4000", "--slurm"))
    spool = world.runs / "1" / "rank0.spool.jsonl"
    while not (spool.exists() and '"step"' in spool.read_text()):
        time.sleep(0.05)
    assert world.run(world.words("--stop", "1")).returncode == 0
    job = _wait_for_end(cluster)
    assert (job["state"], job["restarts"]) == ("COMPLETED", 0)
    followed = world.run(world.words("--follow", "1"))
    assert followed.returncode == 130
    assert "radvlm train --resume --run 1" in followed.stderr


def test_a_run_that_slurm_has_is_resumed_by_nobody_else(world: World, cluster: Path) -> None:
    """Neither here nor by a second job: two trainers would write into one folder."""
    world.tell("step_s", "0.1")
    world.run(world.new("--max-steps", "4000", "--slurm"))
    named = world.run(world.words("--resume", "--run", "1"))
    assert named.returncode == 3
    assert "in the hands of SLURM: job 4000 is running" in named.stderr
    assert "scancel 4000" in named.stderr
    last = world.run(world.words("--resume", "--slurm"))
    assert "no training run to resume" in last.stderr
    assert world.run(world.words("--stop", "1")).returncode == 0
    _wait_for_end(cluster)
    (world.runs / "1" / "stop").touch()  # asked for when the job was over already
    world.tell("step_s", "0.001")
    resumed = world.run(world.words("--resume", "--run", "1", "--max-steps", "30", "--slurm"))
    assert resumed.returncode == 3, "another number of steps is another run"
    assert world.run(world.words("--resume", "--run", "1", "--slurm")).returncode == 0
    assert not (world.runs / "1" / "stop").exists()
    _wait_for_end(cluster)


def test_a_run_that_slurm_never_had_is_not_followed(world: World) -> None:
    world.tell("crash", "2")
    world.run(world.new("--max-steps", "4"))
    followed = world.run(world.words("--follow", "1"))
    assert followed.returncode == 3
    assert "Run 1 is not trained by SLURM, and is failed" in followed.stderr
    assert "radvlm train --resume --run 1" in followed.stderr
    assert "knows no training run 7" in world.run(world.words("--follow", "7")).stderr


def test_a_job_that_failed_is_told_by_follow(world: World, cluster: Path) -> None:
    world.tell("fail", "The weights do not fit.")
    world.run(world.new("--slurm"))
    assert _wait_for_end(cluster)["state"] == "FAILED"
    followed = world.run(world.words("--follow", "1"))
    assert followed.returncode == 3
    assert "The weights do not fit." in followed.stderr
    assert world.query("SELECT status FROM run") == [("failed",)]


def test_what_slurm_refuses_is_told_in_its_words(world: World, cluster: Path) -> None:
    (world.folder / "cluster.yaml").write_text("account: wrong\n")
    result = world.run(world.new("--slurm", "--profile", "cluster.yaml"))
    assert result.returncode == 3
    assert "Invalid account" in result.stderr


def test_without_slurm_submission_says_so(world: World) -> None:
    world.environment["PATH"] = "/nowhere"
    result = world.run(world.new("--slurm"))
    assert result.returncode == 3
    assert "no sbatch" in result.stderr


def test_named_hosts_meet_at_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "b.cluster")
    ranks = Ranks(4, nodes=3, hosts=("a", "b", "c"))
    node = node_of_this_host(ranks.hosts)
    words = command(Path("/runs/7"), ranks, node=node, run_id=7)
    assert {"--nnodes=3", "--node-rank=1", "--master-addr=a", "--master-port=29407", "--nproc-per-node=4"} <= set(words)
    with pytest.raises(ConfigError, match="not among"):
        node_of_this_host(("x", "y"))


def test_several_nodes_without_slurm_or_names_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with pytest.raises(ConfigError, match="2 nodes need SLURM"):
        command(Path("/runs/7"), Ranks(4, nodes=2))
    monkeypatch.setenv("SLURM_JOB_ID", "5")
    assert command(Path("/runs/7"), Ranks(4, nodes=2))[0] == "srun"


def test_the_state_of_a_job_is_none_where_there_is_no_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert slurm.job_state("5") is None
