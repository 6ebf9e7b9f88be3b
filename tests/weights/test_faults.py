"""Whatever is wrong with a checkpoint is refused, by a message that names it, and leaves nothing behind."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from radvlm_cli.errors import ConfigError, DataError
from radvlm_cli.weights import verify
from radvlm_cli.weights.checkpoints import open_weights
from radvlm_cli.weights.rules import LAYOUTS, Layout, Rule
from tests.weights.originals import ONE_SHARD, ORIGINAL, Tensors, run_convert, tensors_of, write_sharded, write_single

BIAS = "model.layers.0.self_attn.q_proj.bias"


def _drop(name: str) -> Callable[[Tensors], None]:
    return lambda tensors: tensors.__delitem__(name)


def _add(name: str, value: torch.Tensor) -> Callable[[Tensors], None]:
    return lambda tensors: tensors.__setitem__(name, value)


def _with_value(name: str, value: float) -> Callable[[Tensors], None]:
    return lambda tensors: tensors[name].view(-1).__setitem__(3, value)


FAULTS: dict[str, tuple[Callable[[Tensors], None], str]] = {
    "a dropped bias": (_drop(BIAS), r"1 tensor \(language_model\.model\.layers\.0\.self_attn\.q_proj\.bias\) missing"),
    "a missing projector": (
        _drop("model.mm_projector.2.weight"),
        r"\(multi_modal_projector\.linear_2\.weight\) missing",
    ),
    "a layer too many": (
        _add("model.layers.7.mlp.up_proj.weight", torch.ones(128, 64)),
        r"layers\.7\.mlp\.up_proj\.weight\) more than its config\.json tells of",
    ),
    "an unknown name": (
        _add("model.vision_resampler.query", torch.ones(4)),
        r"1 tensor \(model\.vision_resampler\.query\) unknown to the rules of the original layout",
    ),
    "a wrong shape": (
        _add("model.mm_projector.0.bias", torch.ones(63)),
        r"linear_1\.bias is \[63\], should be \[64\]\) of a wrong shape",
    ),
    "a type that is no weight's": (
        _add("model.image_newline", torch.ones(64, dtype=torch.int8)),
        r"image_newline is I8\) of a type that is none of",
    ),
    "an infinity": (
        _with_value("model.norm.weight", float("inf")),
        r"model\.norm\.weight\) with infinite values or NaN",
    ),
    "a NaN": (
        _with_value("model.mm_projector.0.weight", float("nan")),
        r"linear_1\.weight\) with infinite values or NaN",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_tensor_is_named(fault: str, tmp_path: Path) -> None:
    change, message = FAULTS[fault]
    tensors = tensors_of(ORIGINAL)
    change(tensors)
    with pytest.raises(DataError, match=message):
        run_convert(write_single(tmp_path / "in", tensors), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_many_faults_are_counted_and_the_first_few_listed(tmp_path: Path) -> None:
    tensors = {name: value for name, value in tensors_of(ORIGINAL).items() if ".vision_tower." not in name}
    with pytest.raises(DataError, match=r"37 tensors \(vision_tower[^,]+(, vision_tower[^,]+){4}, \.\.\.\) missing"):
        run_convert(write_single(tmp_path / "in", tensors), tmp_path / "out")


def test_a_tensor_in_two_files_is_refused(tmp_path: Path) -> None:
    name = "model.vision_tower.vision_tower.vision_model.encoder.layers.0.layer_norm1.bias"
    folder = write_sharded(tmp_path / "in", _add(name, torch.ones(64)))
    with pytest.raises(DataError, match=rf"layer_norm1\.bias in {ONE_SHARD} and model-00002.* in two files"):
        run_convert(folder, tmp_path / "out")


def test_a_tensor_that_the_index_misplaces_is_refused(tmp_path: Path) -> None:
    folder = write_sharded(tmp_path / "in")
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    index["weight_map"]["model.layers.9.mlp.up_proj.weight"] = ONE_SHARD
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(DataError, match=rf"layers\.9\.mlp.*promised in {ONE_SHARD}\) not where the index says"):
        run_convert(folder, tmp_path / "out")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    shutil.copytree(ORIGINAL, tmp_path / "in")
    (tmp_path / "in" / ONE_SHARD).unlink()
    with pytest.raises(DataError, match=rf"lacks 1 of the files .* {ONE_SHARD} first"):
        run_convert(tmp_path / "in", tmp_path / "out")


@pytest.mark.parametrize("size", [5, 2000, 300_000])
def test_a_file_cut_short_is_refused(size: int, tmp_path: Path) -> None:
    shutil.copytree(ORIGINAL, tmp_path / "in")
    path = tmp_path / "in" / ONE_SHARD
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(DataError, match=rf"{ONE_SHARD} is (no safetensors file, or is cut short|cut short)"):
        run_convert(tmp_path / "in", tmp_path / "out")


def test_a_torch_file_cut_short_is_refused(tmp_path: Path) -> None:
    folder = write_single(tmp_path / "in", {})
    (folder / "model.safetensors").unlink()
    torch.save(tensors_of(ORIGINAL), folder / "pytorch_model.bin")
    whole = (folder / "pytorch_model.bin").read_bytes()
    (folder / "pytorch_model.bin").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"pytorch_model\.bin cannot be read as weights"):
        run_convert(folder, tmp_path / "out")


class _Foreign:
    """Something that runs a command when a careless reader opens it."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trace,)


