"""What `train` and `eval` are told of the machines to run on."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from radvlm_cli.errors import ConfigError
from radvlm_cli.training.slurm import Profile


class Machines(Protocol):
    """Options as they were given; None where they were not."""

    @property
    def gpus(self) -> int | None: ...
    @property
    def processes(self) -> int | None: ...
    @property
    def nodes(self) -> int | None: ...
    @property
    def hosts(self) -> str | None: ...
    @property
    def slurm(self) -> bool: ...
    @property
    def profile(self) -> Path | None: ...


def named_hosts(asked: Machines) -> tuple[str, ...]:
    """The nodes that are named, outside SLURM. ConfigError where one option contradicts another."""
    hosts = tuple(host.strip() for host in (asked.hosts or "").split(",") if host.strip())
    if asked.processes is not None and asked.gpus not in (0, None):
        raise ConfigError("--processes is for the CPU.", f"--gpus {asked.gpus} without it, or --gpus 0 with it")
    if hosts and (asked.slurm or asked.nodes not in (None, len(hosts))):
        raise ConfigError("--hosts names the nodes itself.", "Leave --nodes and --slurm out.")
    if asked.profile is not None and not asked.slurm:
        raise ConfigError("--profile is for SLURM.", "--slurm --profile FILE")
    return hosts


def gpus_of_a_node(asked: Machines, profile: Profile | None) -> int | None:
    """As the options or else the cluster's profile have it; None: those that are here."""
    gpus = 0 if asked.processes is not None else asked.gpus
    if gpus is None and profile is not None:
        if profile.gpus_per_node is None:
            raise ConfigError("How many GPUs a node has is not said.", "--gpus N, or gpus_per_node in the profile")
        return profile.gpus_per_node
    return gpus
