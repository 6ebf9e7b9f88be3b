"""Several samples in one row of the batch, without a token of padding between them.

Samples of a row are kept apart by position ids that start again at 0, and by the absence of an attention mask: from
both, the attention of transformers knows that it must not look across. So a packed row gives each sample the logits
that it would have by itself.

A plan is made over each global batch, the same on every rank: a pack takes samples up to a budget of tokens, every rank
gets equally many packs, and packs that run at the same time on different ranks are of about equal size.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from finetuning.order import Rows
from finetuning.samples import FILLER


def plan_packs(lengths: Sequence[int] | np.ndarray, *, budget: int, world: int) -> list[list[list[int]]]:
    """Plan the packs of one global batch, from the token length of each of its samples.

    Returns for each rank its packs, for each pack the places (in the batch) of its samples; every place comes once.
    A pack of `[FILLER]` holds a dummy only. Raises ValueError where a sample alone is above the budget.
    """
    sizes = [int(length) for length in lengths]
    if sizes and max(sizes) > budget:
        raise ValueError(f"a sample of {max(sizes)} tokens does not fit into a pack of {budget}")
    places = sorted(range(len(sizes)), key=lambda place: (-sizes[place], place))
    packs = _first_fit(sizes, places, budget)
    wanted = max(1, -(-len(packs) // world)) * world
    packs = _even(sizes, places, budget, wanted) or packs
    packs.sort(key=lambda pack: -sum(sizes[place] for place in pack))
    packs += [[FILLER] for _ in range(wanted - len(packs))]
    return [packs[rank::world] for rank in range(world)]


def _first_fit(sizes: list[int], places: list[int], budget: int) -> list[list[int]]:
    """Fewest packs, nearly: the largest sample first, each into the first pack that has room."""
    packs: list[list[int]] = []
    room: list[int] = []
    for place in places:
        at = next((n for n, free in enumerate(room) if free >= sizes[place]), None)
        if at is None:
            packs.append([place])
            room.append(budget - sizes[place])
        else:
            packs[at].append(place)
            room[at] -= sizes[place]
    return packs


def _even(sizes: list[int], places: list[int], budget: int, wanted: int) -> list[list[int]] | None:
    """`wanted` packs of about equal size, none empty; None where that goes above the budget."""
    if len(places) < wanted:
        return None
    packs: list[list[int]] = [[] for _ in range(wanted)]
    filled = [0] * wanted
    for place in places:
        at = filled.index(min(filled))
        packs[at].append(place)
        filled[at] += sizes[place]
    return packs if max(filled) <= budget else None


def packs_of(batch: Rows, lengths: np.ndarray, *, budget: int, world: int, rank: int) -> list[list[int]]:
    """The packs of one rank as row numbers; `lengths` is by row number (see `Lengths.tokens`)."""
    plan = plan_packs(lengths[batch], budget=budget, world=world)[rank]
    return [[FILLER if place == FILLER else int(batch[place]) for place in pack] for pack in plan]
