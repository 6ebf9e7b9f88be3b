"""The tiny random model that the demo trains: the same each time, in files that training and transformers read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from finetuning.anyres import Anyres
from finetuning.chat import Chat, Turn
from finetuning.manifest import ModelChoice
from finetuning.model import load_strictly
from radvlm_cli.demo.tiny_model import dataset_texts, write_tiny_model
from radvlm_cli.errors import DataError
from tests.finetuning.datasets import Given, write_table

BOX = "[0.12, 0.34, 0.56, 0.70]"
TEXTS = [
    "Where is the effusion?",
    f"The effusion lies within {BOX}.",
    "Is the heart enlarged?",
    "No cardiomegaly is seen.",
] * 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tiny") / "model", TEXTS)


def test_the_same_texts_and_seed_give_the_same_files(folder: Path, tmp_path: Path) -> None:
    again, other = write_tiny_model(tmp_path / "a", TEXTS), write_tiny_model(tmp_path / "b", TEXTS, seed=1)
    names = sorted(path.name for path in folder.iterdir())
    assert [(again / name).read_bytes() for name in names] == [(folder / name).read_bytes() for name in names]
    assert (other / "tokenizer.json").read_bytes() == (folder / "tokenizer.json").read_bytes()
    assert (other / "model.safetensors").read_bytes() != (folder / "model.safetensors").read_bytes()


def test_training_loads_it_and_reads_its_tiling(folder: Path) -> None:
    model = load_strictly(ModelChoice(folder, dtype="float32"), torch.float32)
    anyres, vision = Anyres.of_folder(folder), model.config.vision_config
    assert (anyres.tile, anyres.patches) == (vision.image_size, vision.image_size // vision.patch_size)
    assert anyres.tiling(416, 480).tiles == 2


def test_digits_are_single_tokens_and_frequent_words_are_whole(folder: Path) -> None:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert [token for token in tokenizer.encode(BOX).tokens if token.strip("Ġ").isdigit()] == list("012034056070")
    assert "Ġeffusion" in tokenizer.encode("the effusion").tokens
    assert tokenizer.decode(tokenizer.encode("Ángulo ≥ 3").ids) == "Ángulo ≥ 3"


def test_transformers_reads_the_same_tokens(folder: Path) -> None:
    ours, theirs = Tokenizer.from_file(str(folder / "tokenizer.json")), AutoTokenizer.from_pretrained(folder)
    for text in (*TEXTS[:4], "Größe 7 µm,\n\n don't"):
        assert theirs(text)["input_ids"] == ours.encode(text).ids
    assert theirs.eos_token == "<|im_end|>"


def test_the_chat_template_finds_its_tokens(folder: Path) -> None:
    chat = Chat(Tokenizer.from_file(str(folder / "tokenizer.json")))
    encoded = chat.encode([Turn("human", "<image>\nWhere?"), Turn("gpt", BOX)], 5)
    config = json.loads((folder / "config.json").read_text())
    assert (encoded.ids == config["image_token_index"]).sum() == 5
    assert encoded.ids.max() < config["text_config"]["vocab_size"]


def test_a_folder_that_holds_something_is_left_alone(folder: Path) -> None:
    with pytest.raises(DataError, match="is not empty"):
        write_tiny_model(folder, TEXTS)


def test_texts_of_a_dataset_are_its_questions_and_answers(tmp_path: Path) -> None:
    table = write_table(tmp_path / "train.parquet", [Given("a.png"), Given("b.png", ("Where?", BOX))])
    assert list(dataset_texts(table)) == ["Is there an effusion?", "No.", "Where?", BOX]
