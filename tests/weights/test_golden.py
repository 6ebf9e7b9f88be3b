"""A converted checkpoint computes what the original code computed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.weights.answers import CASES, generated_ids, logit_difference
from tests.weights.originals import ORIGINAL, load_strictly, run_convert, tensors_of, write_single

SMALLEST = "small"
"""The case with the fewest tokens."""


@pytest.fixture(scope="module")
def model(converted: Path) -> Any:
    return load_strictly(converted)


@pytest.mark.parametrize("name", CASES)
def test_logits_equal_those_of_the_original_code(model: Any, converted: Path, name: str) -> None:
    difference = logit_difference(model, converted, name)
    print(f"{name}: {difference:.2e}")
    assert difference < 1e-3


@pytest.mark.parametrize("name", CASES)
def test_greedy_answers_equal_those_of_the_original_code(model: Any, converted: Path, name: str) -> None:
    assert generated_ids(model, converted, name) == CASES[name]["generated_ids"]


def _swap_projector(tensors: dict[str, Any]) -> None:
    for kind in ("weight", "bias"):
        one, two = f"model.mm_projector.0.{kind}", f"model.mm_projector.2.{kind}"
        tensors[one], tensors[two] = tensors[two], tensors[one]


def _zero_newline(tensors: dict[str, Any]) -> None:
    tensors["model.image_newline"] = tensors["model.image_newline"] * 0


def _zero_bias(tensors: dict[str, Any]) -> None:
    name = "model.layers.0.self_attn.q_proj.bias"
    tensors[name] = tensors[name] * 0


@pytest.mark.parametrize("fault", [_swap_projector, _zero_newline, _zero_bias])
def test_the_comparison_sees_a_fault_that_no_shape_shows(fault: Any, tmp_path: Path) -> None:
    tensors = tensors_of(ORIGINAL)
    fault(tensors)
    wrong = run_convert(write_single(tmp_path / "wrong", tensors), tmp_path / "out").output
    assert logit_difference(load_strictly(wrong), wrong, SMALLEST) > 0.1
