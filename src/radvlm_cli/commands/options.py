"""Options that several commands share, each written once."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

_CLUSTER = "Several nodes"


class Attention(StrEnum):
    """Attention kernels."""

    sdpa = "sdpa"
    eager = "eager"
    flash_attention_2 = "flash_attention_2"


def option(*names: str, help: str, panel: str, **more: Any) -> Any:
    """An option in a panel of the help; what it is without being given stands in `help`."""
    return typer.Option(*names, help=help, rich_help_panel=panel, show_default=False, **more)


DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Folder that holds the datasets.", envvar="DATA_DIR", show_default=False),
]
DerivedDir = Annotated[
    Path | None,
    typer.Option(
        "--derived-dir",
        help="Folder for files made by prepare, where the data folder is read-only.",
        envvar="RADVLM_DERIVED_DIR",
        show_default="the data folder",
    ),
]
StorePath = Annotated[
    Path | None,
    typer.Option(
        "--store",
        help="The SQLite store.",
        envvar="RADVLM_STORE",
        show_default="radvlm.db in the data folder",
    ),
]
AllowNetworkStore = Annotated[
    bool, typer.Option("--allow-network-store", help="Accept a store on a network file system (one host only).")
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the record of the run that was interrupted.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]

Nodes = Annotated[int | None, option("--nodes", help="Nodes, each with --gpus GPUs.", panel=_CLUSTER, min=1)]
Slurm = Annotated[bool, option("--slurm", help="Write a batch script and submit it.", panel=_CLUSTER)]
ProfileFile = Annotated[
    Path | None, option("--profile", help="YAML: account, partition, time, ... of the cluster.", panel=_CLUSTER)
]
Hosts = Annotated[
    str | None, option("--hosts", help="Names of the nodes, with commas, where there is no SLURM.", panel=_CLUSTER)
]
