"""Plans of packs: within the budget, nothing lost, ranks in step."""

from __future__ import annotations

import random

import numpy as np
import pytest

from finetuning.packing import packs_of, plan_packs
from finetuning.samples import FILLER

BUDGET = 16384


def global_batch(rng: random.Random) -> list[int]:
    kinds = [(40, 300), (1500, 3700), (6000, 8800), (BUDGET, BUDGET)]
    return [rng.randint(*bounds) for bounds in rng.choices(kinds, [3, 5, 8, 0.2], k=rng.choice([1, 5, 16, 64, 256]))]


@pytest.mark.parametrize("seed", range(40))
def test_a_plan_keeps_every_sample_once_within_the_budget_and_all_ranks_in_step(seed: int) -> None:
    rng = random.Random(seed)
    lengths, world = global_batch(rng), rng.choice([1, 2, 3, 8])
    plan = plan_packs(lengths, budget=BUDGET, world=world)
    assert len(plan) == world
    assert len({len(packs) for packs in plan}) == 1
    packs = [pack for rank in plan for pack in rank]
    assert sorted(place for pack in packs for place in pack if place != FILLER) == list(range(len(lengths)))
    real = [pack for pack in packs if pack != [FILLER]]
    assert all(FILLER not in pack and sum(lengths[place] for place in pack) <= BUDGET for pack in real)
    assert len(packs) - len(real) < world
    # Any two packs of first fit together are above the budget, so that they are half full at least.
    assert len(packs) <= 2 * sum(lengths) / BUDGET + world
    assert plan == plan_packs(np.array(lengths), budget=BUDGET, world=world)


@pytest.mark.parametrize("budget", [8192, BUDGET, 2 * BUDGET])
def test_ranks_seldom_wait_for_one_another(budget: int) -> None:
    """Packs that run at the same time are of about equal size: of the time of the largest, hardly any is lost."""
    rng = random.Random(0)
    lengths = [rng.randint(1400, 7500) for _ in range(256)]
    plan = plan_packs(lengths, budget=budget, world=8)
    sizes = np.array([[sum(lengths[place] for place in pack) for pack in packs] for packs in plan])
    assert sizes.sum() / (8 * sizes.max(axis=0).sum()) > 0.95


def test_fewer_samples_than_ranks_leaves_dummies_to_the_others() -> None:
    assert plan_packs([5, 9], budget=10, world=4) == [[[1]], [[0]], [[FILLER]], [[FILLER]]]
    assert plan_packs([], budget=10, world=2) == [[[FILLER]], [[FILLER]]]


def test_a_sample_that_does_not_fit_into_a_pack_is_refused() -> None:
    with pytest.raises(ValueError, match="11 tokens does not fit into a pack of 10"):
        plan_packs([3, 11], budget=10, world=1)


def test_the_packs_of_a_rank_are_rows_of_the_table() -> None:
    lengths = np.zeros(100, np.int32)
    lengths[[40, 7, 90]] = [6, 5, 4]
    packs = [packs_of(np.array([40, 7, 90]), lengths, budget=10, world=2, rank=rank) for rank in range(2)]
    assert packs == [[[7, 90]], [[40]]]
