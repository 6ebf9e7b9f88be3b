"""Listen on an address, say what it is, and serve until somebody asks to stop."""

from __future__ import annotations

import ipaddress
import signal
import socket
import threading
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import uvicorn

from radvlm_cli.errors import ConfigError, Interrupted
from radvlm_cli.stages.serving.access import Held, held
from radvlm_cli.stages.serving.application import Served, application
from radvlm_cli.stages.serving.guard import LOOPBACK, Application, new_token
from radvlm_cli.stages.serving.pages import Folders
from radvlm_cli.store.snapshot import open_snapshot

_LAST_ANSWERS_S = 3
"""Answers under way when it is stopped are waited for so long."""


class Choice(NamedTuple):
    """What the user chose."""

    store: Path
    data_dir: Path | None
    derived_dir: Path | None
    host: str = "127.0.0.1"
    port: int = 8001
    network: bool = False
    """Whether the network may reach it."""
    agreements: bool = False
    """Whether everybody who can reach it may see what is under use agreements."""
    token: bool = True
    browser: bool = False


def serve(choice: Choice, *, ready: Callable[[str], None], say: Callable[[str], None]) -> None:
    """Serve the store; `ready` gets the address. Interrupted when somebody asks to stop.

    ConfigError where the network could reach it and the user has not said that it may, or the port is taken;
    StoreError as in open_snapshot, which brings a store that is behind up to date first.
    """
    with open_snapshot(choice.store) as store:
        holds = held(store, choice.data_dir)
    address = ipaddress.ip_address(_resolved(choice))
    if not address.is_loopback:
        _check_network(choice, holds)
    token = new_token() if choice.token else None
    served = Served(choice.store, Folders(choice.data_dir, choice.derived_dir), holds.banner())
    names = (*LOOPBACK, choice.host.lower()) if address.is_loopback else ()
    with listen(str(address), choice.port) as listening, application(served, token, names) as app:
        for warning in _warnings(choice, holds, address):
            say(warning)
        name = socket.gethostname() if address.is_unspecified else choice.host
        entry = f"http://{f'[{name}]' if ':' in name else name}:{listening.getsockname()[1]}/"
        entry += "" if token is None else f"?token={token}"
        ready(entry)  # it listens already: whoever comes before it answers waits for a moment
        if choice.browser:
            threading.Thread(target=webbrowser.open, args=(entry,), daemon=True).start()
        _run(app, listening)


def _warnings(choice: Choice, holds: Held, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> Iterator[str]:
    if holds.restricted:
        yield f"The store holds {holds.what}. Show them only to people who may see them."
        if not choice.token:
            yield "Without its key, everybody who has an account on this machine can read the store."
        elif choice.browser:
            yield "With --open, others with accounts on this machine can read the key off the browser's command line."
    if not address.is_loopback:
        yield "What is sent is not encrypted: anybody on the way can read it."


def _resolved(choice: Choice) -> str:
    """The address of a host's name."""
    try:
        found = socket.getaddrinfo(choice.host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:  # the latter of names that break the rules of names
        raise ConfigError(f"{choice.host!r} is no address of this machine.", "--host 127.0.0.1") from error
    return str(found[0][4][0]).partition("%")[0]


def _check_network(choice: Choice, holds: Held) -> None:
    """Refuse to let others in unless the user has said that they may come."""
    tunnel = f"ssh -L {choice.port}:127.0.0.1:{choice.port} THIS_HOST  (and radvlm serve without --host)"
    if not choice.network:
        raise ConfigError(
            f"On {choice.host}, everybody whom the network lets reach this machine could ask for this store's pages, "
            "and what is sent is not encrypted.",
            f"{tunnel}\nor, if that is wanted: --show-to-network",
        )
    if not choice.token:
        raise ConfigError("Without its key, everybody in the network could read the store.", "leave out --no-token")
    if holds.restricted and not choice.agreements:
        raise ConfigError(
            f"This store holds {holds.what}, which must not be shown to others over a network.",
            f"{tunnel}\nor, if everybody who can reach {choice.host} may see them: --confirm-agreements",
        )


def listen(address: str, port: int) -> socket.socket:
    """A socket that listens; port 0: a free one. ConfigError where it cannot."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        return socket.create_server((address, port), family=family)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"Cannot listen on {address}, port {port}: {reason}.", "--port 0 takes a free one") from error


def _run(app: Application, listening: socket.socket) -> None:
    config = uvicorn.Config(
        app,
        log_config=None,  # uvicorn's own would close every handler that others have set up in this process
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_LAST_ANSWERS_S,
    )
    # Uvicorn ends what is under way at the first Ctrl-C or SIGTERM, and hands the signal on when it is done.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listening])
    finally:
        signal.signal(signal.SIGTERM, before)
    raise Interrupted("Stopped.")
