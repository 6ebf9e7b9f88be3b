"""What a job has asked and spent so far, and whether the next call still fits its budget."""

from __future__ import annotations

import time
from collections import deque

from radvlm_cli.errors import RadvlmError
from radvlm_cli.llm import Answer, Request
from radvlm_cli.llm.pricing import Price, batch_share, cost
from radvlm_cli.llm.tokens import estimate_tokens

_WINDOW_S = 30.0


class BudgetError(RadvlmError):
    """The next call would cost more than is left."""


class Meter:
    """Counts calls, tokens and dollars; holds the budget."""

    def __init__(self, price: Price | None, *, batch: bool = False, cap: float | None = None, spent: float = 0.0):
        self.price = price
        self.cap = cap
        self.spent = spent
        """US dollars, of this run, earlier parts of it included."""
        self.reserved = 0.0
        """For calls in flight."""
        self.calls = self.retries = self.throttled = self.cached = 0
        self.input_tokens = self.output_tokens = 0
        self._batch = batch
        self._answers = 0
        self._recent: deque[tuple[float, int]] = deque()
        self._recent_tokens = 0
        self._prefix: dict[bytes, int] = {}

    def input_estimate(self, request: Request) -> int:
        """Input tokens of a request, from the number of its characters."""
        prompt = request.prompt
        prefix = self._prefix.get(prompt.hash)
        if prefix is None:
            prefix = self._prefix[prompt.hash] = sum(estimate_tokens(m["content"]) + 4 for m in prompt.messages)
        return prefix + sum(estimate_tokens(message["content"]) + 4 for message in request.messages)

    def reserve(self, request: Request, tokens: int) -> float:
        """Set money aside for a call; BudgetError if it does not fit."""
        if self.price is None:
            return 0.0
        most = int(request.prompt.parameters.get("max_tokens", 1000))
        expected = min(most, 2 * self.output_tokens // self._answers) if self._answers >= 20 else most
        share = batch_share() if self._batch else 1.0
        amount = share * (tokens * self.price.input + expected * self.price.output) / 1e6
        if self.cap is not None and self.spent + self.reserved + amount > self.cap:
            raise BudgetError(
                f"The budget of ${self.cap:,.2f} is used up: ${self.spent:,.2f} spent; "
                "everything answered so far is kept.",
                "Go on with a larger one: --max-cost AMOUNT --resume",
            )
        self.reserved += amount
        return amount

    def free(self, amount: float) -> None:
        """Give back what was set aside."""
        self.reserved = max(0.0, self.reserved - amount)

    def priced(self, answer: Answer, reserved: float = 0.0) -> Answer:
        """The answer with what it cost: where the endpoint's usage is no good, what was set aside for it."""
        known = cost(self.price, answer.usage, batch=answer.tier == "batch")
        if known is None and reserved and answer.status != "failed":
            known = reserved
        return answer._replace(cost=known)

    def count(self, answer: Answer) -> None:
        """Count an answer that is priced."""
        self.calls += 1
        self.spent += answer.cost or 0.0
        used = (answer.usage.input or 0) + (answer.usage.output or 0)
        self.input_tokens += answer.usage.input or 0
        self.output_tokens += answer.usage.output or 0
        self._answers += answer.usage.output is not None
        now = time.monotonic()
        self._recent.append((now, used))
        self._recent_tokens += used
        while self._recent[0][0] < now - _WINDOW_S:
            self._recent_tokens -= self._recent.popleft()[1]

    def tokens_per_minute(self) -> float:
        """Of the last half minute."""
        if len(self._recent) < 2:
            return 0.0
        span = max(1.0, time.monotonic() - self._recent[0][0])
        return 60 * self._recent_tokens / span
