"""Start the workers of an evaluation on a node, and look after them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from radvlm_cli.adapters.loading import OFFLINE
from radvlm_cli.errors import ConfigError
from radvlm_cli.stages.answering.job import Job
from radvlm_cli.training.launch import Started


def worker_command(manifest: Path, rank: int) -> list[str]:
    """The command line of one worker."""
    return [sys.executable, "-m", "radvlm_cli.stages.answering.worker", str(manifest), str(rank)]


def node_command(manifest: Path, node: int | None = None) -> list[str]:
    """The command line of all workers of a node; None: the node that SLURM says it is."""
    number = [] if node is None else [str(node)]
    return [sys.executable, "-m", "radvlm_cli.stages.answering.worker", str(manifest), "--node", *number]


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


def environment_of(local: int, *, gpus: int, per_node: int) -> Mapping[str, str]:
    """Variables of worker number `local` of a node: its own GPU, or its share of the cores; and no network."""
    if gpus:
        visible = [each for each in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if each]
        if visible and len(visible) <= local:
            raise ConfigError(
                f"{gpus} GPUs are asked for; CUDA_VISIBLE_DEVICES names {len(visible)}.", f"--gpus {len(visible)}"
            )
        return {**OFFLINE, "CUDA_VISIBLE_DEVICES": visible[local] if visible else str(local)}
    threads = max(1, (os.cpu_count() or 1) // per_node)
    return {**OFFLINE, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(threads))}


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
