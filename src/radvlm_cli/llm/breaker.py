"""When to stop asking an endpoint that does not answer."""

from __future__ import annotations

import time
from collections.abc import Callable

from radvlm_cli.errors import RadvlmError

_PROBE_AFTER = 5
"""Failures in a row after which single calls probe the endpoint: an outage must not use up every item's tries."""
_LEAST_FAILURES = 10
_PATIENCE_S = 120.0
_FIRST_PATIENCE_S = 10.0
"""For an endpoint that never answered at all: more likely a wrong address than an outage."""
_QUOTA_PATIENCE_S = 600.0
_LONGEST_PROBE_WAIT_S = 15.0


class EndpointError(RadvlmError):
    """The endpoint cannot be used: it is down, out of quota, or refuses the key, the model or the address."""


class Breaker:
    """Counts failures in a row; says how long to hold calls back, and when to give up."""

    def __init__(self, host: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._host = host
        self._clock = clock
        self._last_answer: float | None = None
        self._failures = 0
        self._first_failure = 0.0
        self._throttled_since: float | None = None

    @property
    def probing(self) -> bool:
        """Whether only one call at a time should be made, to see if the endpoint is back."""
        return self._failures >= _PROBE_AFTER

    def answered(self) -> None:
        """Forget failures: the endpoint is there."""
        self._failures = 0
        self._throttled_since = None
        self._last_answer = self._clock()

    def failed(self, error: str, retry_after_s: float | None = None) -> float:
        """Count a failure; return for how many seconds to hold every call. EndpointError when it is time to stop."""
        now = self._clock()
        if (retry_after_s or 0.0) > _QUOTA_PATIENCE_S:
            raise EndpointError(
                f"{self._host} is out of service and asks to wait {retry_after_s:,.0f} s ({error}); "
                "everything answered so far is kept.",
                "Go on later with --resume",
            )
        if self._failures == 0:
            self._first_failure = now
        self._failures += 1
        patience = _FIRST_PATIENCE_S if self._last_answer is None else _PATIENCE_S
        if self._failures >= _LEAST_FAILURES and now - self._first_failure >= patience:
            raise EndpointError(
                f"{self._host} has not answered for {now - self._first_failure:.0f} s ({error}); "
                "everything answered so far is kept.",
                "Check the address and the server, then go on with --resume",
            )
        if not self.probing:
            return 0.0
        return min(_LONGEST_PROBE_WAIT_S, 0.25 * 2.0 ** min(self._failures - _PROBE_AFTER, 10))

    def throttled(self, retry_after_s: float | None) -> None:
        """Count a 429. EndpointError if the endpoint asks for, or has taken, too long."""
        now = self._clock()
        self._throttled_since = self._throttled_since if self._throttled_since is not None else now
        asked = retry_after_s or 0.0
        if asked > _QUOTA_PATIENCE_S or now - self._throttled_since > _QUOTA_PATIENCE_S:
            raise EndpointError(
                f"{self._host} is out of quota: it asks to wait {asked:,.0f} s "
                f"(429 for {now - self._throttled_since:,.0f} s); everything answered so far is kept.",
                "Go on later with --resume, or lower --requests-per-minute and --tokens-per-minute",
            )
