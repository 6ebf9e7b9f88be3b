"""Training recipes and settings: the built-in ones are what the program takes; mistakes are told by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from finetuning.manifest import parse_manifest
from radvlm_cli.commands.train_options import Adapter, Strategy, overrides
from radvlm_cli.errors import ConfigError
from radvlm_cli.training.manifest import Places, make_manifest, settings_of
from radvlm_cli.training.recipe import built_in, flat, load_recipe, nested, overlaid, parse_settings

PLACES = Places(Path("/m"), Path("/d/train.parquet"), "0" * 64, 10, None, None)


def _manifest(values: dict[str, Any]) -> dict[str, Any]:
    return make_manifest(overlaid(values, PLACES.values()), run_id=3, folder=Path("/runs/3"))


def test_the_built_in_recipes_are_those_of_the_help() -> None:
    assert built_in() == ["radvlm-0.5b", "radvlm-7b", "radvlm-7b-lora", "tiny"]


@pytest.mark.parametrize("name", built_in())
def test_the_program_takes_each_built_in_recipe(name: str) -> None:
    recipe = load_recipe(name)
    manifest = parse_manifest(_manifest(recipe.values))
    assert recipe.description
    assert manifest.run.id == 3
    assert manifest.data.cache == Path("/runs/cache")
    assert manifest.accumulation(8 if name == "radvlm-7b" else 1) >= 1


def test_the_default_recipe_is_the_published_one() -> None:
    manifest = parse_manifest(_manifest(load_recipe("radvlm-7b").values))
    rates = manifest.optimization
    assert (rates.learning_rate, rates.vision_learning_rate, rates.warmup) == (1e-5, 2e-6, 0.03)
    assert (rates.schedule, rates.global_batch, rates.epochs, rates.weight_decay) == ("cosine", 256, 1.0, 0.0)
    assert manifest.adapter is None
    assert manifest.parallel.strategy == "zero2"


def test_numbers_that_yaml_takes_for_text_are_numbers(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("optimization: {learning_rate: 1e-5, betas: [9e-1, 0.95]}\nmodel: {dtype: bfloat16}\n")
    values = load_recipe(str(path)).values
    assert values == {"optimization": {"learning_rate": 1e-5, "betas": [0.9, 0.95]}, "model": {"dtype": "bfloat16"}}


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("optimisation: {epochs: 1}", "'optimisation'", "Did you mean optimization?"),
        ("model: {path: /m}", "names model.path", "--model"),
        ("data: {table: /x}", "names data.table", "--dataset"),
        ("- model", "must be a mapping", None),
        ("model: {dtype: a, dtype: b}", "given twice", None),
    ],
)
def test_a_mistake_in_a_recipe_is_told(tmp_path: Path, text: str, said: str, hint: str | None) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said) as caught:
        load_recipe(str(path))
    assert hint is None or caught.value.hint == hint


def test_a_recipe_that_is_not_there_may_be_a_slip() -> None:
    with pytest.raises(ConfigError, match="does not exist") as caught:
        load_recipe("radvlm-7b-lra")
    assert caught.value.hint == "--recipe radvlm-7b-lora"


def test_options_become_settings() -> None:
    found = overrides(
        {
            "learning_rate": 3e-5,
            "strategy": Strategy.zero3_offload,
            "save_steps": 100,
            "adapter": Adapter.lora,
            "seed": 0,
        }
    )
    assert found == {
        "optimization.learning_rate": 3e-5,
        "parallel.strategy": "zero3-offload",
        "checkpoints.every_steps": 100,
        "checkpoints.every_minutes": None,
        "adapter.kind": "lora",
        "optimization.seed": 0,
    }
    assert overrides({"adapter": Adapter.none, "epochs": 2.0}) == {
        "adapter": None,
        "optimization.epochs": 2.0,
        "optimization.max_steps": None,
    }


def test_set_takes_any_setting_by_its_name() -> None:
    assert parse_settings(["optimization.warmup=1e-1", "report_to=[wandb]", "adapter=null"]) == {
        "optimization.warmup": 0.1,
        "report_to": ["wandb"],
        "adapter": None,
    }
    for given, said in (("warmup", "not NAME=VALUE"), ("run.id=3", "'run'"), ("model.path=/x", "names model.path")):
        with pytest.raises(ConfigError, match=said):
            parse_settings([given])


def test_settings_survive_the_way_into_a_manifest_and_back() -> None:
    settings = overlaid(load_recipe("radvlm-7b-lora").values, PLACES.values())
    manifest = json.loads(json.dumps(make_manifest(settings, run_id=3, folder=Path("/runs/3"))))
    assert settings_of(manifest) == settings
    assert nested(flat(settings)) == settings


def test_overlaying_an_adapter_on_none_and_none_on_an_adapter() -> None:
    assert overlaid({"adapter": None}, {"adapter": {"kind": "lora"}}) == {"adapter": {"kind": "lora"}}
    assert overlaid({"adapter": {"kind": "lora"}}, {"adapter": None}) == {"adapter": None}
