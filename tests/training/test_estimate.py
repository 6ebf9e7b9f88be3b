"""What a run will take: against published counts, and against what is known of the published mix."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import pytest

from finetuning.anyres import Anyres
from finetuning.flops import forward_flops, sizes_of
from radvlm_cli.training import estimate
from radvlm_cli.training.launch import Ranks
from radvlm_cli.training.recipe import load_recipe, overlaid
from tests.training.conftest import CONFIG_7B, ROOT

SETTINGS: dict[str, Any] = {"model": {}, "optimization": {"global_batch": 256}, "parallel": {"strategy": "zero2"}}

MIX = (
    # pairs, width, height of the pictures, tokens of the text, tokens of the answers
    (230_980 + 237_912 + 86_155, 2544, 3056, 130, 60),  # MIMIC-CXR: reports, labels, dialogues
    (186_463 + 191_027, 2320, 2828, 110, 40),  # CheXpert
    (80_000 + 2_913 + 3_448, 2544, 3056, 90, 30),  # Chest ImaGenome and MS-CXR, on images of MIMIC-CXR
    (48_267 + 30_000, 512, 512, 90, 30),  # VinDr-CXR
    (8_956 + 8_900, 1024, 1024, 150, 90),  # PadChest-GR
)


def _published_mix() -> tuple[int, float, float, float, float]:
    """Pairs, mean tokens, and operations forward: tower, rest with lm_head everywhere, rest with it on answers."""
    config = SimpleNamespace(
        **{k: SimpleNamespace(num_channels=3, **CONFIG_7B[k]) for k in ("text_config", "vision_config")}
    )
    sizes, anyres = sizes_of(config), Anyres.of_config(CONFIG_7B)
    pairs = tokens = 0
    tower = everywhere = answers = 0.0
    for count, width, height, text, answer in MIX:
        tiling = anyres.tiling(width, height)
        length = tiling.tokens + text
        of_tower, rest = forward_flops(sizes, lengths=[length], tiles=tiling.tiles, supervised=length)
        _, less = forward_flops(sizes, lengths=[length], tiles=tiling.tiles, supervised=answer)
        pairs, tokens = pairs + count, tokens + count * length
        tower, everywhere, answers = tower + count * of_tower, everywhere + count * rest, answers + count * less
    return pairs, tokens / pairs, tower, everywhere, answers


def test_the_published_mix_takes_what_was_computed_for_it_elsewhere() -> None:
    pairs, mean, tower, everywhere, answers = _published_mix()
    assert pairs == 1_115_021
    assert mean == pytest.approx(7169, rel=0.01)
    assert (tower + everywhere) / pairs == pytest.approx(131e12, rel=0.02)
    flops = 3 * (tower + everywhere) * 1_020_000 / pairs
    assert flops == pytest.approx(4.0e20, rel=0.02)
    assert estimate.hours(flops, 8, 0.40) == pytest.approx(35, rel=0.03)
    assert estimate.hours(flops, 8, 0.25) == pytest.approx(57, rel=0.03)
    assert (everywhere - answers) / (tower + everywhere) == pytest.approx(0.06, abs=0.005), "lm_head on answers alone"


def test_parameters_are_counted_from_the_config() -> None:
    count = estimate.parameters(CONFIG_7B)
    assert count.total == 8_030_348_832  # the Hub's 7B, with 152,064 embeddings and SigLIP's unused last norm
    assert count.language == 6_525_621_760
    tied = copy.deepcopy(CONFIG_7B)
    tied["text_config"]["tie_word_embeddings"] = True
    assert count.total - estimate.parameters(tied).total == 152_064 * 3584


def test_states_follow_the_strategy() -> None:
    found = {}
    for strategy in ("ddp", "zero2", "zero3", "zero3-offload"):
        settings = {**SETTINGS, "parallel": {"strategy": strategy}}
        found[strategy] = estimate.memory(CONFIG_7B, settings, world=8, longest=7450, most_tiles=31)
    gigabytes = {name: memory.states * 2**30 / 1e9 for name, memory in found.items()}
    billion = 8.0303
    assert gigabytes["ddp"] == pytest.approx(20 * billion, rel=0.01)
    assert gigabytes["zero2"] == pytest.approx(4 * billion, rel=0.01), (
        "weights 2, a share of float32 gradients and AdamW"
    )
    assert gigabytes["zero3"] == pytest.approx(18 / 8 * billion + 2, rel=0.01), "a share, and a billion gathered"
    assert found["zero3-offload"].host * 8 * 2**30 / 1e9 == pytest.approx(22 * billion, rel=0.01)
    assert found["zero2"].gpu < 80
    assert found["ddp"].gpu > 80


def test_one_rank_has_float32_gradients_and_a_copy_of_them_in_the_step() -> None:
    """As measured with DeepSpeed 0.19.8, 18 bytes a weight between steps and 22 in one, for ZeRO-2 and -3."""
    alone = {}
    for strategy in ("ddp", "zero2", "zero3"):
        settings = {**SETTINGS, "parallel": {"strategy": strategy}}
        found = estimate.memory(CONFIG_7B, settings, world=1, longest=1000, most_tiles=2)
        alone[strategy] = [round(gib * 2**30 / 8.0303e9, 1) for gib in (found.states, found.update)]
        assert found.gpu == found.states + max(found.activations, found.update) + 3
    assert alone == {"ddp": [16.0, 0.0], "zero2": [18.0, 4.0], "zero3": [18.2, 0.5]}


def test_checkpointing_layers_saves_activations_and_lora_saves_states() -> None:
    def memory(**changes: Any) -> estimate.Memory:
        return estimate.memory(CONFIG_7B, {**SETTINGS, **changes}, world=8, longest=7450, most_tiles=31)

    every, second, none = (
        memory(parallel={"strategy": "zero2", "activation_checkpointing": n}).activations for n in (1, 2, 0)
    )
    assert every < second < none
    lora = {"kind": "lora", "rank": 64, "projector": True}
    assert memory(adapter=lora, parallel={"strategy": "ddp"}).gpu < 40
    assert memory(adapter={**lora, "kind": "qlora"}, parallel={"strategy": "ddp"}).gpu < 24


def test_a_checkpoint_of_the_7b_has_112_gb_and_of_its_lora_a_few() -> None:
    assert estimate.checkpoint_bytes(CONFIG_7B, SETTINGS) == pytest.approx(112e9, rel=0.01)
    zero3 = {**SETTINGS, "parallel": {"strategy": "zero3"}}
    assert estimate.checkpoint_bytes(CONFIG_7B, zero3) == pytest.approx(96e9, rel=0.01)
    frozen = {**SETTINGS, "optimization": {"vision_learning_rate": 0.0}}
    assert estimate.checkpoint_bytes(CONFIG_7B, frozen) == pytest.approx((112 - 12 * 0.43) * 1e9, rel=0.01)
    lora = {**SETTINGS, "adapter": {"rank": 64}, "parallel": {"strategy": "ddp"}}
    assert estimate.trainable(estimate.parameters(CONFIG_7B), CONFIG_7B, lora) == 161_480_704 + 16_984_576
    assert estimate.checkpoint_bytes(CONFIG_7B, lora) < 3e9


def test_what_is_frozen_costs_fewer_operations() -> None:
    counts = {"forward_flops": {"vision tower": 1.0, "rest": 10.0}}
    assert estimate.training_flops(counts, {"optimization": {}}) == 33
    assert estimate.training_flops(counts, {"optimization": {"vision_learning_rate": 0.0}}) == 31
    assert estimate.training_flops(counts, {"optimization": {}, "adapter": {"kind": "lora"}}) == 21


def test_steps_are_global_batches_rounded_up() -> None:
    assert estimate.steps({"optimization": {"global_batch": 256, "epochs": 1.0}}, 1_115_021) == 4356
    assert estimate.steps({"optimization": {"max_steps": 7}}, 1_115_021) == 7
    assert Ranks(4, nodes=8).world == 32


CONFIG_HALF: dict[str, Any] = {
    **CONFIG_7B,
    "text_config": {
        **CONFIG_7B["text_config"],
        "hidden_size": 896,
        "intermediate_size": 4864,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
        "tie_word_embeddings": True,
    },
}


@pytest.mark.parametrize(
    ("recipe", "config", "changes", "gpus", "card"),
    [
        ("radvlm-7b", CONFIG_7B, {}, 8, 80),
        ("radvlm-7b", CONFIG_7B, {"parallel": {"strategy": "zero3"}}, 8, 40),
        ("radvlm-7b-lora", CONFIG_7B, {}, 1, 40),
        ("radvlm-7b-lora", CONFIG_7B, {"adapter": {"kind": "qlora"}}, 1, 24),
        ("radvlm-0.5b", CONFIG_HALF, {}, 1, 40),
    ],
)
def test_the_recipes_fit_the_cards_that_the_documentation_names(
    recipe: str, config: dict[str, Any], changes: dict[str, Any], gpus: int, card: int
) -> None:
    settings = overlaid(load_recipe(recipe).values, changes)
    needed = estimate.memory(config, settings, world=gpus, longest=8900, most_tiles=37).gpu
    assert needed < 0.9 * card, "with room for an allocator's waste"


def test_the_memory_table_of_the_documentation_is_this_arithmetic() -> None:
    page = (ROOT / "docs" / "training.md").read_text()
    for strategy in ("ddp", "zero2", "zero3", "zero3-offload"):
        settings = {**SETTINGS, "parallel": {"strategy": strategy}}
        found = [estimate.memory(CONFIG_7B, settings, world=w, longest=7450, most_tiles=31).gpu for w in (1, 8, 32)]
        (line,) = (line for line in page.splitlines() if line.startswith(f"| `{strategy}` |"))
        assert line.endswith(" | ".join(f"{gib:.0f} GiB" for gib in found) + " |")
