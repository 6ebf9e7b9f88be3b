"""The order of samples: one number tells where a run stands, whatever the number of ranks."""

from __future__ import annotations

import numpy as np
import pytest

from finetuning.order import Order, batches, share, steps_of

ORDER = Order(7, 100)
PINNED = [[3, 2, 1, 6, 0, 7, 4, 5], [7, 4, 5, 1, 6, 2, 0, 3]]


def taken(order: Order, *, start: int = 0, total: int, batch: int = 16) -> list[list[int]]:
    return [rows.tolist() for rows in batches(order, global_batch=batch, consumed_samples=start, total_samples=total)]


def test_the_shuffles_are_these_for_ever() -> None:
    """A resumed run must find the order that it began with, whatever has been installed since."""
    assert Order(0, 8).epoch(0).tolist() == PINNED[0]
    assert Order(0, 8).epoch(1).tolist() == PINNED[1]


def test_each_epoch_holds_every_row_once_in_an_order_of_its_own() -> None:
    first, second, other = ORDER.epoch(0), ORDER.epoch(1), Order(8, 100).epoch(0)
    assert sorted(first) == sorted(second) == sorted(other) == list(range(100))
    assert first.tolist() != second.tolist()
    assert first.tolist() != other.tolist()


def test_a_run_that_stops_and_goes_on_sees_what_the_other_would_have_seen() -> None:
    whole = taken(ORDER, total=250)
    for stop in range(len(whole)):
        assert whole[stop:] == taken(ORDER, start=stop * 16, total=250)


def test_batches_go_on_over_the_end_of_an_epoch_and_leave_nothing_out() -> None:
    rows = [row for batch in taken(ORDER, total=200) for row in batch]
    assert len(rows) == 208
    assert sorted(rows[:100]) == sorted(rows[100:200]) == list(range(100))


def test_a_run_shorter_or_longer_than_an_epoch_takes_whole_batches() -> None:
    assert len(taken(ORDER, total=50)) == steps_of(50, 16) == 4
    assert [len(batch) for batch in taken(Order(0, 3), total=6, batch=8)] == [8]
    assert taken(ORDER, start=208, total=200) == []


def test_another_global_batch_goes_on_at_the_same_sample() -> None:
    rows = [row for batch in taken(ORDER, total=96) for row in batch]
    smaller = [row for batch in taken(ORDER, start=48, total=96, batch=8) for row in batch]
    assert smaller == rows[48:]


@pytest.mark.parametrize("world", [1, 2, 4, 8])
@pytest.mark.parametrize("micro", [1, 2])
def test_the_ranks_together_see_the_global_batch_in_its_order(world: int, micro: int) -> None:
    for batch in batches(ORDER, global_batch=16, consumed_samples=0, total_samples=160):
        shares = [share(batch, micro_batch=micro, rank=rank, world=world) for rank in range(world)]
        assert {len(each) for each in shares} == {16 // world // micro}
        dealt = [row for turn in zip(*shares, strict=True) for part in turn for row in part.tolist()]
        assert dealt == batch.tolist()


def test_a_micro_batch_of_a_rank_is_the_one_of_the_contract() -> None:
    batch = np.arange(24)
    assert share(batch, micro_batch=2, rank=1, world=3)[2].tolist() == batch[(2 * 3 + 1) * 2 :][:2].tolist()


def test_a_global_batch_that_cannot_be_dealt_is_refused() -> None:
    with pytest.raises(ValueError, match="16 is no multiple of 3 x 2"):
        share(np.arange(16), micro_batch=3, rank=0, world=2)
    with pytest.raises(ValueError, match="from 0 samples"):
        next(batches(Order(0, 0), global_batch=4, consumed_samples=0, total_samples=4))


def test_a_million_rows_are_shuffled_in_a_moment_and_read_only() -> None:
    rows = Order(0, 1_100_000).slice(1_099_999, 1_100_001)
    assert len(rows) == 2
    with pytest.raises(ValueError, match="read-only"):
        ORDER.epoch(0)[0] = 1
