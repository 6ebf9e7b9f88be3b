"""Tokenizer, chat template and configuration files of a converted folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from radvlm_cli.errors import DataError
from radvlm_cli.weights.configs import hub_config, read_json
from radvlm_cli.weights.structure import expected_shapes
from radvlm_cli.weights.verify import source_name
from tests.weights.answers import CASES
from tests.weights.originals import ORIGINAL, config_of, run_convert, tensors_of, write_single

IMAGE = {"type": "image"}


@pytest.fixture
def tokenizer(converted: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(converted), local_files_only=True)


def _text(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


@pytest.mark.parametrize("name", CASES)
def test_the_chat_template_gives_the_ids_of_the_original_code(name: str, tokenizer: Any) -> None:
    roles = {"human": "user", "gpt": "assistant"}
    turns: list[dict[str, Any]] = []
    for turn in CASES[name]["conversation"]:
        said = turn["value"].replace("<image>", "").strip()  # it goes to the front, wherever it stood
        content = [IMAGE, _text(said)] if "<image>" in turn["value"] else [_text(said)]
        turns.append({"role": roles[turn["from"]], "content": content})
    ids = tokenizer.apply_chat_template(turns, tokenize=True, return_dict=False)
    image = tokenizer.convert_tokens_to_ids("<image>")
    assert [-200 if number == image else number for number in ids] == CASES[name]["input_ids"]
    question = tokenizer.apply_chat_template(turns[:1], add_generation_prompt=True, return_dict=False)
    assert [-200 if number == image else number for number in question] == CASES[name]["prompt_ids"]


def test_the_template_puts_images_first_takes_plain_text_and_keeps_a_system_turn(tokenizer: Any) -> None:
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [_text("Any change?"), IMAGE, IMAGE]},
        {"role": "assistant", "content": "No."},
    ]
    assert tokenizer.apply_chat_template(turns, tokenize=False) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n<image>\n<image>\nAny change?<|im_end|>\n"
        "<|im_start|>assistant\nNo.<|im_end|>\n"
    )


def test_the_placeholders_stand_behind_the_last_token(converted: Path, tokenizer: Any) -> None:
    assert tokenizer.convert_tokens_to_ids(["<image>", "<video>"]) == [423, 424]
    assert tokenizer.eos_token == "<|im_end|>"
    assert tokenizer.pad_token == "<|endoftext|>"
    config = read_json(converted / "config.json")
    assert (config["image_token_index"], config["video_token_index"]) == (423, 424)
    assert read_json(converted / "generation_config.json")["eos_token_id"] == [422, 420]


def test_ordinary_text_is_tokenised_as_before(tokenizer: Any) -> None:
    from transformers import Qwen2Tokenizer

    before = Qwen2Tokenizer.from_pretrained(str(ORIGINAL))
    for text in ("No pleural effusion.\n\n", "  [0.25, 0.10, 0.55, 0.62]  ", "œdème  90 %", "<|im_end|>x"):
        assert tokenizer(text)["input_ids"] == before(text)["input_ids"]


@pytest.mark.parametrize("left", [("tokenizer.json",), ("vocab.json", "merges.txt")], ids=["fast", "slow"])
def test_either_form_of_tokenizer_is_enough(left: tuple[str, ...], converted: Path, tmp_path: Path) -> None:
    folder = write_single(tmp_path / "in", tensors_of(ORIGINAL))
    for name in {"tokenizer.json", "vocab.json", "merges.txt"} - set(left):
        (folder / name).unlink()
    if "vocab.json" in left:  # the ids of special tokens are not in vocab.json
        shutil.copy(ORIGINAL / "added_tokens.json", folder)
    output = run_convert(folder, tmp_path / "out").output
    ours, theirs = read_json(output / "tokenizer.json"), read_json(converted / "tokenizer.json")
    assert ours["model"]["vocab"] == theirs["model"]["vocab"]
    assert ours["added_tokens"] == theirs["added_tokens"]


def test_a_tokenizer_that_has_the_placeholders_gets_no_second_pair(
    converted: Path, single: Path, tmp_path: Path
) -> None:
    output = run_convert(single, tmp_path / "out", tokenizer=converted).output
    assert (output / "tokenizer.json").read_bytes() == (converted / "tokenizer.json").read_bytes()


def test_no_tokenizer_is_an_error_that_says_where_it_was_looked_for(tmp_path: Path) -> None:
    folder = write_single(tmp_path / "in", tensors_of(ORIGINAL))
    for name in ("tokenizer.json", "vocab.json"):
        (folder / name).unlink()
    with pytest.raises(DataError, match=f"No tokenizer .* in {folder}"):
        run_convert(folder, tmp_path / "out")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "tokenizer.json").write_text('{"model": {}}')
    with pytest.raises(DataError, match=r"tokenizer in .*other (cannot be read|has no)"):
        run_convert(folder, tmp_path / "out", tokenizer=tmp_path / "other")


def test_the_picture_processor_is_that_of_the_original(converted: Path) -> None:
    from transformers import AutoImageProcessor

    processor = AutoImageProcessor.from_pretrained(str(converted), local_files_only=True)
    assert type(processor).__name__.startswith("LlavaOnevisionImageProcessor")
    assert list(processor.image_mean) == list(processor.image_std) == [0.5, 0.5, 0.5]
    assert [list(point) for point in processor.image_grid_pinpoints] == config_of()["image_grid_pinpoints"]
    assert read_json(converted / "processor_config.json")["processor_class"] == "LlavaOnevisionProcessor"


def test_readers_of_version_4_find_their_words(converted: Path) -> None:
    """What transformers 4.45 and vLLM read: version 5 has other names for these, and takes both."""
    config = read_json(converted / "config.json")
    assert config["torch_dtype"] == config["text_config"]["torch_dtype"] == "bfloat16"
    assert config["text_config"]["rope_theta"] == 1e6
    words = read_json(converted / "tokenizer_config.json")
    assert isinstance(words["additional_special_tokens"], list)
    assert "extra_special_tokens" not in words  # a list of them is an error in version 4


def _published(width: int, layers: int, heads: int, keys: int, inner: int, rows: int, *, tied: bool) -> dict[str, Any]:
    config = config_of() | {
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": keys,
        "intermediate_size": inner,
        "vocab_size": rows,
        "tie_word_embeddings": tied,
        "image_grid_pinpoints": "(1x1),...,(6x6)",
    }
    del config["_tiny_vision_config"]
    return hub_config(config, vision=None, where=Path("config.json"))


@pytest.mark.parametrize("tied", [False, True], ids=["7B", "0.5B, tied"])
def test_the_expected_tensors_are_those_of_transformers_own_model(tied: bool) -> None:
    import torch
    from transformers import LlavaOnevisionConfig, LlavaOnevisionForConditionalGeneration

    sizes = (896, 24, 14, 2, 4864, 151936) if tied else (3584, 28, 28, 4, 18944, 152064)
    config = _published(*sizes, tied=tied)
    assert config["image_grid_pinpoints"] == config_of()["image_grid_pinpoints"]
    with torch.device("meta"):
        model = LlavaOnevisionForConditionalGeneration(LlavaOnevisionConfig(**config))
    theirs = {name: tuple(value.shape) for name, value in model.named_parameters()}
    assert {source_name(name, "native"): shape for name, shape in expected_shapes(config).items()} == theirs


def test_a_config_as_version_5_writes_it_is_read(converted: Path) -> None:
    given = read_json(converted / "config.json")
    theta = given["text_config"].pop("rope_theta")
    given["text_config"]["rope_parameters"] = {"rope_theta": theta, "rope_type": "default"}
    assert hub_config(given, vision=None, where=Path("x"))["text_config"]["rope_theta"] == theta
    given["text_config"]["rope_parameters"] = {"rope_theta": theta, "rope_type": "yarn", "factor": 4.0}
    scaled = hub_config(given, vision=None, where=Path("x"))["text_config"]
    assert scaled["rope_scaling"] == {"rope_type": "yarn", "factor": 4.0}


def test_config_files_are_json_objects(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("[]")
    with pytest.raises(DataError, match="holds no JSON object"):
        read_json(tmp_path / "x.json")
    (tmp_path / "x.json").write_text(json.dumps({})[:1])
    with pytest.raises(DataError, match="is not valid JSON"):
        read_json(tmp_path / "x.json")
