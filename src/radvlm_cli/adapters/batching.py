"""Many requests in batches as large as memory takes, none lost on the way."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Literal

from radvlm_cli.adapters.computing import free_memory
from radvlm_cli.adapters.protocol import Adapter, Reply, Request

Batch = int | Literal["auto"]
MOST_TOGETHER = 64
"""Most requests in a batch of `auto`: beyond, a GPU gains next to nothing, and an interrupted batch is lost."""
TOO_LARGE = "the request does not fit into memory, even alone"
_CLOSE = 1.2
"""The size of batches stays where it is when what is known to be too much is less than this many times as much."""
_OUT_OF_MEMORY = (
    "CUBLAS_STATUS_ALLOC_FAILED",
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
)
"""What the libraries below torch say in their own words."""


def answer_all(
    adapter: Adapter, requests: Sequence[Request], most: int, batch: Batch = "auto", *, budget: Budget | None = None
) -> Iterator[tuple[Request, Reply]]:
    """Answer all requests, cheapest first, each exactly once; `most` new tokens each.

    `batch`: how many together at most; auto: begins with one, doubles while memory takes it, and stays below what it
    did not take. Like costs go together, since the dearest of a batch sets what each of the others takes. Where a batch
    does not fit it is tried again in halves; what does not fit alone is answered with an error. `budget`, made for the
    same `batch`, carries what was learnt from call to call.
    """
    waiting = sorted(((adapter.cost(request), request) for request in requests), key=lambda each: each[0])
    budget = budget or Budget(batch if adapter.batches else 1)
    start = 0
    while start < len(waiting):
        count = budget.count([cost for cost, _request in waiting[start : start + budget.most]])
        taken = [request for _cost, request in waiting[start : start + count]]
        dearest = waiting[start + count - 1][0]
        replies = _try(adapter, taken, most)
        if replies is None and count > 1:
            budget.failed(count, dearest)
            continue
        if replies is None:
            replies = [Reply("", error=TOO_LARGE)]
        else:
            budget.worked(count, dearest)
        yield from zip(taken, replies, strict=True)
        start += count


class Budget:
    """How much goes into a batch: requests times the cost of the dearest, as all are padded to it."""

    def __init__(self, batch: Batch) -> None:
        self.most = MOST_TOGETHER if batch == "auto" else max(1, batch)
        self._grows = batch == "auto"
        self._budget, self._too_much = 0.0, float("inf")

    def count(self, costs: Sequence[int]) -> int:
        """How many of the next requests, whose costs rise, go together; at least one."""
        # A fixed number is not grown to, but gives way to what was too much.
        budget = self._budget if self._grows or self._too_much < float("inf") else float("inf")
        count = 1
        while count < len(costs) and (count + 1) * max(costs[count], 1) <= budget:
            count += 1
        return count

    def worked(self, count: int, dearest: int) -> None:
        """That much fitted."""
        used = float(count * max(dearest, 1))
        if used * 2 <= self._budget:
            return  # too little to learn from: the end of the list
        grown = 2 * max(used, self._budget)
        if grown >= self._too_much:
            grown = (max(used, self._budget) + self._too_much) / 2
        if self._too_much > _CLOSE * self._budget:
            self._budget = grown

    def failed(self, count: int, dearest: int) -> None:
        """That much did not fit."""
        used = float(count * max(dearest, 1))
        self._too_much = min(self._too_much, used)
        self._budget = used / 2


def _try(adapter: Adapter, taken: Sequence[Request], most: int) -> list[Reply] | None:
    """The replies; None where memory was not enough."""
    try:
        replies = adapter.answer(taken, most)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        replies = None
    if replies is None:
        free_memory()  # not above: until there the error keeps the frames alive that hold the tensors
    return replies


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory was not enough, of the GPU or of the machine."""
    torch = sys.modules.get("torch")
    if isinstance(error, MemoryError) or (torch is not None and isinstance(error, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _OUT_OF_MEMORY)
