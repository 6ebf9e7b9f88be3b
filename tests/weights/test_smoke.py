"""A converted folder is loaded and asked as a user would, where a device is large enough."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from radvlm_cli.errors import DataError
from radvlm_cli.weights.smoke import smoke_generation
from tests.weights.originals import tensors_of

SMALL = 10**6


def test_it_answers_the_same_each_time(converted: Path) -> None:
    first, second = smoke_generation(converted, SMALL), smoke_generation(converted, SMALL)
    assert first == second
    assert first.text


def _change(folder: Path, change: dict[str, torch.Tensor | None]) -> None:
    from safetensors.torch import save_file

    tensors = tensors_of(folder) | change
    save_file({name: value for name, value in tensors.items() if value is not None}, folder / "model.safetensors")


@pytest.mark.parametrize("size", [SMALL, 10**14], ids=["loaded", "names alone, too large for any device"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"language_model.model.norm.weight": None}, r"missing keys: 1 tensor \(model\.language_model\.norm\.weight\)"),
        ({"language_model.model.extra": torch.ones(3)}, r"unexpected keys: 1 tensor \(.*extra\)"),
    ],
    ids=["missing", "unexpected"],
)
def test_what_transformers_does_not_load_is_refused(
    size: int, change: dict[str, torch.Tensor | None], message: str, converted: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(converted, tmp_path / "model")
    _change(folder, change)
    with pytest.raises(DataError, match=message):
        smoke_generation(folder, size)


def test_without_a_large_device_it_says_so(converted: Path) -> None:
    answer = smoke_generation(converted, 10**14)
    assert answer.text is None
    assert "skipped, for want of a GPU with 120,000 GB free" in answer.note


def test_answers_that_are_no_numbers_are_refused(converted: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(converted, tmp_path / "model")
    _change(folder, {"language_model.model.norm.weight": torch.full((64,), float("nan"), dtype=torch.bfloat16)})
    with pytest.raises(DataError, match="not finite"):
        smoke_generation(folder, SMALL)