def test_a_torch_file_that_would_run_something_is_not_run(tmp_path: Path) -> None:
    folder = write_single(tmp_path / "in", {})
    (folder / "model.safetensors").unlink()
    torch.save({"model.norm.weight": _Foreign(tmp_path / "ran")}, folder / "pytorch_model.bin")
    with pytest.raises(DataError, match="cannot be read as weights"):
        run_convert(folder, tmp_path / "out")
    assert not (tmp_path / "ran").exists()


CONFIGS: dict[str, tuple[dict[str, Any], str]] = {
    "another kind of model": ({"model_type": "mistral"}, "a model of type 'mistral'"),
    "another projector": ({"mm_projector_type": "linear"}, "mm_projector_type is 'linear'"),
    "another way of tiling": ({"image_aspect_ratio": "pad"}, "image_aspect_ratio is 'pad'"),
    "another vocabulary": ({"vocab_size": 500}, r"embed_tokens\.weight is \[448, 64\], should be \[500, 64\]"),
    "no size": ({"hidden_size": None}, "does not tell hidden_size"),
    "an odd tower": ({"_tiny_vision_config": {"depth": 3}}, "'depth' is no value of a SigLIP tower"),
    "the published tower": ({"_tiny_vision_config": {}}, r"encoder\.layers\.2\.layer_norm1\.weight, .*missing"),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_a_config_that_does_not_fit_is_refused(case: str, tmp_path: Path) -> None:
    changes, message = CONFIGS[case]
    with pytest.raises((DataError, ConfigError), match=message):
        run_convert(write_single(tmp_path / "in", tensors_of(ORIGINAL), **changes), tmp_path / "out")


def test_an_embedding_without_rows_for_the_placeholders_is_refused_or_lengthened(tmp_path: Path) -> None:
    tensors = tensors_of(ORIGINAL)
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        tensors[name] = tensors[name][:424].clone()
    folder = write_single(tmp_path / "in", tensors, vocab_size=424)
    with pytest.raises(DataError, match=r"the embedding has 424 rows; the tokenizer with .* needs 425") as raised:
        run_convert(folder, tmp_path / "out")
    assert "--add-rows" in (raised.value.hint or "")
    made = run_convert(folder, tmp_path / "out", add_rows=True, verify=True)
    assert json.loads((made.output / "config.json").read_text())["text_config"]["vocab_size"] == 448
    head = tensors_of(made.output)["language_model.lm_head.weight"]
    assert torch.equal(head[:424], tensors["lm_head.weight"])
    assert torch.equal(head[424], head[:424].double().mean(0).to(head.dtype))


def test_verification_catches_a_rule_that_swaps_the_projector_layers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def swapped(rule: Rule) -> Rule:
        other = {"linear_1": "linear_2", "linear_2": "linear_1"}
        return Rule(
            rule.pattern,
            next((rule.name.replace(a, b) for a, b in other.items() if rule.name and a in rule.name), rule.name),
        )

    original = LAYOUTS[0]
    wrong = Layout(original.name, original.mark, tuple(swapped(rule) for rule in original.rules))
    monkeypatch.setattr("radvlm_cli.weights.rules.LAYOUTS", (wrong, *LAYOUTS[1:]))
    with pytest.raises(
        DataError, match=r"4 tensors \(multi_modal_projector\.linear_1\.weight, .*differ from the source"
    ):
        run_convert(ORIGINAL, tmp_path / "out", verify=True)
    assert not list(tmp_path.iterdir())


def test_verification_catches_a_byte_that_changed_on_the_disk(converted: Path, single: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(converted, tmp_path / "model")
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-7] ^= 1
    path.write_bytes(content)
    source = open_weights(single)
    config = json.loads((folder / "config.json").read_text())
    expected = verify.truth(source, source.tensors)
    with pytest.raises(DataError, match=r"1 tensor \([^,]+\) that differ from the source"):
        verify.verify_weights(folder, config, expected, done=lambda size: None)
    assert verify.verify_weights(converted, config, expected, done=lambda size: None) == 69
