"""Batches grow to what memory takes, and nothing is lost when it does not take one."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from radvlm_cli.adapters.batching import TOO_LARGE, Batch, answer_all
from radvlm_cli.adapters.protocol import Reply, Request
from radvlm_cli.records import Turn


class Memory:
    """Answers with the key; a batch takes its number times its dearest, and fits or does not."""

    batches = True

    def __init__(self, room: float, error: Exception | None = None) -> None:
        self.room, self.error = room, error or torch.OutOfMemoryError("CUDA out of memory")
        self.identity = {"backend": "memory"}
        self.sizes: list[int] = []
        self.failures = 0

    def cost(self, request: Request) -> int:
        return int(request.turns[0].text)

    def answer(self, requests: Sequence[Request], most: int) -> list[Reply]:
        if len(requests) * max(map(self.cost, requests)) > self.room:
            self.failures += 1
            raise self.error
        self.sizes.append(len(requests))
        return [Reply(request.key) for request in requests]

    def close(self) -> None:
        pass


def requests_of(costs: Sequence[int]) -> list[Request]:
    return [
        Request(f"key-{number}", Path("x.png"), (Turn("human", str(cost)),), "report")
        for number, cost in enumerate(costs)
    ]


def answers(adapter: Memory, costs: Sequence[int], batch: Batch = "auto") -> list[Reply]:
    """The replies in the order of the requests, each of which was answered once."""
    requests = requests_of(costs)
    found = list(answer_all(adapter, requests, 9, batch))
    assert sorted(request.key for request, _ in found) == sorted(request.key for request in requests)
    replies = {request.key: reply for request, reply in found}
    for key, reply in replies.items():
        assert reply == Reply(key) or reply.error == TOO_LARGE
    return [replies[request.key] for request in requests]


@pytest.mark.parametrize("seed", range(30))
def test_every_request_is_answered_once_whatever_fits(seed: int) -> None:
    rng = random.Random(seed)
    costs = [rng.randint(0, 2000) for _ in range(rng.randint(0, 300))]
    room = rng.choice([100, 1000, 10_000, 1e9])
    for batch in ("auto", 1, 7, 200):
        replies = answers(Memory(room), costs, batch)  # type: ignore[arg-type]
        assert [reply.error is None for reply in replies] == [cost <= room for cost in costs]


def test_auto_grows_until_memory_is_full_and_stays_there() -> None:
    memory = Memory(10_500)
    answers(memory, [1000] * 300)
    assert memory.sizes[:4] == [1, 2, 4, 8]
    # Between the half and the whole of what fits, after few that did not.
    assert min(memory.sizes[6:-1]) >= 8
    assert memory.failures <= 3


def test_auto_takes_fewer_of_dearer_ones() -> None:
    memory = Memory(40_000)
    answers(memory, [*[500] * 200, *[8000] * 60])
    assert max(memory.sizes) >= 40
    assert 3 <= memory.sizes[-3] <= 5
    assert memory.failures <= 4


def test_a_number_is_kept_to_where_it_fits() -> None:
    memory = Memory(1e9)
    answers(memory, [10] * 50, 8)
    assert memory.sizes == [8] * 6 + [2]
    small = Memory(45)
    answers(small, [10] * 50, 8)
    assert max(small.sizes) <= 4
    assert small.failures <= 3


def test_what_does_not_batch_is_asked_one_by_one() -> None:
    memory = Memory(1e9)
    memory.batches = False
    answers(memory, [10] * 5)
    assert memory.sizes == [1] * 5


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried"),
    ],
)
def test_memory_runs_out_in_several_words(error: Exception) -> None:
    assert answers(Memory(25, error), [10, 10, 10, 30])[3].error == TOO_LARGE


def test_another_error_is_not_taken_for_it() -> None:
    with pytest.raises(RuntimeError, match="shapes"):
        list(answer_all(Memory(0, RuntimeError("shapes do not match")), requests_of([1]), 9))


def test_a_reply_too_few_is_noticed() -> None:
    memory = Memory(1e9)
    memory.answer = lambda requests, most: []  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="shorter"):
        list(answer_all(memory, requests_of([1]), 9))
