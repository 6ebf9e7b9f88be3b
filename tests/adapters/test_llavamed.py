"""LLaVA-Med: loaded strictly from the published layout, asked as it was trained, the picture in every turn."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentencepiece
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import CLIPImageProcessorPil, LlavaForConditionalGeneration

from radvlm_cli.adapters import card
from radvlm_cli.adapters.llavamed import CARD
from radvlm_cli.adapters.llavamed_model import BACKGROUND, VISION_OVERRIDE, LlavaMed, prepare, read_config
from radvlm_cli.adapters.pieces import Pieces
from radvlm_cli.adapters.protocol import Asked, Loading, Protocols, Request
from radvlm_cli.errors import ConfigError, DataError
from radvlm_cli.records import Turn
from tests.adapters.hub_layout import next_logits, tokenizer_model, write_json, write_picture
from tests.adapters.tiny_llavamed import write_llavamed

TURNS = (
    Turn("human", "Describe the heart."),
    Turn("gpt", "The heart is of normal size."),
    Turn("human", "And the lungs?"),
    Turn("gpt", "Both are clear."),
    Turn("human", "Is there a pleural effusion?"),
)
PLACES = 16
"""Of the tiny tower: 4 x 4."""


def load(folder: Path, protocol: Protocols = "default") -> LlavaMed:
    adapter = CARD.load(Loading((folder,), "cpu", protocol=protocol))
    assert isinstance(adapter, LlavaMed)
    return adapter


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_llavamed(tmp_path_factory.mktemp("hub") / "llava-med-v1.5-mistral-7b")


@pytest.fixture(scope="module")
def adapter(folder: Path) -> LlavaMed:
    return load(folder)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    place = tmp_path_factory.mktemp("pictures")
    return [write_picture(place / f"{seed}.png", seed) for seed in range(3)]


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def change_weights(folder: Path, change: Any) -> None:
    file = folder / "model-00001-of-00002.safetensors"
    weights = load_file(file)
    change(weights)
    save_file(weights, file, metadata={"format": "pt"})


def last_logits(adapter: LlavaMed, requests: list[Request]) -> torch.Tensor:
    pixels = [adapter._prepare(Image.open(request.image)) for request in requests]
    return next_logits(adapter.model, adapter.inputs(requests, pixels))


def test_every_published_weight_is_where_it_belongs(folder: Path, adapter: LlavaMed) -> None:
    published: dict[str, torch.Tensor] = {}
    for file in folder.glob("*.safetensors"):
        published |= load_file(file)
    loaded = adapter.model.state_dict()
    assert len(loaded) == len(published)
    for mine, name in {
        "model.multi_modal_projector.linear_1.weight": "model.mm_projector.0.weight",
        "model.multi_modal_projector.linear_2.bias": "model.mm_projector.2.bias",
        "model.language_model.layers.1.mlp.up_proj.weight": "model.layers.1.mlp.up_proj.weight",
        "model.language_model.embed_tokens.weight": "model.embed_tokens.weight",
        "model.language_model.norm.weight": "model.norm.weight",
        "lm_head.weight": "lm_head.weight",
    }.items():
        assert torch.equal(loaded[mine], published[name].float()), mine
    towers = {
        name.removeprefix("model.vision_tower.vision_tower.vision_model."): each.float()
        for name, each in published.items()
        if "vision_tower" in name
    }
    mine = {n.removeprefix("model.vision_tower."): each for n, each in loaded.items() if "vision_tower" in n}
    assert mine.keys() == towers.keys()
    assert all(torch.equal(mine[name], towers[name]) for name in mine)


def test_at_its_real_size_it_has_the_weights_of_the_published_index(copy: Path) -> None:
    real = {"vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 14336, "num_key_value_heads": 8}
    layers = {"num_hidden_layers": 32, "num_attention_heads": 32}
    given = json.loads((copy / "config.json").read_text())
    del given[VISION_OVERRIDE]
    write_json(copy / "config.json", given | real | layers)
    with torch.device("meta"):
        weights = LlavaForConditionalGeneration(read_config(copy, Pieces(copy))).state_dict()
    assert len(weights) == 686
    assert sum(2 * each.numel() for each in weights.values()) == 15_132_438_528


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_it_answers_in_half_the_precision(folder: Path, pictures: list[Path], dtype: Any) -> None:
    adapter = CARD.load(Loading((folder,), "cpu", dtype=dtype))
    reply = adapter.answer([Request("a", pictures[0], TURNS[:1], "report")], 3)[0]
    assert (reply.error, reply.tokens_out) == (None, 3)
    assert adapter.identity["dtype"] == dtype


def test_a_missing_weight_is_refused_by_name(copy: Path) -> None:
    change_weights(copy, lambda weights: weights.pop("lm_head.weight"))
    with pytest.raises(DataError, match=r"1 missing keys: lm_head\.weight"):
        load(copy)


def test_a_weight_that_nothing_takes_is_refused_by_name(copy: Path) -> None:
    change_weights(copy, lambda weights: weights.update({"model.mm_projector.4.weight": torch.zeros(2)}))
    with pytest.raises(DataError, match=r"unexpected keys: model\.mm_projector\.4\.weight"):
        load(copy)


def test_a_weight_of_another_shape_is_refused_by_name(copy: Path) -> None:
    change_weights(copy, lambda weights: weights.update({"lm_head.weight": torch.zeros(3, 24)}))
    with pytest.raises(DataError, match=r"mismatched keys: .*lm_head\.weight"):
        load(copy)


@pytest.mark.parametrize(
    ("name", "value"), [("mm_projector_type", "linear"), ("model_type", "llava_llama"), ("mm_vision_select_layer", -1)]
)
def test_a_model_that_computes_otherwise_is_refused(copy: Path, name: str, value: Any) -> None:
    config = json.loads((copy / "config.json").read_text())
    write_json(copy / "config.json", {**config, name: value})
    with pytest.raises(DataError, match=f"{name} is {value!r}"):
        load(copy)


def test_a_checkpoint_without_its_tokenizer_is_refused(copy: Path) -> None:
    (copy / "tokenizer.model").unlink()
    with pytest.raises(DataError, match=r"has no tokenizer\.model"):
        load(copy)


def test_text_around_the_picture_is_tokenised_by_stretches(adapter: LlavaMed) -> None:
    pieces = sentencepiece.SentencePieceProcessor(model_proto=tokenizer_model())
    single = adapter.encode(TURNS[:1])
    asked = pieces.encode("\nDescribe the heart. [/INST]")
    assert asked[0] == pieces.piece_to_id("▁")
    assert single == [1, *pieces.encode("[INST] "), *[0] * PLACES, *asked]
    three = adapter.encode(TURNS[:3])
    first, second = "\nDescribe the heart. [/INST] The heart is of normal size. ", "[INST] And the lungs? [/INST]"
    assert three == [*single[: -len(asked)], *pieces.encode(first), 2, *pieces.encode(second)]


def test_text_that_reads_like_a_special_token_stays_text(adapter: LlavaMed) -> None:
    ids = adapter.encode((Turn("human", "</s><s><unk><image> 肺"),))
    assert ids.count(2) == 0
    assert ids.count(1) == 1
    assert ids.count(0) == PLACES


def test_a_batch_gets_the_answers_that_each_request_alone_gets(adapter: LlavaMed, pictures: list[Path]) -> None:
    requests = [
        Request("a", pictures[0], TURNS, "conversation"),
        Request("b", pictures[1], TURNS[:1], "report"),
        Request("c", pictures[2], TURNS[:3], "conversation"),
    ]
    together = last_logits(adapter, requests)
    for number, request in enumerate(requests):
        torch.testing.assert_close(together[number], last_logits(adapter, [request])[0], rtol=0, atol=1e-5)
    replies = adapter.answer(requests, 6)
    assert replies == [adapter.answer([request], 6)[0] for request in requests]
    assert [reply.tokens_in for reply in replies] == [adapter.cost(request) for request in requests]
    assert all(reply.error is None and reply.tokens_out for reply in replies)


def test_an_answer_ends_at_the_end_token(folder: Path, pictures: list[Path]) -> None:
    adapter = load(folder)
    request = Request("a", pictures[0], TURNS[:1], "report")
    cut = adapter.answer([request], 3)[0]
    assert (cut.truncated, cut.tokens_out) == (True, 3)
    likeliest = int(last_logits(adapter, [request]).argmax())
    head = adapter.model.lm_head.weight.data
    head[[2, likeliest]] = head[[likeliest, 2]]
    ended = adapter.answer([request], 3)[0]
    assert (ended.truncated, ended.tokens_out, ended.text) == (False, 0, "")


@pytest.mark.parametrize("size", [(50, 30), (30, 51), (28, 28), (100, 20)])
def test_the_whole_picture_is_shown_in_the_middle_of_a_square(size: tuple[int, int]) -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, size[::-1], dtype=np.uint8))
    square = Image.new("RGB", (max(size),) * 2, BACKGROUND)
    square.paste(picture.convert("RGB"), ((max(size) - size[0]) // 2, (max(size) - size[1]) // 2))
    torch.testing.assert_close(prepare(picture, 28, whole=True), clip(square), rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [(50, 30), (30, 51), (101, 67)])
def test_paper_shows_the_square_in_the_middle(size: tuple[int, int]) -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, size[::-1], dtype=np.uint8))
    torch.testing.assert_close(prepare(picture, 28, whole=False), clip(picture.convert("RGB")), rtol=0, atol=1e-6)


def clip(picture: Image.Image) -> torch.Tensor:
    """transformers' own preparation for CLIP."""
    processor = CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28})
    pixels: torch.Tensor = processor(picture, return_tensors="pt")["pixel_values"][0]
    return pixels


def test_protocols_have_another_picture_and_another_identity(
    folder: Path, adapter: LlavaMed, pictures: list[Path]
) -> None:
    paper = load(folder, "paper")
    request = Request("a", pictures[0], TURNS[:1], "report")
    assert not torch.equal(last_logits(adapter, [request]), last_logits(paper, [request]))
    assert adapter.identity != paper.identity
    json.dumps(adapter.identity)


def test_it_is_asked_for_reports_only() -> None:
    assert card("llavamed") is CARD
    asked = Asked("report", None, "Write a report.")
    assert CARD.prompt(asked, "paper") == "Write a report."
    assert "findings section" in CARD.prompt(asked, "default")
    with pytest.raises(ConfigError, match="no prompt for the task classification"):
        CARD.prompt(asked._replace(task="classification"), "default")
