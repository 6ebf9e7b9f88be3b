"""`chat:` on a tiny random checkpoint of each family."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import Qwen2_5_VLProcessor, Qwen3VLProcessor
from transformers.models.internvl import InternVLProcessor

from radvlm_cli.adapters import card
from radvlm_cli.adapters.chat import ChatAdapter, card_of, messages
from radvlm_cli.adapters.pictures import open_picture
from radvlm_cli.adapters.protocol import Loading, Request
from radvlm_cli.adapters.weights import find_weights
from radvlm_cli.errors import ConfigError, DataError
from radvlm_cli.records import Turn
from tests.adapters.tiny_chat import FAMILIES

SIZES = [(64, 64), (90, 40), (200, 150)]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for number, (width, height) in enumerate([*SIZES, SIZES[0]]):
        Image.fromarray(rng.integers(0, 255, (height, width), dtype=np.uint8)).save(folder / f"{number}.png")
    return [folder / f"{number}.png" for number in range(len(SIZES) + 1)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A checkpoint of each family."""
    return {name: write(tmp_path_factory.mktemp(name)) for name, write in FAMILIES.items()}


@pytest.fixture(scope="module", params=FAMILIES)
def adapter(request: pytest.FixtureRequest, folders: dict[str, Path]) -> Iterator[ChatAdapter]:
    loaded = load(folders[request.param])
    yield loaded
    loaded.close()


def load(folder: Path) -> ChatAdapter:
    """The adapter of a folder, as the command line gets it."""
    adapter = card_of(str(folder)).load(Loading((folder,), "cpu"))
    assert isinstance(adapter, ChatAdapter)
    return adapter


def ask(picture: Path, *texts: str) -> Request:
    """A dialogue of human and model in turns."""
    turns = (Turn("gpt" if number % 2 else "human", text) for number, text in enumerate(texts))
    return Request(picture.stem, picture, tuple(turns), "report")


def logits(adapter: ChatAdapter, *requests: Request) -> torch.Tensor:
    """Of the first new token of each request (rows, vocabulary)."""
    texts = [adapter.render(request.turns) for request in requests]
    inputs = adapter.encoder.encode(texts, [open_picture(request.image).convert("RGB") for request in requests])
    with torch.inference_mode():
        last: torch.Tensor = adapter.model(**inputs.tensors, logits_to_keep=1).logits[:, -1]
    return last


def test_a_batch_is_answered_as_each_request_alone(adapter: ChatAdapter, pictures: list[Path]) -> None:
    requests = [
        ask(pictures[0], "Describe this X-ray"),
        ask(pictures[1], "Where is the heart?", "There.", "And the right lung, seen from the front?"),
        ask(pictures[2], "Hm"),
    ]

    together = adapter.answer(requests, 8)

    assert together == [adapter.answer([request], 8)[0] for request in requests]
    assert {reply.error for reply in together} == {None}
    assert all(reply.truncated == (reply.tokens_out == 8) for reply in together)
    alone = torch.cat([logits(adapter, request) for request in requests])
    torch.testing.assert_close(logits(adapter, *requests), alone, atol=1e-4, rtol=1e-5)


def test_every_turn_counts(adapter: ChatAdapter, pictures: list[Path]) -> None:
    said = logits(adapter, ask(pictures[0], "Describe this X-ray", "Clear lungs.", "Why?"))

    assert not torch.allclose(said, logits(adapter, ask(pictures[0], "Describe this X-ray", "Effusion.", "Why?")))


def test_the_cost_is_about_the_tokens_of_the_request(adapter: ChatAdapter, pictures: list[Path]) -> None:
    requests = [ask(picture, "Describe this X-ray") for picture in pictures[:3]]
    costs = [adapter.cost(request) for request in requests]

    given = [adapter.answer([request], 1)[0].tokens_in for request in requests]

    around = 60  # the template, and digits or letters that are a token each
    assert all(cost <= tokens <= cost + around for cost, tokens in zip(costs, given, strict=True) if tokens)


