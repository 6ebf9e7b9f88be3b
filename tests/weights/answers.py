"""What a converted model says to the golden cases, through transformers' own picture processor."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from tests.weights.originals import GOLDEN

EXPECTED = GOLDEN / "expected.json"
CASES = json.loads(EXPECTED.read_text())["cases"]
_COLLAPSED = -200
"""Stands for all of an image's tokens in the golden ids."""


class Case:
    """One golden case as the model's inputs."""

    def __init__(self, folder: Path, name: str) -> None:
        from transformers import LlavaOnevisionImageProcessorPil

        self.expected = CASES[name]
        picture = Image.open(GOLDEN / self.expected["image"]).convert("RGB")
        processor = LlavaOnevisionImageProcessorPil.from_pretrained(str(folder), local_files_only=True)
        inputs = processor(picture, return_tensors="pt")
        self.pictures = {"pixel_values": inputs["pixel_values"], "image_sizes": inputs["image_sizes"]}
        self.image_id = json.loads((folder / "config.json").read_text())["image_token_index"]

    def ids(self, collapsed: list[int]) -> torch.Tensor:
        """(1, length), the placeholder as often as the golden data say."""
        numbers: list[int] = []
        for number in collapsed:
            numbers += [self.image_id] * self.expected["n_image_tokens"] if number == _COLLAPSED else [number]
        return torch.tensor([numbers])


@cache
def golden_logits() -> dict[str, Any]:
    """(text positions, vocabulary) by `<case>.logits_text`."""
    return dict(np.load(GOLDEN / "expected.npz"))


def logit_difference(model: Any, folder: Path, name: str) -> float:
    """Largest difference of a logit from the original code's, at all text positions of a case."""
    case = Case(folder, name)
    ids = case.ids(case.expected["input_ids"])
    with torch.inference_mode():
        logits = model(input_ids=ids, **case.pictures, use_cache=False).logits[0]
    text = logits[ids[0] != case.image_id].numpy()
    return float(np.abs(text - golden_logits()[f"{name}.logits_text"]).max())


def generated_ids(model: Any, folder: Path, name: str) -> list[int]:
    """Greedy continuation of a case's prompt, as long as the golden one, past any end mark."""
    case = Case(folder, name)
    ids = case.ids(case.expected["prompt_ids"])
    count = len(case.expected["generated_ids"])
    model.generation_config.eos_token_id = None
    with torch.inference_mode():
        made = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            **case.pictures,
            max_new_tokens=count,
            do_sample=False,
        )
    return [int(number) for number in made[0, ids.shape[1] :]]
