"""The written script under a real SLURM (Debian: apt-get install slurm-wlm), of one node, started by the test."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.training.conftest import World

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol")
SYSTEM = "/usr/local/sbin:/usr/sbin:/sbin"

CONFIG = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
SlurmctldPort={controller_port}
SlurmdPort={node_port}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/controller.pid
SlurmdPidFile={folder}/node.pid
SlurmctldLogFile={folder}/controller.log
SlurmdLogFile={folder}/node.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
KillWait=5
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=debug Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""

pytestmark = pytest.mark.slow


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
def cluster(world: World) -> Iterator[Path]:
    """A SLURM of one node; the folder of its state."""
    path = f"{os.environ['PATH']}:{SYSTEM}"
    if any(shutil.which(name, path=path) is None for name in NEEDED):
        pytest.skip("SLURM is not installed: apt-get install slurm-wlm")
    folder = world.folder / "cluster"
    for part in (folder, folder / "state", folder / "spool"):
        part.mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o600)
    config = CONFIG.format(
        host=socket.gethostname().partition(".")[0],
        user=pwd.getpwuid(os.getuid()).pw_name,
        folder=folder,
        controller_port=_free_port(),
        node_port=_free_port(),
        cpus=os.cpu_count(),
    )
    (folder / "slurm.conf").write_text(config)
    world.environment |= {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": path}
    munge = ["munged", "--force", "--foreground", f"--key-file={key}", f"--socket={folder}/munge.socket"]
    munge += [f"--pid-file={folder}/munge.pid", f"--log-file={folder}/munge.log", f"--seed-file={folder}/munge.seed"]
    daemons = []
    try:
        for words in (munge, ["slurmctld", "-D"], ["slurmd", "-D"]):
            with (folder / f"{words[0]}.out").open("wb") as out:
                daemons.append(subprocess.Popen(words, env=world.environment, stdout=out, stderr=out))
            time.sleep(1.5)
        _wait_until_idle(world)
        yield folder
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                daemon.wait(20)
            daemon.kill()


def _wait_until_idle(world: World) -> None:
    for _ in range(60):
        said = world.call(["sinfo", "--noheader", "--format=%T"])
        if "idle" in said:
            return
        time.sleep(0.5)
    pytest.skip(f"SLURM cannot be started here: {said}")


def test_a_run_goes_on_from_job_to_job_of_a_real_slurm(world: World, cluster: Path) -> None:
    (world.folder / "cluster.yaml").write_text("partition: debug\ntime: 00:01:00\n")
    world.tell("step_s", "0.5")
    # A minute is the shortest job; the program is to stop 30 s before its end, halfway through.
    words = ("--max-steps", "70", "--slurm", "--profile", "cluster.yaml", "--set", "stop.margin_s=30")
    submitted = world.run(world.new(*words))
    assert submitted.returncode == 0, submitted.stderr
    job = submitted.stdout.strip()
    followed = subprocess.run(
        world.words("--follow", "1"),
        cwd=world.folder,
        env=world.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    log = "".join(path.read_text() for path in (world.runs / "1").glob("slurm-*.log"))
    assert followed.returncode == 0, followed.stderr + log
    assert world.steps() == list(range(1, 71))
    assert world.query("SELECT status FROM run") == [("done",)]
    said = world.call(["scontrol", "show", "job", job])
    assert "JobState=COMPLETED" in said
    assert int(said.partition("Restarts=")[2].split()[0]) >= 1, said
    ((starts,),) = world.query("SELECT count(*) FROM event WHERE kind = 'started'")
    assert starts >= 2


def test_stop_reaches_a_job_of_a_real_slurm(world: World, cluster: Path) -> None:
    world.tell("step_s", "0.1")
    submitted = world.run(world.new("--max-steps", "10000", "--slurm"))
    assert submitted.returncode == 0, submitted.stderr
    spool = world.runs / "1" / "rank0.spool.jsonl"
    for _ in range(600):
        if spool.exists() and '"step"' in spool.read_text():
            break
        time.sleep(0.1)
    assert world.run(world.words("--stop", "1")).returncode == 0
    followed = world.run(world.words("--follow", "1"))
    assert followed.returncode == 130, followed.stderr
    assert "as asked" in followed.stderr
    said = world.call(["scontrol", "show", "job", submitted.stdout.strip()])
    assert "Restarts=0" in said
