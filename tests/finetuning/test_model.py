"""The model as it is loaded for training: strictly, in groups, with what must not train frozen."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from finetuning.errors import CheckpointError, TrainingError
from finetuning.flops import forward_flops, sizes_of, training_flops
from finetuning.manifest import Manifest, parse_manifest
from finetuning.model import bare, load_model, parameter_groups
from finetuning.restoring import check_poison_gone, poison, restore_weights, save_weights
from tests.finetuning import tiny

Weights = dict[str, Tensor]
LORA = {"kind": "lora", "rank": 4, "alpha": 8.0, "dropout": 0.0}


def manifest_of(run: Path, folder: Path, table: Path, **changes: Any) -> Manifest:
    """A manifest, parsed."""
    return parse_manifest(tiny.manifest(run, folder, table, **changes))


def changed(model: Path, folder: Path, change: Callable[[Weights], None]) -> Path:
    """A copy of the model with its weights changed."""
    shutil.copytree(model, folder)
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder


def _without(weights: Weights) -> None:
    del weights["model.multi_modal_projector.linear_1.bias"]


def _with_another(weights: Weights) -> None:
    weights["model.language_model.layers.7.self_attn.q_proj.bias"] = torch.zeros(64)


def _misshapen(weights: Weights) -> None:
    weights["model.image_newline"] = torch.zeros(32)


@pytest.mark.parametrize(
    ("change", "named"),
    [(_without, "linear_1.bias"), (_with_another, "layers.7"), (_misshapen, "image_newline")],
    ids=["missing", "unexpected", "misshapen"],
)
def test_weights_that_do_not_fit_are_refused_by_name(
    model_folder: Path, table: Path, tmp_path: Path, change: Callable[[Weights], None], named: str
) -> None:
    folder = changed(model_folder, tmp_path / "model", change)
    with pytest.raises(TrainingError, match=named):
        load_model(manifest_of(tmp_path / "run", folder, table))


def test_a_folder_that_is_no_model_is_an_error_with_a_hint(table: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="cannot be loaded") as caught:
        load_model(manifest_of(tmp_path / "run", tmp_path, table))
    assert caught.value.hint


def test_full_tuning_trains_all_but_the_unused_norm(model_folder: Path, table: Path, tmp_path: Path) -> None:
    model = load_model(manifest_of(tmp_path, model_folder, table))
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert frozen == {f"model.vision_tower.post_layernorm.{part}" for part in ("weight", "bias")}


def test_a_vision_rate_of_zero_freezes_the_tower(model_folder: Path, table: Path, tmp_path: Path) -> None:
    model = load_model(manifest_of(tmp_path, model_folder, table, optimization={"vision_learning_rate": 0.0}))
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad != ("vision_tower" in name)


def test_bfloat16_under_ddp_keeps_float32_weights(model_folder: Path, table: Path, tmp_path: Path) -> None:
    ddp = manifest_of(tmp_path, model_folder, table, model={"dtype": "bfloat16"})
    zero = manifest_of(tmp_path, model_folder, table, model={"dtype": "bfloat16"}, parallel={"strategy": "zero2"})
    assert {p.dtype for p in load_model(ddp).parameters()} == {torch.float32}
    assert {p.dtype for p in load_model(zero).parameters()} == {torch.bfloat16}


def test_groups_have_the_rates_of_their_part_and_norms_and_biases_do_not_decay(
    model_folder: Path, table: Path, tmp_path: Path
) -> None:
    model = load_model(manifest_of(tmp_path, model_folder, table))
    groups = parameter_groups(model.named_parameters(), language=1e-5, vision=2e-6, weight_decay=0.1)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = {(g.name, g.learning_rate, g.weight_decay): {names[id(p)] for p in g.parameters} for g in groups}
    assert set(found) == {(n, r, d) for n, r in (("language", 1e-5), ("vision", 2e-6)) for d in (0.1, 0.0)}
    for (part, _, decay), members in found.items():
        assert all(("vision_tower" in name) == (part == "vision") for name in members)
        assert all(name.endswith("bias") or "norm" in name or "newline" in name for name in members) == (decay == 0)
        assert not any(decay and (name.endswith(".bias") or "norm" in name) for name in members)
    assert sum(map(len, found.values())) == sum(p.requires_grad for p in model.parameters())


def test_without_decay_there_are_two_groups(model_folder: Path, table: Path, tmp_path: Path) -> None:
    model = load_model(manifest_of(tmp_path, model_folder, table))
    groups = parameter_groups(model.named_parameters(), language=1e-5, vision=2e-6, weight_decay=0.0)
    assert [group.name for group in groups] == ["language", "vision"]


def test_lora_trains_the_language_model_and_the_projector_only(model_folder: Path, table: Path, tmp_path: Path) -> None:
    model = load_model(manifest_of(tmp_path, model_folder, table, adapter=LORA))
    trains = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    layers = [name for name in trains if "lora_" in name]
    assert len(layers) == 2 * 7 * 2  # layers, linear layers in each, A and B
    assert all("language_model" in name for name in layers)
    assert len([name for name in trains if "multi_modal_projector" in name]) == 4
    assert len(trains) == len(layers) + 4


def test_lora_without_the_projector(model_folder: Path, table: Path, tmp_path: Path) -> None:
    model = load_model(manifest_of(tmp_path, model_folder, table, adapter={**LORA, "projector": False}))
    assert all("lora_" in name for name, parameter in model.named_parameters() if parameter.requires_grad)


def test_qlora_without_its_library_or_a_gpu_says_what_to_do(model_folder: Path, table: Path, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has what QLoRA needs")
    with pytest.raises(TrainingError, match="QLoRA needs"):
        load_model(manifest_of(tmp_path, model_folder, table, adapter={**LORA, "kind": "qlora"}))


@pytest.mark.parametrize("adapter", [None, LORA], ids=["full", "lora"])
def test_saved_weights_come_back(model_folder: Path, table: Path, tmp_path: Path, adapter: Any) -> None:
    manifest = manifest_of(tmp_path, model_folder, table, adapter=adapter)
    model, other = load_model(manifest), load_model(manifest)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(1.0)
    save_weights(model, tmp_path / "saved")
    restore_weights(other, tmp_path / "saved")
    for (name, left), right in zip(model.named_parameters(), other.parameters(), strict=True):
        assert torch.equal(left, right), name


def test_a_tied_head_is_restored_with_the_embedding(table: Path, tmp_path: Path) -> None:
    folder = tiny.make_model(tmp_path / "tied", tied=True)
    manifest = manifest_of(tmp_path, folder, table)
    model, other = load_model(manifest), load_model(manifest)
    with torch.no_grad():
        bare(model).lm_head.weight.add_(1.0)
    save_weights(model, tmp_path / "saved")
    restore_weights(other, tmp_path / "saved")
    assert torch.equal(bare(model).lm_head.weight, bare(other).lm_head.weight)
    assert bare(other).lm_head.weight is bare(other).get_input_embeddings().weight


@pytest.mark.parametrize("adapter", [None, LORA], ids=["full", "lora"])
@pytest.mark.parametrize("fault", ["missing", "unexpected", "misshapen", "absent"])
def test_a_checkpoint_that_does_not_fit_is_refused(
    model_folder: Path, table: Path, tmp_path: Path, adapter: Any, fault: str
) -> None:
    model = load_model(manifest_of(tmp_path, model_folder, table, adapter=adapter))
    save_weights(model, tmp_path / "saved")
    (file,) = (tmp_path / "saved").glob("*.safetensors")
    weights = load_file(file)
    name = next(key for key in sorted(weights) if "projector" in key)
    if fault == "missing":
        del weights[name]
    elif fault == "unexpected":
        name = "something.else"
        weights[name] = torch.zeros(1)
    elif fault == "misshapen":
        weights[name] = torch.zeros(3)
    file.unlink()
    if fault != "absent":
        save_file(weights, file, {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"holds no|missing" if fault == "absent" else name):
        restore_weights(model, tmp_path / "saved")


def test_what_loading_passes_over_is_named(model_folder: Path, table: Path, tmp_path: Path) -> None:
    model = load_model(manifest_of(tmp_path, model_folder, table))
    whole = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    poison(model)
    model.load_state_dict({name: tensor for name, tensor in whole.items() if "newline" not in name}, strict=False)
    with pytest.raises(CheckpointError, match="image_newline"):
        check_poison_gone(model, tmp_path)
    model.load_state_dict(whole)
    check_poison_gone(model, tmp_path)


def test_flops_are_those_that_torch_counts(model_folder: Path, table: Path, tmp_path: Path) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    model = bare(load_model(manifest_of(tmp_path, model_folder, table, model={"attention": "eager"})))
    config = json.loads((model_folder / "config.json").read_text())
    assert config["vision_config"]["image_size"] == tiny.TILE
    length, tiles = 50, 3
    with FlopCounterMode(display=False) as language, torch.no_grad():
        model.model.language_model(inputs_embeds=torch.zeros(1, length, 64), use_cache=False)
    with FlopCounterMode(display=False) as tower, torch.no_grad():
        model.model.vision_tower(torch.zeros(tiles, 3, tiny.TILE, tiny.TILE))
    sizes = sizes_of(model.config)
    by_tower, by_rest = forward_flops(sizes, lengths=[length], tiles=0, supervised=0)
    assert by_tower == 0
    attention = 2 * sizes.layers * sizes.width * length**2
    # torch counts the whole square of the attention.
    assert by_rest + attention == language.get_total_flops()
    assert forward_flops(sizes, lengths=[], tiles=tiles, supervised=0)[0] == tower.get_total_flops()


def test_a_backward_pass_costs_what_it_has_to_reach(model_folder: Path, table: Path, tmp_path: Path) -> None:
    sizes = sizes_of(bare(load_model(manifest_of(tmp_path, model_folder, table))).config)
    batch: dict[str, Any] = {"lengths": [50, 30], "tiles": 6, "supervised": 9}
    tower, rest = forward_flops(sizes, **batch)
    assert training_flops(sizes, **batch, tower_trains=True, weights_train=True) == 3 * (tower + rest)
    assert training_flops(sizes, **batch, tower_trains=False, weights_train=False) == tower + 2 * rest
