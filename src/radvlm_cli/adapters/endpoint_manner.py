"""How a served model is asked: how many requests at a time, how often and how long."""

from __future__ import annotations

from typing import NamedTuple


class Manner(NamedTuple):
    """How a server is asked; what `Loading.options` may hold."""

    concurrency: int = 16
    """Requests at a time."""
    tries: int = 6
    """Of each request, before it counts as failed."""
    wait_s: float = 0.5
    """After the first failure; doubled with each further one."""
    timeout_s: float = 600.0
    seed: int = 0
