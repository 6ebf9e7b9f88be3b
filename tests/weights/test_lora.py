"""Adapters are merged: the merged model answers as the model with the adapter beside it does."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from radvlm_cli.errors import ConfigError, DataError
from tests.weights.originals import (
    ORIGINAL,
    Tensors,
    config_of,
    copy_words,
    load_strictly,
    run_convert,
    tensors_of,
    write_single,
)

peft = pytest.importorskip("peft")

# PEFT asks transformers by a name that transformers would rather forget.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")

TARGETS = r".*language_model.*\.(q_proj|v_proj|o_proj|up_proj|down_proj)"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The golden model in float32, so that what a merge rounds is small."""
    folder = tmp_path_factory.mktemp("base")
    return run_convert(ORIGINAL, folder / "model", dtype="float32").output


def _adapted(base: Path, **options: Any) -> Any:
    """The base under an adapter with random numbers in both factors and a changed projector."""
    torch.manual_seed(3)
    given = {"r": 4, "lora_alpha": 24, "target_modules": TARGETS, "modules_to_save": ["multi_modal_projector"]}
    model = peft.get_peft_model(load_strictly(base), peft.LoraConfig(**given | options))
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data + 0.02 * torch.randn_like(parameter)
    return model.eval()


def _logits(model: Any) -> torch.Tensor:
    """Of some words and a picture of noise."""
    generator = torch.Generator().manual_seed(5)
    pixels = torch.rand(1, 2, 3, 384, 384, generator=generator) * 2 - 1
    ids = torch.tensor([[421, 64, 198, *[423] * 1485, 77, 300, 422, 198]])
    with torch.inference_mode():
        sizes = torch.tensor([[384, 384]])
        logits: torch.Tensor = model(input_ids=ids, pixel_values=pixels, image_sizes=sizes, use_cache=False).logits
    return logits


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_rslora": True},
        {"alpha_pattern": {r"layers\.1\.self_attn\.q_proj": 3}, "rank_pattern": {"down_proj": 2}},
        {"modules_to_save": None},
    ],
    ids=["plain", "rank-stabilised", "patterns", "projector not trained"],
)
def test_a_merged_adapter_answers_as_the_adapter_does(options: dict[str, Any], base: Path, tmp_path: Path) -> None:
    model = _adapted(base, **options)
    model.save_pretrained(tmp_path / "adapter")
    made = run_convert(tmp_path / "adapter", tmp_path / "out", base=base, verify=True)
    merged = load_strictly(made.output)
    before = _logits(model)
    assert (_logits(merged) - before).abs().max() < 1e-5
    assert (before - _logits(load_strictly(base))).abs().max() > 1e-2


def test_the_base_may_be_in_another_layout_and_type(base: Path, tmp_path: Path) -> None:
    model = _adapted(base)
    model.save_pretrained(tmp_path / "adapter")
    of_original = run_convert(tmp_path / "adapter", tmp_path / "one", base=ORIGINAL).output
    of_hub = run_convert(tmp_path / "adapter", tmp_path / "two", base=base).output
    ours, theirs = tensors_of(of_original), tensors_of(of_hub)
    assert all(value.dtype == torch.bfloat16 for value in ours.values())
    assert all(torch.equal(value, theirs[name].to(torch.bfloat16)) for name, value in ours.items())


def test_the_base_is_found_where_the_adapter_or_its_run_says(base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run" / "checkpoints" / "checkpoint-4"
    _adapted(base).save_pretrained(folder)
    (folder / "radvlm_checkpoint.json").write_text("{}")
    named = json.loads((folder / "adapter_config.json").read_text())
    assert named["base_model_name_or_path"] == str(base)
    by_adapter = tensors_of(run_convert(tmp_path / "run", tmp_path / "one").output)
    (folder / "adapter_config.json").write_text(json.dumps(named | {"base_model_name_or_path": "gone/model"}))
    with pytest.raises(ConfigError, match="the model it belongs to is not on this machine"):
        run_convert(tmp_path / "run", tmp_path / "two")
    (tmp_path / "run" / "manifest.json").write_text(json.dumps({"model": {"path": str(base)}}))
    by_run = tensors_of(run_convert(tmp_path / "run", tmp_path / "two").output)
    assert all(torch.equal(value, by_run[name]) for name, value in by_adapter.items())


def _llava_next_adapter(folder: Path) -> tuple[Path, Tensors]:
    """LLaVA-NeXT's form, and the original tensors as they are with it merged in."""
    from safetensors.torch import save_file

    torch.manual_seed(9)
    tensors = {name: value.float() for name, value in tensors_of(ORIGINAL).items()}
    copy_words(folder, config_of())
    adapter: Tensors = {}
    for layer in (0, 1):
        module = f"model.layers.{layer}.self_attn.v_proj"
        a, b = torch.randn(4, 64), torch.randn(32, 4)
        adapter[f"base_model.model.{module}.lora_A.weight"] = a
        adapter[f"base_model.model.{module}.lora_B.weight"] = b
        tensors[f"{module}.weight"] = tensors[f"{module}.weight"] + 2 * b @ a
    rest: Tensors = {}
    for name in ("model.mm_projector.0.bias", "model.image_newline"):
        rest[f"base_model.model.{name}"] = tensors[name] = torch.randn(64)
    save_file(adapter, folder / "adapter_model.safetensors")
    torch.save(rest, folder / "non_lora_trainables.bin")
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 4, "lora_alpha": 8}))
    return folder, tensors


