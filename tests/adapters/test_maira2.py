"""MAIRA-2 on a tiny random checkpoint in the hub's layout."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor
from transformers import BitImageProcessorPil

from radvlm_cli.adapters.boxes import codec
from radvlm_cli.adapters.maira2 import CARD
from radvlm_cli.adapters.maira2_model import Maira2Adapter, Maira2ForConditionalGeneration, read_config
from radvlm_cli.adapters.protocol import Asked, Loading, Request, Task
from radvlm_cli.errors import ConfigError, DataError
from radvlm_cli.records import Turn
from tests.adapters import plain
from tests.adapters.asking import QUESTIONS, asking
from tests.adapters.by_hand import maira2_logits
from tests.adapters.forcing import says
from tests.adapters.tiny_maira2 import PATCHES, SIDE, write_tiny_maira2

FIRST = "model-00001-of-00002.safetensors"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint to read, not to write."""
    return write_tiny_maira2(tmp_path_factory.mktemp("maira2") / "tiny")


@pytest.fixture(scope="module")
def adapter(checkpoint: Path) -> Maira2Adapter:
    """The checkpoint, loaded."""
    return loaded(checkpoint)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three pictures of different sizes and content."""
    folder = tmp_path_factory.mktemp("pictures")
    for number, size in enumerate([(40, 50), (64, 30), (28, 28)]):
        y, x = np.mgrid[: size[0], : size[1]]
        values = [x * 3, y * 3, (x - 14) ** 2][number].clip(0, 255).astype(np.uint8)
        Image.fromarray(values).save(folder / f"{number}.png")
    return [folder / f"{number}.png" for number in range(3)]


def loaded(folder: Path) -> Maira2Adapter:
    """The adapter, as the card loads it."""
    made = CARD.load(Loading((folder,), "cpu"))
    assert isinstance(made, Maira2Adapter)
    return made


def test_logits_are_those_of_the_model_written_out_by_hand(
    adapter: Maira2Adapter, checkpoint: Path, pictures: list[Path]
) -> None:
    row = adapter.row(asking(pictures[0], QUESTIONS[1]))
    with Image.open(pictures[0]) as picture:
        pixels = adapter.pixels(picture)
    with torch.inference_mode():
        logits = adapter.model(**adapter.inputs([row], pixels[None])).logits[0]
    weights = {name: tensor for file in checkpoint.glob("*.safetensors") for name, tensor in load_file(file).items()}
    expected = maira2_logits(plain.doubled(weights), row, pixels.double())
    torch.testing.assert_close(logits.double(), expected, atol=5e-4, rtol=1e-4)


def test_a_batch_answers_as_each_request_alone(adapter: Maira2Adapter, pictures: list[Path]) -> None:
    requests = [asking(image, text) for image, text in zip(pictures, QUESTIONS, strict=True)]
    together = adapter.answer(requests, 12)
    assert together == [adapter.answer([request], 12)[0] for request in requests]
    assert len({reply.text for reply in together}) == 3
    assert [reply.tokens_in for reply in together] == [adapter.cost(request) for request in requests]


def test_other_attention_answers_the_same_in_every_part(
    adapter: Maira2Adapter, checkpoint: Path, pictures: list[Path]
) -> None:
    made: Any = CARD.load(Loading((checkpoint,), "cpu", attention="eager"))
    assert {
        part._attn_implementation
        for part in (made.model.config, made.model.config.vision_config, made.model.config.text_config)
    } == {"eager"}
    requests = [asking(image, text) for image, text in zip(pictures, QUESTIONS, strict=True)]
    assert made.answer(requests, 8) == adapter.answer(requests, 8)
    assert made.identity != adapter.identity


def test_it_answers_in_bfloat16(checkpoint: Path, pictures: list[Path]) -> None:
    made: Any = CARD.load(Loading((checkpoint,), "cpu", dtype="bfloat16"))
    assert {parameter.dtype for parameter in made.model.parameters()} == {torch.bfloat16}
    assert [reply.error for reply in made.answer([asking(image, "a") for image in pictures], 4)] == [None] * 3
    assert made.identity["dtype"] == "bfloat16"


@pytest.mark.parametrize(
    ("task", "before"),
    [("report", "Given the current frontal image only"), ("phrase", "Given the current frontal image")],
)
def test_the_prompt_is_the_official_one_with_an_image_token_per_patch(
    adapter: Maira2Adapter, checkpoint: Path, pictures: list[Path], task: Task, before: str
) -> None:
    text = "Repeat the finding. Finding: a   small nodule"
    rendered = (
        "You are an expert radiology assistant tasked with interpreting a chest X-ray study. "
        f"USER: {before}{'<image>' * PATCHES} {text} ASSISTANT: "
    )
    # tokenizer.json as it is, not what transformers makes of it for Llama.
    written = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    row = adapter.row(asking(pictures[0], text, task))
    assert row == written.encode(rendered).ids
    assert row[0] == adapter.tokenizer.bos_token_id


def test_an_image_token_in_a_question_is_no_second_image(adapter: Maira2Adapter, pictures: list[Path]) -> None:
    row = adapter.row(asking(pictures[0], "the <image> and <ima<image>ge>"))
    assert row.count(max(row)) == PATCHES


GROUNDED = "<obj> nodule in the lung.<box><x10><y20><x55><y70></box><box><x1><y2><x3><y99></box></obj>"


@pytest.mark.parametrize("ended", [True, False])
def test_tags_of_boxes_and_the_last_token_stay(
    adapter: Maira2Adapter, monkeypatch: pytest.MonkeyPatch, pictures: list[Path], ended: bool
) -> None:
    most = says(adapter, GROUNDED, monkeypatch, ended=ended)
    reply = adapter.answer([asking(pictures[0], "a", "phrase")], most)[0]
    assert reply.text.replace(" ", "") == GROUNDED.replace(" ", "")
    assert reply.truncated is not ended
    assert codec("maira2").read(reply.text, (50, 40), reply.seen) == codec("maira2").read(GROUNDED, (50, 40), None)
    assert len(codec("maira2").read(reply.text, (50, 40), reply.seen).boxes) == 2


@pytest.mark.parametrize("size", [(60, 40), (40, 60), (28, 28), (101, 57), (20, 15)])
def test_pixels_are_those_of_transformers_processor(
    adapter: Maira2Adapter, checkpoint: Path, size: tuple[int, int]
) -> None:
    values = np.random.default_rng(0).integers(0, 256, size[::-1], dtype=np.uint8)
    # From 0 to 255 already, so that stretching changes nothing.
    values[0, 0], values[-1, -1] = 0, 255
    processor: Any = BitImageProcessorPil.from_pretrained(checkpoint)
    expected = processor(Image.fromarray(values), return_tensors="pt")["pixel_values"][0]
    torch.testing.assert_close(adapter.pixels(Image.fromarray(values)), expected, atol=1e-5, rtol=0)


def test_the_range_of_a_picture_is_stretched(adapter: Maira2Adapter) -> None:
    values = np.tile(np.linspace(100, 140, SIDE).astype(np.uint8), (SIDE, 1))
    grey = adapter.pixels(Image.fromarray(values))[0] * 0.2583 + 0.5307
    assert (round(float(grey.min()), 3), round(float(grey.max()), 3)) == (0, 1)
    colour = Image.fromarray(values).convert("RGB")
    assert adapter.pixels(colour).equal(adapter.pixels(Image.fromarray(values)))


def test_a_picture_of_one_value_is_black(adapter: Maira2Adapter) -> None:
    pixels = adapter.pixels(Image.new("L", (40, 30), 200))
    torch.testing.assert_close(pixels, torch.full((3, SIDE, SIDE), -0.5307 / 0.2583))


def test_conversations_are_refused(adapter: Maira2Adapter, pictures: list[Path]) -> None:
    turns = (Turn("human", "a"), Turn("gpt", "b"), Turn("human", "c"))
    with pytest.raises(ConfigError, match="not conversations"):
        adapter.answer([Request("k", pictures[0], turns, "conversation")], 4)


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("language_model.lm_head.weight", None, "missing keys: lm_head.weight"),
        ("multi_modal_projector.layers.6.bias", None, "missing keys: .*projector.layers.6.bias"),
        ("vision_tower.layernorm.weight", None, "missing keys: .*vision_tower.layernorm.weight"),
        ("multi_modal_projector.layers.8.bias", torch.zeros(2), "unexpected keys: .*layers.8.bias"),
        ("vision_tower.embeddings.cls_token", torch.zeros(1, 1, 3), "mismatched keys: .*cls_token"),
    ],
)
def test_weights_that_do_not_fit_are_named(copied: Path, name: str, tensor: Tensor | None, message: str) -> None:
    index = json.loads((copied / "model.safetensors.index.json").read_text())
    file = copied / index["weight_map"].setdefault(name, FIRST)
    weights = load_file(file)
    weights.pop(name, None)
    if tensor is None:
        del index["weight_map"][name]
    else:
        weights[name] = tensor
    save_file(weights, file, metadata={"format": "pt"})
    (copied / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(DataError, match=message):
        loaded(copied)


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("config.json", lambda raw: raw.pop("projector_n_layers"), "no MAIRA-2.*projector_n_layers"),
        ("config.json", lambda raw: raw.update(vision_feature_layer=-2), "features"),
        ("config.json", lambda raw: raw["vision_config"].update(apply_layernorm=False), "normed last layer"),
        ("config.json", lambda raw: raw.update(image_token_index=5), "<image> as token 5"),
        ("tokenizer_config.json", lambda raw: raw.pop("chat_template"), "no chat template"),
        ("preprocessor_config.json", lambda raw: raw.update(size={"shortest_edge": 224}), "not the tower's"),
        ("preprocessor_config.json", lambda raw: raw.pop("image_std"), "image_std"),
    ],
)
def test_another_configuration_is_refused(
    copied: Path, file: str, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    raw = json.loads((copied / file).read_text())
    change(raw)
    (copied / file).write_text(json.dumps(raw))
    with pytest.raises(DataError, match=message):
        loaded(copied)


def test_the_full_model_has_the_hubs_522_weights(copied: Path) -> None:
    raw = json.loads((copied / "config.json").read_text())
    raw["text_config"] |= {"hidden_size": 4096, "num_hidden_layers": 32, "vocab_size": 32207}
    raw["vision_config"] |= {"hidden_size": 768, "num_hidden_layers": 12, "out_features": ["stage12"]}
    raw["vision_config"] |= {"out_indices": [12], "stage_names": ["stem", *(f"stage{i}" for i in range(1, 13))]}
    (copied / "config.json").write_text(json.dumps(raw))
    with torch.device("meta"):
        model = Maira2ForConditionalGeneration(read_config(copied))
    assert len(model.state_dict()) == 522


def test_the_chat_template_may_lie_in_a_file_of_its_own(
    adapter: Maira2Adapter, copied: Path, pictures: list[Path]
) -> None:
    raw = json.loads((copied / "tokenizer_config.json").read_text())
    (copied / "chat_template.json").write_text(json.dumps({"chat_template": raw.pop("chat_template")}))
    (copied / "tokenizer_config.json").write_text(json.dumps(raw))
    assert loaded(copied).row(asking(pictures[0], "a")) == adapter.row(asking(pictures[0], "a"))


SECTIONS = (
    "Provide a description of the findings in the radiology study in comparison to the prior frontal image. "
    "INDICATION: {} TECHNIQUE: N/A COMPARISON: N/A"
)
LOCATE = (
    "Repeat the following finding as a grounded phrase with bounding boxes indicating all locations where it can be "
    "seen in the given chest X-ray image. Finding: "
)


@pytest.mark.parametrize(
    ("asked", "default", "paper"),
    [
        (Asked("report", None, "q", indication="cough"), SECTIONS.format("cough"), SECTIONS.format("N/A")),
        (Asked("report", None, "q"), SECTIONS.format("N/A"), SECTIONS.format("N/A")),
        (Asked("abnormality", "a nodule", "q"), LOCATE + "There is a nodule.", LOCATE + "a nodule"),
        (Asked("region", "left lung", "q"), LOCATE + "left lung", LOCATE + "left lung"),
        (Asked("phrase", "Small left effusion", "q"), LOCATE + "Small left effusion", LOCATE + "Small left effusion"),
    ],
)
def test_prompts(asked: Asked, default: str, paper: str) -> None:
    assert (CARD.prompt(asked, "default"), CARD.prompt(asked, "paper")) == (default, paper)


@pytest.mark.parametrize("task", ["classification", "detection", "conversation"])
def test_there_is_no_prompt_for_what_it_cannot_do(task: Task) -> None:
    assert task not in CARD.tasks
    with pytest.raises(ConfigError):
        CARD.prompt(Asked(task, "heart", "q", ("a",)), "default")
