"""How the fake server is told to answer, and how it tells what it was asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tests.fakes import answers
from tests.fakes.faults import Faults

Answerer = Callable[[dict[str, Any]], str]


@dataclass
class Behaviour:
    """How the server answers; may be changed while it runs, but for log and limits."""

    answer: Answerer = answers.echo
    latency_s: float = 0.0
    """Give or take a fifth."""
    faults: Faults = field(default_factory=Faults)
    key: str | None = None
    """The key that it wants; None: any."""
    models: Sequence[str] = ()
    """Models or deployments that it has; empty: any."""
    count_tokens: bool = True
    rpm: float | None = None
    tpm: float | None = None
    """Tokens a minute, charged on arrival with what the request may cost, as Azure does."""
    knows_schema: bool = True
    """Whether response_format json_schema is taken."""
    log: Path | None = None
    batch_seconds: float = 0.3
    batch_error_share: float = 0.0
    """Of lines; the same line succeeds when it is sent again."""
    batch_end: str = "completed"
    """Or `failed`, `expired`: half of the lines are answered then."""
    batch_lines: int = 50_000
    batch_bytes: int = 200_000_000
    lost_replies: int = 0
    """So many uploads and submissions are taken, but their replies never arrive."""
    dies_on_submission: bool = False
    """Take a batch, and be `down` from then on."""
    outages: int = 0
    """So many looks at one batch are answered with 503."""
    down: bool = False
    """Close every connection without an answer."""
    status: int | None = None
    """Answer everything with this status."""
    version: str | None = None
    """What it answers to `/version`, as vLLM does; None: it has no such path."""
    page: str | None = None
    """Answer everything but chat completions with 200 and this."""


class Seen(NamedTuple):
    """A kind of request."""

    method: str
    path: str
    """With `ID` for what follows `/files/` or `/batches/`."""
    api_version: str | None
    headers: frozenset[str]
    """Which of `api-key` and `Authorization` it had."""