@pytest.mark.parametrize("base_kind", ["whole", "language model"])
def test_an_adapter_of_llava_next(base_kind: str, tmp_path: Path) -> None:
    """Its base may be a language model alone where everything else was trained in full."""
    from safetensors.torch import load_file, save_file

    folder, merged = _llava_next_adapter(tmp_path / "adapter")
    full = tensors_of(ORIGINAL)
    under = full
    if base_kind == "language model":
        under = {
            name: value for name, value in full.items() if name.startswith(("model.layers", "model.norm", "lm_head"))
        }
        under["model.embed_tokens.weight"] = full["model.embed_tokens.weight"]
        saved = torch.load(folder / "non_lora_trainables.bin", weights_only=True)
        others = {f"base_model.model.{name}": value for name, value in full.items() if name not in under}
        torch.save(others | saved, folder / "non_lora_trainables.bin")
    base = write_single(tmp_path / "base", under)
    made = tensors_of(run_convert(folder, tmp_path / "out", base=base, verify=True).output)
    save_file({name: value.to(torch.bfloat16) for name, value in merged.items()}, base / "model.safetensors")
    expected = load_file(run_convert(base, tmp_path / "expected").output / "model.safetensors")
    assert made.keys() == expected.keys()
    assert all(torch.equal(made[name], expected[name]) for name in made)


FAULTS = {
    "DoRA": ({"use_dora": True}, {}, r"DoRA \(use_dora\) cannot be merged"),
    "another kind": ({"peft_type": "IA3"}, {}, "of type 'IA3' cannot be merged"),
    "half a pair": (
        {},
        {"base_model.model.model.layers.0.self_attn.v_proj.lora_B.weight": None},
        r"layers\.0\.self_attn\.v_proj\) with one factor of two",
    ),
    "an unknown module": (
        {},
        {
            "base_model.model.model.layers.0.router.lora_A.weight": torch.ones(4, 64),
            "base_model.model.model.layers.0.router.lora_B.weight": torch.ones(64, 4),
        },
        r"layers\.0\.router\.weight\) unknown to the rules",
    ),
    "a wrong shape": (
        {},
        {"base_model.model.model.layers.0.self_attn.v_proj.lora_B.weight": torch.ones(33, 4)},
        r"v_proj\.weight: \[33, 4\] x \[4, 64\] for \[32, 64\]\) whose change has the wrong shape",
    ),
    "an embedding's factors": (
        {},
        {"base_model.model.model.embed_tokens.lora_embedding_A": torch.ones(4, 448)},
        r"lora_embedding_A\) of a kind that cannot be merged",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_adapter_that_cannot_be_merged_is_refused(fault: str, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    config, changes, message = FAULTS[fault]
    folder, _ = _llava_next_adapter(tmp_path / "adapter")
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))
    tensors = {k: v for k, v in (load_file(folder / "adapter_model.safetensors") | changes).items() if v is not None}
    save_file(tensors, folder / "adapter_model.safetensors")
    with pytest.raises(DataError, match=message):
        run_convert(folder, tmp_path / "out", base=ORIGINAL)


def test_scale_is_alpha_over_rank() -> None:
    from radvlm_cli.weights.lora import _scale

    assert _scale("model.layers.0.q_proj", 8, {"lora_alpha": 16}) == 2
    assert _scale("model.layers.0.q_proj", 16, {"lora_alpha": 16, "use_rslora": True}) == pytest.approx(
        16 / math.sqrt(16)
    )


def test_the_words_come_from_the_base_where_the_adapter_has_none(base: Path, tmp_path: Path) -> None:
    _adapted(base).save_pretrained(tmp_path / "adapter")
    assert not (tmp_path / "adapter" / "tokenizer.json").exists()
    moved = shutil.copytree(base, tmp_path / "base")
    output = run_convert(tmp_path / "adapter", tmp_path / "out", base=moved).output
    assert (output / "tokenizer.json").read_bytes() == (base / "tokenizer.json").read_bytes()
