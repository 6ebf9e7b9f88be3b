"""Who may be shown the pictures of a test set: models that run here, and servers of one's own."""

from __future__ import annotations

import os
from collections.abc import Sequence

from radvlm_cli.llm.consent import require_consent
from radvlm_cli.llm.endpoint import Endpoint, find_endpoint
from radvlm_cli.sources import SOURCES
from radvlm_cli.stages.evaluation.request import Request


def require_consent_to_ask(request: Request, sources: Sequence[str]) -> None:
    """ConfigError where a served model is asked about credentialed sources over an open line, or may keep them."""
    base_url = request.loading["base_url"]
    if base_url is None:
        return
    server = find_endpoint("endpoint", model=None, azure_model=None, base_url=base_url, environ=os.environ)
    require_consent_of(server, sources, zero_retention=request.zero_retention)


def require_consent_of(server: Endpoint, sources: Sequence[str], *, zero_retention: bool) -> None:
    """ConfigError where a server may not be sent what these sources hold."""
    require_consent(
        titles=[title for source in dict.fromkeys(sources) if (title := _credentialed(source)) is not None],
        endpoint=server,
        batch=False,
        zero_retention=zero_retention,
        batch_retention=False,
    )


def _credentialed(source: str) -> str | None:
    """Title of a source that is not free to share; of one that nobody has said so of, its name."""
    if source not in SOURCES:
        return source
    info = SOURCES[source]().info
    return info.title if info.credentialed else None
