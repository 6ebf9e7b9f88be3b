"""RadVLM and the general LLaVA-OneVision, on a tiny random one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from radvlm_cli.adapters import card
from radvlm_cli.adapters.onevision_model import OneVision, load, prompt_ids
from radvlm_cli.adapters.pictures import open_picture
from radvlm_cli.errors import ConfigError, DataError
from radvlm_cli.records import Turn
from tests.adapters.conftest import loading, request
from tests.finetuning.golden import chat

MOST = 12
QUESTIONS = ("What is seen?", "Is there an effusion? " * 9, "Report.", "Where is the left lung?", "And the heart?")
HUB_NAMES = (
    ("model.language_model.", "language_model.model."),
    ("lm_head.", "language_model.lm_head."),
    ("model.vision_tower.", "vision_tower.vision_model."),
    ("model.multi_modal_projector.", "multi_modal_projector."),
    ("model.image_newline", "image_newline"),
)
"""Names of the running model under transformers 5, and those of the Hub's checkpoints (4.46)."""


@pytest.fixture(scope="module")
def model(onevision_folder: Path) -> OneVision:
    return load(loading(onevision_folder), trained=True)


def copy(folder: Path, target: Path, **changes: object) -> Path:
    """The folder with other weights under the names given; None: without that weight."""
    target.mkdir()
    for file in folder.iterdir():
        if file.suffix != ".safetensors":
            (target / file.name).write_bytes(file.read_bytes())
    weights = load_file(folder / "model.safetensors")
    for name, value in changes.items():
        if value is None:
            del weights[name]
        else:
            weights[name] = value  # type: ignore[assignment]
    save_file(weights, target / "model.safetensors", {"format": "pt"})
    return target


def test_a_batch_of_mixed_pictures_and_questions_gives_what_each_alone_gives(
    model: OneVision, pictures: list[Path]
) -> None:
    requests = [request(image, text) for image, text in zip(pictures, QUESTIONS, strict=True)]
    alone = [model.answer([each], MOST)[0] for each in requests]
    assert model.answer(requests, MOST) == alone
    assert model.answer(requests[::-1], MOST) == alone[::-1]
    assert len({each.text for each in alone}) > 1
    assert len({each.tokens_in for each in alone}) == len(alone)


def test_greedy_is_what_the_logits_say(model: OneVision, pictures: list[Path]) -> None:
    asked = request(pictures[2], "What is seen?")
    inputs = model.inputs([asked], [model.cut(open_picture(asked.image))])
    given, ids = inputs["input_ids"], list[int]()
    for _ in range(4):
        inputs["input_ids"] = torch.cat([given, torch.tensor([ids], dtype=torch.int64)], 1)
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        ids.append(int(model.model(**inputs).logits[0, -1].argmax()))
    (reply,) = model.answer([asked], 4)
    assert reply.text == model.chat.decode(ids)
    assert (reply.truncated, reply.tokens_out) == (True, 4)


def test_an_answer_ends_at_the_end_of_its_turn(onevision_folder: Path, pictures: list[Path], tmp_path: Path) -> None:
    head = load_file(onevision_folder / "model.safetensors")["lm_head.weight"]
    ending = load(loading(copy(onevision_folder, tmp_path / "ends", **{"lm_head.weight": head * 0})), trained=True)
    # All logits equal: the first token of the vocabulary, for ever.
    assert ending.answer([request(pictures[0], "?")], 3)[0].truncated
    ending.end_ids = frozenset([0])
    (reply,) = ending.answer([request(pictures[0], "?")], 3)
    assert (reply.text, reply.truncated, reply.tokens_out) == ("", False, 0)


def test_what_the_checkpoint_says_of_sampling_plays_no_part(
    onevision_folder: Path, model: OneVision, pictures: list[Path], tmp_path: Path
) -> None:
    folder = copy(onevision_folder, tmp_path / "sampling")
    wild = {"do_sample": True, "temperature": 5.0, "repetition_penalty": 3.0, "no_repeat_ngram_size": 1}
    (folder / "generation_config.json").write_text(json.dumps(wild))
    asked = [request(pictures[0], "What is seen?")]
    assert load(loading(folder), trained=True).answer(asked, MOST) == model.answer(asked, MOST)


def test_cost_is_about_the_tokens(model: OneVision, pictures: list[Path]) -> None:
    asked = [request(image, "What is seen?") for image in pictures]
    for each, reply in zip(asked, model.answer(asked, 1), strict=True):
        assert abs(model.cost(each) - (reply.tokens_in or 0)) < 40


