"""Every form that a checkpoint comes in gives the same folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from radvlm_cli.errors import ConfigError, DataError
from tests.weights.answers import logit_difference
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


def _same(one: Tensors, other: Tensors) -> bool:
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype and torch.equal(one[name], other[name]) for name in one
    )


@pytest.fixture(scope="module")
def truth(converted: Path) -> Tensors:
    return tensors_of(converted)


def test_names_and_types_are_the_hubs(truth: Tensors) -> None:
    assert {name.partition(".")[0] for name in truth} == {
        "image_newline",
        "language_model",
        "multi_modal_projector",
        "vision_tower",
    }
    assert "vision_tower.vision_model.encoder.layers.1.mlp.fc1.weight" in truth
    assert "language_model.model.layers.1.self_attn.q_proj.bias" in truth
    assert "language_model.lm_head.weight" in truth
    assert {value.dtype for value in truth.values()} == {torch.bfloat16}


def test_one_file_and_two_give_the_same(single: Path, truth: Tensors, tmp_path: Path) -> None:
    assert _same(tensors_of(run_convert(single, tmp_path / "out").output), truth)


@pytest.mark.parametrize("model_type", ["qwen2", "llava"])
def test_other_names_of_the_model_type(model_type: str, truth: Tensors, tmp_path: Path) -> None:
    folder = write_single(tmp_path / "in", tensors_of(ORIGINAL), model_type=model_type)
    assert _same(tensors_of(run_convert(folder, tmp_path / "out").output), truth)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
def test_torch_files(zipped: bool, truth: Tensors, tmp_path: Path) -> None:
    folder = copy_words(tmp_path / "in", config_of())
    tensors = tensors_of(ORIGINAL)
    names = sorted(tensors)
    turned = "model.mm_projector.0.weight"
    tensors[turned] = tensors[turned].t().contiguous().t()  # strides that are not those of C order
    parts = {"pytorch_model-00001-of-00002.bin": names[:30], "pytorch_model-00002-of-00002.bin": names[30:]}
    for file, part in parts.items():
        torch.save({name: tensors[name] for name in part}, folder / file, _use_new_zipfile_serialization=zipped)
    index = {"metadata": {}, "weight_map": {name: file for file, part in parts.items() for name in part}}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    assert _same(tensors_of(run_convert(folder, tmp_path / "out", verify=True).output), truth)


def test_shards_of_the_output_are_bounded_and_indexed(truth: Tensors, tmp_path: Path) -> None:
    output = run_convert(ORIGINAL, tmp_path / "out", shard_bytes=100_000).output
    files = sorted(output.glob("model-*.safetensors"))
    assert len(files) > 5
    assert all(file.stat().st_size < 110_000 for file in files)
    index = json.loads((output / "model.safetensors.index.json").read_text())
    assert set(index["weight_map"].values()) == {file.name for file in files}
    assert index["metadata"]["total_size"] == sum(t.numel() * 2 for t in truth.values())
    assert _same(tensors_of(output), truth)
    load_strictly(output)


def _tied(tensors: Tensors, *, keep: bool) -> Tensors:
    tensors = dict(tensors)
    del tensors["lm_head.weight"]
    return tensors | ({"lm_head.weight": tensors["model.embed_tokens.weight"].clone()} if keep else {})


@pytest.mark.parametrize("keep", [False, True], ids=["no lm_head", "lm_head saved too"])
def test_a_tied_checkpoint_stays_tied(keep: bool, tmp_path: Path) -> None:
    folder = write_single(tmp_path / "in", _tied(tensors_of(ORIGINAL), keep=keep), tie_word_embeddings=True)
    made = run_convert(folder, tmp_path / "out", verify=True)
    assert made.tied
    assert "language_model.lm_head.weight" not in tensors_of(made.output)
    model = load_strictly(made.output)
    assert model.lm_head.weight is model.model.language_model.embed_tokens.weight
    expected = tensors_of(ORIGINAL)["model.embed_tokens.weight"].float()
    assert torch.equal(model.lm_head.weight.detach(), expected)


def test_a_tied_checkpoint_with_another_lm_head_is_refused(tmp_path: Path) -> None:
    folder = write_single(tmp_path / "in", tensors_of(ORIGINAL), tie_word_embeddings=True)
    with pytest.raises(DataError, match="ties lm_head to the embedding, but they differ"):
        run_convert(folder, tmp_path / "out")


def test_an_untied_checkpoint_without_lm_head_is_refused(tmp_path: Path) -> None:
    folder = write_single(tmp_path / "in", _tied(tensors_of(ORIGINAL), keep=False))
    with pytest.raises(DataError, match=r"\(language_model\.lm_head\.weight\) missing"):
        run_convert(folder, tmp_path / "out")


@pytest.mark.parametrize("form", ["native", "made from a config", "hub"])
def test_what_transformers_5_saves(form: str, converted: Path, truth: Tensors, tmp_path: Path) -> None:
    """Native names are those of our own runs; a model made from a configuration is saved in a mixture."""
    from transformers import LlavaOnevisionForConditionalGeneration

    model = load_strictly(converted, dtype="bfloat16")
    if form == "made from a config":
        values = model.state_dict()
        model = LlavaOnevisionForConditionalGeneration(model.config).to(torch.bfloat16)
        model.load_state_dict(values)
    model.save_pretrained(tmp_path / "in", save_original_format=form != "native")
    names = set(tensors_of(tmp_path / "in"))
    assert (names == set(truth)) is (form == "hub")
    made = run_convert(tmp_path / "in", tmp_path / "out", tokenizer=ORIGINAL, verify=True).output
    assert _same(tensors_of(made), truth)
    assert json.loads((made / "config.json").read_text()) == json.loads((converted / "config.json").read_text())


def test_a_hub_folder_needs_nothing(converted: Path, tmp_path: Path) -> None:
    assert run_convert(converted, None).files == {}
    assert not converted.with_name(f"{converted.name}_hf").exists()
    again = run_convert(converted, tmp_path / "out").output
    assert {f.name: f.read_bytes() for f in again.iterdir()} == {f.name: f.read_bytes() for f in converted.iterdir()}


def test_a_run_of_ours_gives_its_newest_complete_checkpoint_or_its_final_weights(
    converted: Path, truth: Tensors, tmp_path: Path
) -> None:
    run = tmp_path / "runs" / "7"
    model = load_strictly(converted, dtype="bfloat16")
    for step, whole in ((9, True), (10, True), (11, False)):
        folder = run / "checkpoints" / f"checkpoint-{step}"
        model.model.image_newline.data.fill_(float(step))
        model.save_pretrained(folder, save_original_format=False)
        if whole:
            (folder / "radvlm_checkpoint.json").write_text("{}")
    (run / "manifest.json").write_text(json.dumps({"format": 1, "model": {"path": str(converted)}}))
    assert tensors_of(run_convert(run, None).output)["image_newline"][0] == 10
    assert (tmp_path / "runs" / "7_hf").is_dir()
    shutil.move(run / "checkpoints" / "checkpoint-9", run / "final")
    assert tensors_of(run_convert(run, tmp_path / "final").output)["image_newline"][0] == 9


def test_a_run_without_a_complete_checkpoint_says_so(tmp_path: Path) -> None:
    (tmp_path / "run" / "checkpoints" / "checkpoint-3").mkdir(parents=True)
    with pytest.raises(DataError, match="has no complete checkpoint"):
        run_convert(tmp_path / "run", None)


def test_another_type_can_be_asked_for(single: Path, tmp_path: Path) -> None:
    made = run_convert(single, tmp_path / "out", dtype="float32", verify=True)
    assert {value.dtype for value in tensors_of(made.output).values()} == {torch.float32}
    assert json.loads((made.output / "config.json").read_text())["dtype"] == "float32"
    assert logit_difference(load_strictly(made.output), made.output, "small") < 1e-3


def test_buffers_of_older_versions_are_left_out(truth: Tensors, tmp_path: Path) -> None:
    tensors = tensors_of(ORIGINAL)
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(8)
    tower = "model.vision_tower.vision_tower.vision_model"
    tensors[f"{tower}.embeddings.position_ids"] = torch.arange(729)[None]
    assert _same(tensors_of(run_convert(write_single(tmp_path / "in", tensors), tmp_path / "out").output), truth)


@pytest.mark.parametrize(
    ("content", "message"),
    [([], "it holds nothing"), (["readme.md"], "it holds readme.md")],
)
def test_a_folder_that_is_no_checkpoint_is_described(content: list[str], message: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in content:
        (tmp_path / "in" / name).touch()
    with pytest.raises(DataError, match=message):
        run_convert(tmp_path / "in", None)


def test_a_language_model_alone_is_no_llava(tmp_path: Path) -> None:
    language = {
        name: value for name, value in tensors_of(ORIGINAL).items() if "vision" not in name and "mm_" not in name
    }
    language.pop("model.image_newline")
    with pytest.raises(DataError, match=r"vision_tower.* missing"):
        run_convert(write_single(tmp_path / "in", language), tmp_path / "out")


def test_base_is_refused_for_whole_weights(single: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds whole weights"):
        run_convert(single, tmp_path / "out", base=single)


def test_the_vision_tower_may_come_from_a_file(tmp_path: Path) -> None:
    config: dict[str, Any] = config_of()
    tower = config.pop("_tiny_vision_config")
    folder = write_single(tmp_path / "in", tensors_of(ORIGINAL), _tiny_vision_config={})
    (tmp_path / "tower.json").write_text(json.dumps(tower))
    made = run_convert(folder, tmp_path / "out", vision_config=tmp_path / "tower.json")
    assert json.loads((made.output / "config.json").read_text())["vision_config"]["num_hidden_layers"] == 2
