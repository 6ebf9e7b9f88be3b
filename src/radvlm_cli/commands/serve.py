"""radvlm serve: the store in a browser."""

from __future__ import annotations

import importlib.util
from typing import Annotated

import typer

from radvlm_cli.commands import options
from radvlm_cli.commands.output import say
from radvlm_cli.config import load_settings
from radvlm_cli.errors import ConfigError, Interrupted

_NEEDED = ("datasette", "uvicorn")
_INSTALL = "pip install 'radvlm[serve]'"

Host = Annotated[str, typer.Option("--host", help="Address to listen on; others than this machine's own ask more.")]
Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 takes a free one.")]
Open = Annotated[bool, typer.Option("--open", help="Open it in a browser.")]
Network = Annotated[
    bool, typer.Option("--show-to-network", help="With --host: let others in, over a connection without encryption.")
]
Agreements = Annotated[
    bool,
    typer.Option(
        "--confirm-agreements",
        help="With --show-to-network: everybody who can reach it may see the credentialed data that the store holds.",
    ),
]
NoToken = Annotated[
    bool, typer.Option("--no-token", help="Let in whoever is on this machine, without the key that the address has.")
]


def serve(
    port: Port = 8001,
    open_: Open = False,
    host: Host = "127.0.0.1",
    show_to_network: Network = False,
    confirm_agreements: Agreements = False,
    no_token: NoToken = False,
    data_dir: options.DataDir = None,
    derived_dir: options.DerivedDir = None,
    store: options.StorePath = None,
) -> None:
    """Look at the store in a browser: each prediction with its boxes, ready-made questions, tables, SQL.

    On this machine alone, reading only, until Ctrl-C. See docs/serve.md. Research use only.

    Examples:

      radvlm serve --open

      radvlm serve --store radvlm.db --port 0
    """
    absent = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if absent:
        raise ConfigError(f"Serving needs an extra; not installed: {', '.join(absent)}.", _INSTALL)
    settings = load_settings(data_dir=data_dir, derived_dir=derived_dir, store=store)

    from radvlm_cli.stages.serving import server

    choice = server.Choice(
        store=settings.store,
        data_dir=settings.data_dir,
        derived_dir=settings.derived_dir or settings.data_dir,
        host=host,
        port=port,
        network=show_to_network,
        agreements=confirm_agreements,
        token=not no_token,
        browser=open_,
    )
    try:
        server.serve(choice, ready=lambda address: print(address, flush=True), say=say)
    except KeyboardInterrupt as error:
        raise Interrupted("Stopped.") from error
