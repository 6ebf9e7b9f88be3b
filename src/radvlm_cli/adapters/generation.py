"""Greedy decoding of a padded batch, the same for every model that runs here.

Rows are padded on the left, so that all of them end where the new text begins. With padding on the right the shorter
rows of a batch come out wrong in every family of models.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import GenerationConfig

from radvlm_cli.adapters.protocol import Reply


class Padded(NamedTuple):
    """Rows of one length."""

    rows: Tensor
    """Token ids (rows, length) int64, or embeddings (rows, length, width)."""
    mask: Tensor
    """(rows, length) int64: 1 where a row has something of its own."""


class Generated(NamedTuple):
    """What a row was continued with."""

    ids: list[int]
    """New tokens, without the one that ends them."""
    truncated: bool
    """No end among them: cut off at the most tokens."""


def pad_left(rows: Sequence[Sequence[int] | Tensor], padding: int = 0) -> Padded:
    """Put rows into one tensor, shorter ones padded on the left, on the device of the rows.

    Each row is token ids (length,), padded with `padding`, or embeddings (length, width), padded with zeros.
    """
    tensors = [row if isinstance(row, Tensor) else torch.as_tensor(list(row), dtype=torch.int64) for row in rows]
    length = max(len(row) for row in tensors)
    fill = 0 if tensors[0].is_floating_point() else padding
    padded = tensors[0].new_full((len(tensors), length, *tensors[0].shape[1:]), fill)
    mask = torch.zeros((len(tensors), length), dtype=torch.int64, device=padded.device)
    for number, row in enumerate(tensors):
        padded[number, length - len(row) :] = row
        mask[number, length - len(row) :] = 1
    return Padded(padded, mask)


def generate(model: Any, *, most: int, end_ids: Collection[int], pad_id: int, **inputs: Any) -> list[Generated]:
    """Continue each row greedily with at most `most` tokens.

    `inputs` are what the model's forward pass takes: `input_ids` or `inputs_embeds`, padded on the left, with their
    `attention_mask`, and whatever belongs to the pictures. Sampling, penalties and the like that a checkpoint's
    generation_config.json asks for play no part. Raises torch.OutOfMemoryError.
    """
    # On the model, too: what a configuration leaves open is filled in from there.
    model.generation_config = _greedy(most, end_ids, pad_id)
    with torch.inference_mode():
        made = model.generate(**inputs, generation_config=model.generation_config)
    given = inputs["input_ids"].shape[1] if inputs.get("input_ids") is not None else 0
    return [cut(row, end_ids) for row in made[:, given:].tolist()]


def reply(
    model: Any,
    decode: Callable[[list[int]], str],
    seen: Iterable[tuple[int, int] | None],
    *,
    most: int,
    end_ids: Collection[int],
    pad_id: int,
    **inputs: Any,
) -> list[Reply]:
    """Continue each row as `generate` does; a reply to each. `decode`: new ids to text; `seen`: see Reply."""
    made = generate(model, most=most, end_ids=end_ids, pad_id=pad_id, **inputs)
    lengths = inputs["attention_mask"].sum(1).tolist()
    return [
        Reply(decode(each.ids), each.truncated, tokens_in=length, tokens_out=len(each.ids), seen=size)
        for each, length, size in zip(made, lengths, seen, strict=True)
    ]


def cut(row: Sequence[int], end_ids: Collection[int]) -> Generated:
    """The new tokens before the first end; what follows it is padding."""
    for place, token in enumerate(row):
        if token in end_ids:
            return Generated(list(row[:place]), truncated=False)
    return Generated(list(row), truncated=True)


def _greedy(most: int, end_ids: Collection[int], pad_id: int) -> GenerationConfig:
    config: Any = GenerationConfig
    made: GenerationConfig = config(
        do_sample=False,
        num_beams=1,
        max_new_tokens=most,
        eos_token_id=sorted(end_ids),
        pad_token_id=pad_id,
        use_cache=True,
    )
    return made
