"""What is missing before training starts is told with the command that makes it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from radvlm_cli.errors import ConfigError, DataError
from radvlm_cli.stages.training import inputs as training_inputs
from radvlm_cli.stages.training.inputs import (
    check_machine,
    check_model,
    check_ranks,
    check_settings,
    find_places,
    find_table,
)
from radvlm_cli.training import program
from radvlm_cli.training.launch import Ranks
from radvlm_cli.training.recipe import load_recipe, overlaid
from tests.training.conftest import CONFIG_7B, World, write_model, write_table


def _settings(world: World, **changes: Any) -> dict[str, Any]:
    places = find_places(None, model=world.folder / "model", dataset=world.folder / "data")
    return overlaid(overlaid(load_recipe("radvlm-7b").values, places.values()), changes)


def test_the_files_behind_the_options_are_found(world: World) -> None:
    places = find_places(None, model=world.folder / "model", dataset=world.folder / "data" / "train.json")
    assert places.table == world.folder / "data" / "train.parquet"
    assert (places.pairs, len(places.sha256), places.image_root, places.held_out) == (64, 64, None, None)


@pytest.mark.parametrize("kind", ["llava_qwen", "llava", "qwen2"])
def test_an_original_checkpoint_has_to_be_converted(tmp_path: Path, kind: str) -> None:
    write_model(tmp_path / "lmms lab", {"model_type": kind})
    with pytest.raises(ConfigError, match="original LLaVA-NeXT checkpoint") as caught:
        check_model(tmp_path / "lmms lab")
    assert (caught.value.hint or "").startswith(f"radvlm convert '{tmp_path}/lmms lab' --output ")


def test_what_a_model_folder_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist") as caught:
        check_model(Path("llava-hf/llava-onevision-qwen2-7b-ov-hf"))
    assert "hf download llava-hf/llava-onevision-qwen2-7b-ov-hf --local-dir" in (caught.value.hint or "")
    with pytest.raises(ConfigError, match=r"no config\.json"):
        check_model(tmp_path)
    write_model(tmp_path / "m", {"model_type": "qwen2_vl"})
    with pytest.raises(ConfigError, match="type qwen2_vl"):
        check_model(tmp_path / "m")
    write_model(tmp_path / "n", CONFIG_7B)
    (tmp_path / "n" / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match="no weights"):
        check_model(tmp_path / "n")
    (tmp_path / "n" / "config.json").write_text("{")
    with pytest.raises(ConfigError, match="cannot be read"):
        check_model(tmp_path / "n")


def test_a_dataset_that_is_not_built_is_built_by_a_command(world: World) -> None:
    for place in (world.folder / "nothing", world.folder / "runs"):
        with pytest.raises(DataError) as caught:
            find_table(place)
        assert caught.value.hint == f"radvlm build --output {place}"
    with pytest.raises(DataError, match="no built dataset") as caught:
        find_table(world.folder)
    assert caught.value.hint == f"--dataset {world.folder / 'data'}"
    write_table(world.folder / "data" / "other.parquet", world.folder / "picture.png")
    with pytest.raises(DataError, match="several datasets"):
        find_table(world.folder / "data")


def test_a_table_is_looked_into(world: World) -> None:
    def places(name: str, **more: Any) -> Any:
        return find_places(None, model=world.folder / "model", dataset=world.folder / name, **more)

    (world.folder / "cut.parquet").write_bytes((world.folder / "data" / "train.parquet").read_bytes()[:-50])
    with pytest.raises(DataError, match="not a built dataset"):
        places("cut.parquet")
    write_table(world.folder / "x" / "empty.parquet", world.folder / "picture.png", pairs=1)
    write_table(world.folder / "x" / "gone.parquet", world.folder / "gone.png")
    with pytest.raises(DataError, match="first image"):
        places("x/gone.parquet")
    write_table(world.folder / "x" / "relative.parquet", Path("picture.png"))
    with pytest.raises(DataError, match="relative") as caught:
        places("x/relative.parquet")
    assert caught.value.hint == "--image-root FOLDER"
    assert places("x/relative.parquet", image_root=world.folder).image_root == world.folder


def test_settings_are_checked_by_the_program_itself(world: World) -> None:
    check_settings(_settings(world))
    with pytest.raises(
        ConfigError, match=r"setting optimization\.learning_rat: is not known; is it learning_rate\?$"
    ) as caught:
        check_settings(_settings(world, optimization={"learning_rat": 1.0}))
    assert "optimization.learning_rat=" in (caught.value.hint or "")
    with pytest.raises(ConfigError, match="4-bit"):
        check_settings(_settings(world, adapter={"kind": "qlora"}, parallel={"strategy": "zero3"}))


def test_a_global_batch_that_does_not_divide_names_its_neighbours(world: World) -> None:
    check_ranks(_settings(world), Ranks(8))
    with pytest.raises(ConfigError, match="multiple of 6") as caught:
        check_ranks(_settings(world), Ranks(6))
    assert caught.value.hint == "--global-batch 252 or --global-batch 258"
    check_ranks(_settings(world, packing={"tokens": 20_000}), Ranks(6))


def test_missing_packages_and_gpus_are_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = _settings(world)
    monkeypatch.setattr(program.importlib.util, "find_spec", lambda name: None if name == "deepspeed" else object())
    with pytest.raises(ConfigError, match="deepspeed, which is not installed") as caught:
        check_machine(settings, Ranks(8))
    assert caught.value.hint == "pip install 'radvlm[models]'"
    check_machine(overlaid(settings, {"parallel": {"strategy": "ddp"}}), Ranks(0))
    monkeypatch.setattr(program.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(training_inputs, "gpus_present", lambda: [("H100", 80.0)] * 4)
    check_machine(settings, Ranks(4))
    with pytest.raises(ConfigError, match="8 GPUs are asked for; torch sees 4") as caught:
        check_machine(settings, Ranks(8))
    assert caught.value.hint == "--gpus 4"


def test_torch_that_cannot_be_loaded_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "torch.py"
    broken.write_text("raise ImportError('libcudart.so.12: cannot open shared object file')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(ConfigError, match=r"libcudart\.so\.12"):
        program.gpus_present()


def test_the_command_line_tells_a_user_what_to_do(world: World) -> None:
    world.store.unlink()
    for words, said in (
        (world.words("--gpus", "0", "--recipe", "tiny"), "No dataset is named"),
        (world.words("--gpus", "0", "--recipe", "tinny", "--dataset", "data"), "--recipe tiny"),
        (world.new("--global-batch", "6"), "multiple of 4"),
        (world.words("--run", "3"), "radvlm train --resume --run 3"),
        (world.words("--resume"), "There is no store"),
        (world.new("--profile", "x.yaml"), "--profile is for SLURM"),
        (world.words("--list"), "There is no store"),
    ):
        result = world.run(words)
        assert result.returncode == 3, result.stderr
        assert said in result.stderr
    assert not world.store.exists()


def test_a_dry_run_counts_the_dataset_and_prints_the_script(world: World) -> None:
    world.store.unlink()
    tokenizers = pytest.importorskip("tokenizers")
    original = Path(__file__).parents[1] / "data" / "llava_onevision" / "original" / "tokenizer.json"
    tokenizer = tokenizers.Tokenizer.from_file(str(original))
    tokenizer.add_special_tokens([tokenizers.AddedToken("<image>", special=True)])
    tokenizer.save(str(world.folder / "model" / "tokenizer.json"))
    words = world.new("--gpus", "8", "--recipe", "radvlm-7b", "--dry-run", "--json", "--slurm", "--nodes", "2")
    result = world.run(words)
    assert result.returncode == 0, result.stderr
    plan = json.loads(result.stdout)
    assert (plan["pairs"], plan["trained_on"], plan["steps"], plan["ranks"]) == (64, 64, 1, 16)
    assert plan["parameters"] == plan["trainable"] == 8_030_348_832
    assert plan["tokens"] == 64 * plan["longest"]
    assert 1000 < plan["longest"] < 1600, "a picture of 64 x 48 has one tile beside the whole"
    assert "#SBATCH --nodes=2" in plan["script"]
    assert [path.name for path in world.runs.iterdir()] == ["cache"]
    assert not world.store.exists()
    table = world.run([word for word in words if word != "--json"]).stdout
    assert "8.03 B" in table
    assert "MFU" in table


def test_nothing_of_torch_is_loaded_by_the_launcher() -> None:
    code = "import sys; import radvlm_cli.commands.train; from radvlm_cli.stages.training import plan, train; "
    code += "sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'finetuning')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
