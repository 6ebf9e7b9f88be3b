"""Start the training program, stop it gently, or kill all of it.

torchrun gets a process group of its own, so that Ctrl-C on the terminal reaches radvlm alone: it then asks the program
to stop through a file in the run's folder, which gives it the time that a checkpoint takes. If radvlm itself is killed,
the kernel kills torchrun, and with it (they ask for that themselves) its workers.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from radvlm_cli.errors import ConfigError
from radvlm_cli.program import program_folder
from radvlm_cli.training.manifest import FILE, LOG, STOP_FILE

SHUTDOWN_S = 1800
"""How long torchrun lets workers save after a SIGTERM (its own default, 30 s, is too short for a large model)."""
_PORT = 29_400
_LAST_BYTES = 65_536
_PR_SET_PDEATHSIG = 1


class Ranks(NamedTuple):
    """On what to train."""

    gpus: int
    """Per node; 0: on the CPU."""
    processes: int = 1
    """Per node, on the CPU."""
    nodes: int = 1
    hosts: tuple[str, ...] = ()
    """Names of the nodes, outside SLURM; the first is where all meet."""

    @property
    def per_node(self) -> int:
        """Processes on each node."""
        return self.gpus or self.processes

    @property
    def world(self) -> int:
        """Processes in all."""
        return self.per_node * self.nodes


def command(folder: Path, ranks: Ranks, *, node: int = 0, run_id: int = 0) -> list[str]:
    """The command line that trains the run in `folder`, on node number `node` of `ranks.hosts` where there are any."""
    words = [sys.executable, "-m", "torch.distributed.run"]
    if ranks.hosts:
        words += [f"--nnodes={len(ranks.hosts)}", f"--node-rank={node}"]
        words += [f"--master-addr={ranks.hosts[0]}", f"--master-port={_PORT + run_id % 10_000}"]
    elif ranks.nodes > 1:
        words = _inside_slurm(ranks) + words
    else:
        words += ["--standalone"]
    words += [f"--nproc-per-node={ranks.per_node}", "--max-restarts=0", f"--shutdown-timeout={SHUTDOWN_S}"]
    return [*words, str(program_folder() / "train.py"), str(folder / FILE)]


def _inside_slurm(ranks: Ranks) -> list[str]:
    """srun before torchrun, in an allocation that is held already."""
    job = os.environ.get("SLURM_JOB_ID")
    if job is None:
        raise ConfigError(
            f"{ranks.nodes} nodes need SLURM, or to be named.",
            "--slurm, or --hosts a,b; or run this inside an allocation (salloc)",
        )
    return ["srun", "--kill-on-bad-exit=1", f"--nodes={ranks.nodes}", "--ntasks-per-node=1"]


def node_of_this_host(hosts: Sequence[str]) -> int:
    """The place of this host among `hosts`; ConfigError where it is not one of them."""
    names = {socket.gethostname(), socket.gethostname().partition(".")[0], socket.getfqdn(), "localhost"}
    for number, host in enumerate(hosts):
        if host in names:
            return number
    raise ConfigError(
        f"This host, {socket.gethostname()}, is not among --hosts {','.join(hosts)}.",
        "Run it on the first of them; it prints what to run on the others.",
    )


class Started:
    """A program at work that dies with this process, in a process group of its own."""

    def __init__(
        self, words: Sequence[str], log: Path, *, on_cpu: bool, environment: Mapping[str, str] | None = None
    ) -> None:
        """Start it; what it prints is appended to `log`."""
        self.log = log
        surroundings = {**os.environ, "PYTHONUNBUFFERED": "1", "TOKENIZERS_PARALLELISM": "false"}
        if on_cpu:
            # Not by ACCELERATE_USE_CPU, with which accelerate leaves DeepSpeed out without a word.
            surroundings |= {"CUDA_VISIBLE_DEVICES": ""}
        parent = os.getpid()
        with self.log.open("ab") as stream:
            self.log_start = stream.tell()
            self.process = subprocess.Popen(
                list(words),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env={**surroundings, **(environment or {})},
                start_new_session=True,
                preexec_fn=lambda: _die_with(parent),
            )

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self.process.poll() is not None

    def kill(self) -> None:
        """End it and all that it started, at once."""
        for pid in (*_descendants(self.process.pid), self.process.pid):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def last_words(self, lines: int = 15) -> str:
        """The end of what it printed."""
        with self.log.open("rb") as log:
            log.seek(max(self.log_start, self.log.stat().st_size - _LAST_BYTES))
            text = log.read().decode(errors="replace")
        return "\n".join(text.splitlines()[-lines:])


class Launched(Started):
    """The training program at work."""

    def __init__(self, folder: Path, words: Sequence[str], *, on_cpu: bool) -> None:
        """Start it; what it prints goes to RUN/log.txt."""
        self.folder = folder
        super().__init__(words, folder / LOG, on_cpu=on_cpu)

    def stop(self) -> None:
        """Ask it to save a checkpoint and end."""
        (self.folder / STOP_FILE).touch()


def _die_with(parent: int) -> None:
    """In the child, before it becomes the program: have the kernel kill it when radvlm dies (Linux)."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _descendants(pid: int) -> list[int]:
    """Processes started by `pid`, and by those, children first."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError, ValueError, IndexError):
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    found: list[int] = [pid]
    for each in found:  # grows while it is read
        found += [child for child, parent in parents.items() if parent == each]
    return found[:0:-1]
