"""Weights held against a module."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlavaOnevisionForConditionalGeneration

from radvlm_cli.adapters.loading import (
    check_finite,
    choose_dtype,
    load_state_strictly,
    load_strictly,
)
from radvlm_cli.adapters.protocol import Loading
from radvlm_cli.errors import DataError


def test_a_module_takes_its_weights_whole_or_not_at_all(tmp_path: Path) -> None:
    module = torch.nn.Linear(2, 3)
    state = {"weight": torch.ones(3, 2), "bias": torch.ones(3)}
    load_state_strictly(module, state, tmp_path, "projector")
    assert module.bias.sum() == 3
    wrong = {"weight": torch.ones(2, 3), "scale": torch.ones(1)}
    with pytest.raises(DataError, match=r"\(projector\).*1 missing keys: bias; 1 unexpected keys: scale; 1 mismatched"):
        load_state_strictly(module, wrong, tmp_path, "projector")


def test_a_buffer_without_a_value_is_refused(tmp_path: Path) -> None:
    module = torch.nn.BatchNorm1d(2)
    check_finite(module, tmp_path)
    module.running_var[0] = torch.nan
    with pytest.raises(DataError, match="running_var"):
        check_finite(module, tmp_path)


def test_types() -> None:
    assert choose_dtype("cpu") == torch.float32
    assert choose_dtype("cuda", "float16") == torch.float16


def test_weights_that_are_left_out_on_purpose_are_no_news(
    onevision_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(onevision_folder, tmp_path / "model")
    file = tmp_path / "model" / "model.safetensors"
    save_file(load_file(file) | {"old.buffer": torch.zeros(2)}, file, {"format": "pt"})
    logger = logging.getLogger("transformers.modeling_utils")
    logger.addHandler(caplog.handler)
    kind, how = LlavaOnevisionForConditionalGeneration, Loading((tmp_path / "model",), "cpu")
    try:
        load_strictly(kind, tmp_path / "model", how, ignored=["old."])
        with pytest.raises(DataError, match=r"1 unexpected keys: old\.buffer"):
            load_strictly(kind, tmp_path / "model", how)
        assert caplog.records == []
        logger.warning("something else")
    finally:
        logger.removeHandler(caplog.handler)
    assert {record.message for record in caplog.records} == {"something else"}