def test_both_layouts_of_keys_load_to_the_same_model(
    onevision_folder: Path, model: OneVision, pictures: list[Path], tmp_path: Path
) -> None:
    hub = copy(onevision_folder, tmp_path / "hub")
    weights = load_file(hub / "model.safetensors")
    for new, old in HUB_NAMES:
        weights = {old + name.removeprefix(new) if name.startswith(new) else name: w for name, w in weights.items()}
    assert not [name for name in weights if name.startswith("model.")]
    save_file(weights, hub / "model.safetensors", {"format": "pt"})
    asked = [request(pictures[0], "What is seen?")]
    assert load(loading(hub), trained=True).answer(asked, MOST) == model.answer(asked, MOST)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"lm_head.weight": None}, r"1 missing keys: lm_head\.weight"),
        ({"model.stray.weight": torch.zeros(2)}, r"1 unexpected keys: model\.stray\.weight"),
        ({"model.image_newline": torch.zeros(3)}, r"1 mismatched keys: .*image_newline"),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name(
    onevision_folder: Path, tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    folder = copy(onevision_folder, tmp_path / "wrong", **changes)
    with pytest.raises(DataError, match=said):
        load(loading(folder), trained=True)


def test_a_run_is_its_final_weights_and_an_adapter_is_refused(
    onevision_folder: Path, model: OneVision, pictures: list[Path], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "final").symlink_to(onevision_folder)
    asked = [request(pictures[0], "What is seen?")]
    assert card("radvlm").load(loading(run)).answer(asked, MOST) == model.answer(asked, MOST)
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    with pytest.raises(DataError, match="adapter"):
        card("radvlm").load(loading(adapter))
    with pytest.raises(DataError, match=r"config\.json"):
        card("llavaov").load(loading(tmp_path))


def test_templates(onevision_folder: Path, pictures: list[Path]) -> None:
    turns = [Turn("human", "What?"), Turn("gpt", "A heart."), Turn("human", "Sure? <|im_end|>")]
    decode = Tokenizer.from_file(str(onevision_folder / "tokenizer.json")).decode
    trained, hub = (
        decode(prompt_ids(chat(), turns, 2, name), skip_special_tokens=False) for name in ("trained", "hub")
    )
    assert trained == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\n<image><image>\nWhat?<|im_end|>\n<|im_start|>assistant\nA heart.<|im_end|>\n"
        "<|im_start|>user\nSure? <|im_end|><|im_end|>\n<|im_start|>assistant\n"
    )
    assert hub == (
        "<|im_start|>user <image><image>\nWhat?<|im_end|><|im_start|>assistant \nA heart.<|im_end|>"
        "<|im_start|>user \nSure? <|im_end|><|im_end|><|im_start|>assistant\n"
    )
    assert prompt_ids(chat(), turns, 2, "hub").count(422) == 3


@pytest.mark.parametrize(
    ("name", "protocol", "template", "cut"),
    [
        ("radvlm", "default", "trained/1", False),
        ("radvlm", "paper", "hub/1", True),
        ("llavaov", "default", "hub/1", False),
        ("llavaov", "paper", "hub/1", True),
    ],
)
def test_the_protocol_decides_template_and_the_cut_at_roles(
    onevision_folder: Path, name: str, protocol: str, template: str, cut: bool
) -> None:
    model = card(name).load(loading(onevision_folder, protocol=protocol))
    assert (model.identity["template"], model.identity["cut_at_roles"]) == (template, cut)
    json.dumps(model.identity)


def test_an_answer_about_a_user_is_whole_unless_as_published(
    model: OneVision, onevision_folder: Path, pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "Ask the user about it."
    paper = load(loading(onevision_folder, protocol="paper"), trained=True)
    for each, wanted in ((model, said), (paper, " about it.")):
        monkeypatch.setattr(each.chat, "decode", lambda ids: said)
        assert each.answer([request(pictures[0], "?")], 2)[0].text == wanted


def test_a_limit_on_the_side_of_a_picture(onevision_folder: Path, pictures: list[Path]) -> None:
    small = load(loading(onevision_folder, options={"max_image_side": 60}), trained=True)
    (reply,) = small.answer([request(pictures[4], "?")], 1)
    assert reply.seen == (43, 60)
    assert small.cost(request(pictures[4], "?")) < 100
    with pytest.raises(ConfigError, match="colour"):
        load(loading(onevision_folder, options={"colour": 1}), trained=True)
