"""Start the workers of an evaluation on a node, and look after them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from radvlm_cli.stages.answering import environment_of
from radvlm_cli.stages.answering_job import Job
from radvlm_cli.training.launch import Started


def worker_command(manifest: Path, rank: int) -> list[str]:
    """The command line of one worker."""
    return [sys.executable, "-m", "radvlm_cli.stages.answering", str(manifest), str(rank)]


def node_command(manifest: Path, node: int | None = None) -> list[str]:
    """The command line of all workers of a node; None: the node that SLURM says it is."""
    number = [] if node is None else [str(node)]
    return [sys.executable, "-m", "radvlm_cli.stages.answering", str(manifest), "--node", *number]


def start_workers(manifest: Path, job: Job, node: int) -> list[Started]:
    """Start the workers of node number `node`, each with a log of its own beside the manifest."""
    gpus = job.per_node if job.loading["device"] == "cuda" else 0
    return [
        Started(
            worker_command(manifest, rank),
            manifest.parent / f"rank{rank}.log",
            on_cpu=gpus == 0,
            environment=environment_of(local, gpus=gpus, per_node=job.per_node),
        )
        for local in range(job.per_node)
        if (rank := node * job.per_node + local) < job.workers
    ]


def in_hand(folder: Path) -> dict[str, list[str]]:
    """What dead workers had in hand: file name -> keys of samples. Call it when none is at work."""
    found = {}
    for path in sorted(folder.glob("*.hand")):
        try:
            keys = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            keys = []  # it died while it wrote this, before it began
        found[path.name] = [key for key in keys if isinstance(key, str)] if isinstance(keys, list) else []
    return found


def forget_hands(folder: Path) -> None:
    """Remove what was said to be in hand."""
    for path in folder.glob("*.hand"):
        path.unlink(missing_ok=True)
