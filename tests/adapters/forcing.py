"""Make a loaded model say what a test wants, one token a step."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch

from radvlm_cli.adapters.one_question import OneQuestionAdapter


def says(adapter: OneQuestionAdapter, text: str, monkeypatch: pytest.MonkeyPatch, *, ended: bool) -> int:
    """From now on the adapter's model says `text` once, to a batch of one; return how many tokens that takes.

    `ended`: its end follows, within some more tokens than returned would be needed without it.
    """
    ids = adapter.tokenizer(text, add_special_tokens=False)["input_ids"]
    steps = iter([*ids, adapter.tokenizer.eos_token_id] if ended else ids)
    kind = type(adapter.model)
    original = kind.forward

    @functools.wraps(original)  # generate() looks at its parameters
    def forward(self: Any, *args: Any, **options: Any) -> Any:
        made = original(self, *args, **options)
        made.logits[:, -1] = torch.zeros_like(made.logits[:, -1]).index_fill(1, torch.tensor([next(steps)]), 1)
        return made

    monkeypatch.setattr(kind, "forward", forward)
    return len(ids) + (5 if ended else 0)
