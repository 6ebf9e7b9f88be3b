"""Options that several commands share, each written once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