def test_an_answer_that_ends_is_whole(folders: dict[str, Path], pictures: list[Path]) -> None:
    adapter = load(folders["qwen3_vl"])
    first = adapter.answer([ask(pictures[0], "Hm")], 3)[0]
    token = int(logits(adapter, ask(pictures[0], "Hm")).argmax())
    adapter.end_ids = frozenset({token})

    assert first.truncated
    assert adapter.answer([ask(pictures[0], "Hm")], 3)[0][:4] == ("", False, first.tokens_in, 0)


def test_what_a_picture_is_seen_as(folders: dict[str, Path], pictures: list[Path]) -> None:
    reply = load(folders["qwen2_5_vl"]).answer([ask(pictures[2], "Hm")], 1)[0]

    assert reply.seen == (196, 140)  # 200 x 150 to multiples of 28


def test_the_name_of_a_folders_card_tells_its_profile_and_not_its_place(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = (tmp_path / place / "my model" for place in ("here", "there"))
    for place in (here, there):
        shutil.copytree(folders["qwen2_5_vl"], place)
    made = card_of(str(here))
    assert made.name == card_of(str(there)).name == "chat:my-model@qwen25vl"
    monkeypatch.chdir(here.parent)
    assert card_of("my model").name == made.name
    shutil.rmtree(here)
    later = card(made.name)
    assert (later.name, later.codec, later.extractor) == (made.name, made.codec, made.extractor)
    assert later.load(Loading((there,), "cpu")).identity["profile"] == "qwen25vl"


def test_a_template_without_a_place_for_a_picture_is_refused(tmp_path: Path) -> None:
    folder = FAMILIES["qwen3_vl"](tmp_path)
    template = (folder / "chat_template.jinja").read_text()
    for broken, message in ((template.replace("{{ picture }}", ""), "no place"), ("{% if %}", "cannot be used")):
        (folder / "chat_template.jinja").write_text(broken)
        with pytest.raises(DataError, match=message):
            load(folder)
    (folder / "chat_template.jinja").unlink()
    (folder / "chat_template.json").write_text("{")
    with pytest.raises(DataError, match=r"chat_template\.json cannot be read"):
        load(folder)


def test_the_tokens_that_a_prompt_shows_the_form_of_boxes_with_are_left(folders: dict[str, Path]) -> None:
    adapter = load(folders["internvl"])
    text = adapter.render((Turn("human", "<ref>name</ref><box>[[x1, y1, x2, y2]]</box><IMG_CONTEXT>"),))
    assert "<IMG_CONTEXT>\n<ref>name</ref><box>[[x1, y1, x2, y2]]</box>< IMG_CONTEXT>" in text


def test_the_system_turn_of_a_profile_is_part_of_the_text(folders: dict[str, Path], pictures: list[Path]) -> None:
    folder = folders["gemma3"]
    adapter = card_of(f"{folder}@medgemma").load(Loading((folder,), "cpu"))
    assert isinstance(adapter, ChatAdapter)

    text = adapter.render(ask(pictures[0], "Describe this X-ray").turns)

    assert text == (
        "<bos><start_of_turn>user\nYou are an expert radiologist.\n\n<start_of_image>Describe this X-ray"
        "<end_of_turn>\n<start_of_turn>model\n"
    )
    assert adapter.identity["system"] == "You are an expert radiologist."


def test_the_picture_stands_in_the_first_turn_only() -> None:
    said = messages(ask(Path("p.png"), "a", "b", "c").turns, None)

    assert [[part["type"] for part in turn["content"]] for turn in said] == [["image", "text"], ["text"], ["text"]]
    assert [turn["role"] for turn in said] == ["user", "assistant", "user"]


ORACLES = {
    "qwen2_5_vl": (Qwen2_5_VLProcessor, {"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"}),
    "qwen3_vl": (Qwen3VLProcessor, {"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"}),
    "internvl": (InternVLProcessor, {}),
}


@pytest.mark.parametrize("family", ORACLES)
def test_inputs_are_those_of_the_familys_own_processor(
    family: str, folders: dict[str, Path], pictures: list[Path]
) -> None:
    """Its constructor alone needs torchvision, for videos; what it does with a picture does not."""
    adapter = load(folders[family])
    texts = [adapter.render(ask(picture, "Where is the right lung?").turns) for picture in pictures[:3]]
    images = [open_picture(picture) for picture in pictures[:3]]

    expected = _without_videos(family, adapter)(
        text=texts, images=images, return_tensors="pt", padding=True, padding_side="left", add_special_tokens=False
    )

    inputs = adapter.encoder.encode(texts, images)
    for name, value in inputs.tensors.items():
        torch.testing.assert_close(value, expected[name], atol=0, rtol=0, check_dtype=False)
    assert expected.keys() - inputs.tensors.keys() <= {"mm_token_type_ids"}


def _without_videos(family: str, adapter: ChatAdapter) -> Any:
    kind, attributes = ORACLES[family]
    encoder: Any = adapter.encoder
    processor = kind.__new__(kind)
    told = {**attributes, "image_processor": encoder.processor, "tokenizer": adapter.tokenizer}
    told |= {"video_processor": None, "chat_template": None}
    if family == "internvl":
        told |= {"image_seq_length": 4, "start_image_token": "<img>", "end_image_token": "</img>"}
        told["multimodal_pattern"] = re.compile("(?P<image><IMG_CONTEXT>)|(?P<video><video>)")
        told |= {"image_token": "<IMG_CONTEXT>", "video_token": "<video>"}
    for name, value in told.items():
        setattr(processor, name, value)
        if name.endswith("_token"):
            setattr(processor, f"{name}_id", adapter.tokenizer.convert_tokens_to_ids(value))
    return processor


@pytest.mark.parametrize("wrong", ["missing", "extra", "misshapen"])
def test_weights_that_do_not_fit_are_refused(wrong: str, folders: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(folders["qwen2_5_vl"], tmp_path / "damaged")
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if name.endswith("q_proj.weight"))
    if wrong == "extra":
        weights["model.another.weight"] = torch.zeros(2)
    else:
        old = weights.pop(name)
        if wrong == "misshapen":
            weights[name] = old[:-1].contiguous()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(DataError, match="another.weight" if wrong == "extra" else "q_proj.weight"):
        load(folder)


def test_code_in_a_checkpoint_is_never_run(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(folders["qwen2_5_vl"], tmp_path / "remote")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": dict.fromkeys(["AutoConfig", "AutoModelForImageTextToText"], "own.C")}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")

    with pytest.raises(DataError):
        load(folder)

    assert not (tmp_path / "ran").exists()


def test_a_base_model_without_a_template_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(folders["gemma3"], tmp_path / "pt")
    (folder / "chat_template.jinja").unlink()

    with pytest.raises(DataError, match="no chat template"):
        load(folder)


def test_the_processors_template_comes_before_the_tokenizers(
    folders: dict[str, Path], pictures: list[Path], tmp_path: Path
) -> None:
    """Qwen2.5-VL's repository has both, and the tokenizer's knows nothing of pictures."""
    folder = shutil.copytree(folders["qwen2_5_vl"], tmp_path / "old")
    template = (folder / "chat_template.jinja").read_text()
    (folder / "chat_template.jinja").unlink()
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": template}))
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"chat_template": "{{ messages[0].content }}"}))

    assert load(folder).answer([ask(pictures[0], "Hm")], 1)[0].error is None


@pytest.mark.parametrize(
    ("rest", "complaint"), [(None, "which model"), ("/no/such/folder", "no folder"), ("a/b/c", "no folder")]
)
def test_what_names_no_model_is_refused(rest: str | None, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        card_of(rest)


def test_a_folder_is_its_own_weights(folders: dict[str, Path]) -> None:
    assert find_weights(card_of(str(folders["gemma3"]))) == (folders["gemma3"],)


def test_weights_that_are_not_here_are_told_with_terms_and_command(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Health AI Developer Foundations") as error:
        find_weights(card_of("google/medgemma-1.5-4b-it"), cache=tmp_path)

    assert "hf download google/medgemma-1.5-4b-it --revision 9185054" in (error.value.hint or "")
