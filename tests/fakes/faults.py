"""Which request meets which fault: a function of seed, body and attempt, so that a run can be repeated."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

TRANSIENT = (
    "429",
    "500",
    "503",
    "408",
    "disconnect",
    "disconnect in body",
    "truncated JSON",
    "malformed JSON",
    "no choices",
)
"""Faults that a retry gets over."""
USAGE = ("no usage", "zero usage", "negative usage")
"""The answer is good, its token counts are not."""
FINAL = ("content filter", "output filter", "length", "refusal")
"""Outcomes that the same body always has."""
_MOST_IN_A_ROW = 3


@dataclass
class Faults:
    """Shares of requests that go wrong."""

    rate: float = 0.0
    """Of attempts, spread evenly over `kinds`."""
    kinds: tuple[str, ...] = TRANSIENT
    final_rate: float = 0.0
    """Of bodies, spread evenly over FINAL."""
    seed: int = 0

    def transient(self, key: str, attempt: int) -> str | None:
        """The fault of an attempt (from 1) at a body, if it meets one."""
        if attempt > _MOST_IN_A_ROW:
            return None
        return self._pick(f"{self.seed} {key} {attempt}", self.rate, self.kinds)

    def final(self, key: str) -> str | None:
        """The outcome that a body always has, if it is no ordinary answer."""
        return self._pick(f"{self.seed} {key} final", self.final_rate, FINAL)

    def _pick(self, text: str, rate: float, kinds: tuple[str, ...]) -> str | None:
        number = int.from_bytes(sha256(text.encode()).digest()[:8], "big") / 2**64
        if number >= rate:
            return None
        return kinds[int(number / rate * len(kinds))]
