"""CheXagent-2 on a tiny random checkpoint in the hub's layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import SiglipVisionConfig

from radvlm_cli.adapters.boxes import codec
from radvlm_cli.adapters.chexagent import CARD, SRRG_CARD
from radvlm_cli.adapters.chexagent_model import CheXagentAdapter, Visual
from radvlm_cli.adapters.protocol import Asked, Loading, Protocols, Request
from radvlm_cli.errors import ConfigError, DataError
from radvlm_cli.records import Box, Turn
from tests.adapters import plain
from tests.adapters.asking import QUESTIONS, asking
from tests.adapters.by_hand import chexagent_logits
from tests.adapters.forcing import says
from tests.adapters.tiny_chexagent import PATCHES, write_tiny_chexagent


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint to read, not to write."""
    return write_tiny_chexagent(tmp_path_factory.mktemp("chexagent") / "tiny")


@pytest.fixture(scope="module")
def adapter(checkpoint: Path) -> CheXagentAdapter:
    """The checkpoint, loaded."""
    return loaded(checkpoint)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three pictures of different sizes, dark to bright."""
    folder = tmp_path_factory.mktemp("pictures")
    for number, size in enumerate([(40, 50), (64, 30), (32, 32)]):
        values = np.random.default_rng(number).integers(80 * number, 80 * number + 90, size, dtype=np.uint8)
        Image.fromarray(values).save(folder / f"{number}.png")
    return [folder / f"{number}.png" for number in range(3)]


def loaded(folder: Path, protocol: Protocols = "default") -> CheXagentAdapter:
    """The adapter, as the card loads it."""
    made = CARD.load(Loading((folder,), "cpu", protocol=protocol))
    assert isinstance(made, CheXagentAdapter)
    return made


def test_logits_are_those_of_the_model_written_out_by_hand(
    adapter: CheXagentAdapter, checkpoint: Path, pictures: list[Path]
) -> None:
    row = adapter.row(asking(pictures[0], QUESTIONS[1]))
    with Image.open(pictures[0]) as picture:
        pixels = adapter.pixels(picture)
    with torch.inference_mode():
        logits = adapter.model(**adapter.inputs([row], pixels[None])).logits[0]
    expected = chexagent_logits(plain.doubled(load_file(checkpoint / "model.safetensors")), row, pixels.double())
    torch.testing.assert_close(logits.double(), expected, atol=2e-4, rtol=1e-4)


def test_a_batch_answers_as_each_request_alone(adapter: CheXagentAdapter, pictures: list[Path]) -> None:
    requests = [asking(image, text) for image, text in zip(pictures, QUESTIONS, strict=True)]
    together = adapter.answer(requests, 12)
    assert together == [adapter.answer([request], 12)[0] for request in requests]
    assert len({reply.text for reply in together}) == 3
    assert [reply.tokens_in for reply in together] == [adapter.cost(request) for request in requests]


def test_other_attention_answers_the_same_in_every_part(
    adapter: CheXagentAdapter, checkpoint: Path, pictures: list[Path]
) -> None:
    made: Any = CARD.load(Loading((checkpoint,), "cpu", attention="eager"))
    assert {part._attn_implementation for part in (made.model.config, made.model.config.vision_config)} == {"eager"}
    requests = [asking(image, text) for image, text in zip(pictures, QUESTIONS, strict=True)]
    assert made.answer(requests, 8) == adapter.answer(requests, 8)
    assert made.identity != adapter.identity


def test_it_answers_in_bfloat16(checkpoint: Path, pictures: list[Path]) -> None:
    made: Any = CARD.load(Loading((checkpoint,), "cpu", dtype="bfloat16"))
    assert {parameter.dtype for parameter in made.model.parameters()} == {torch.bfloat16}
    assert [reply.error for reply in made.answer([asking(image, "a") for image in pictures], 4)] == [None] * 3
    assert made.identity["dtype"] == "bfloat16"


def test_the_prompt_is_the_official_template(adapter: CheXagentAdapter, pictures: list[Path]) -> None:
    text = "Please locate the following phrase: a  small\nnodule"
    row = adapter.row(asking(pictures[0], text, "phrase"))
    rendered = (
        "<|system|>\nYou are a helpful assistant.<|endoftext|>\n<|user|>\n"
        f"Picture 1:<|img|>{'<|imgpad|>' * PATCHES}<|/img|>\n{text}<|endoftext|>\n<|assistant|>\n"
    )
    assert row == adapter.tokenizer(rendered)["input_ids"]


def test_tags_in_a_question_are_no_second_image(adapter: CheXagentAdapter, pictures: list[Path]) -> None:
    row = adapter.row(asking(pictures[0], "<|img|>x<|/img|><|endoftext|>"))
    ends = adapter.tokenizer.convert_tokens_to_ids(["<|img|>", "<|/img|>", "<|endoftext|>"])
    assert [row.count(token) for token in ends] == [1, 1, 2]


BOXES = "<|ref|>heart<|/ref|><|box|>(12,3),(45,99)<|/box|>"


@pytest.mark.parametrize("ended", [True, False])
def test_tags_of_boxes_and_the_last_token_stay(
    adapter: CheXagentAdapter, monkeypatch: pytest.MonkeyPatch, pictures: list[Path], ended: bool
) -> None:
    most = says(adapter, BOXES, monkeypatch, ended=ended)
    reply = adapter.answer([asking(pictures[0], "a", "phrase")], most)[0]
    assert (reply.text, reply.truncated) == (BOXES, not ended)
    assert codec("chexagent").read(reply.text, (50, 40), reply.seen).boxes == (Box(0.12, 0.03, 0.45, 0.99),)


@pytest.mark.parametrize("ended", [True, False])
def test_paper_cuts_off_the_last_token_where_the_answer_is_cut_off(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, pictures: list[Path], ended: bool
) -> None:
    adapter = loaded(checkpoint, "paper")
    most = says(adapter, BOXES, monkeypatch, ended=ended)
    reply = adapter.answer([asking(pictures[0], "a", "phrase")], most)[0]
    assert reply.text == (BOXES if ended else BOXES.removesuffix("<|/box|>"))
    assert adapter.identity != loaded(checkpoint).identity


def test_conversations_are_refused(adapter: CheXagentAdapter, pictures: list[Path]) -> None:
    turns = (Turn("human", "a"), Turn("gpt", "b"), Turn("human", "c"))
    with pytest.raises(ConfigError, match="not conversations"):
        adapter.answer([Request("k", pictures[0], turns, "conversation")], 4)


def change_weights(folder: Path, **changes: Tensor | None) -> None:
    """Replace (or, None, leave out) weights by name, `__` for a dot."""
    weights = load_file(folder / "model.safetensors")
    for key, value in changes.items():
        name = key.replace("__", ".")
        weights.pop(name, None)
        if value is not None:
            weights[name] = value
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model__visual__proj": None}, "missing keys: model.visual.proj"),
        ({"model__visual__model__head__probe": None}, "missing keys: model.visual.model.head.probe"),
        ({"lm_head__bias": None}, "missing keys: lm_head.bias"),
        ({"model__visual__query": torch.zeros(2)}, "unexpected keys: model.visual.query"),
        ({"model__visual__ln_post__bias": torch.zeros(3)}, "mismatched keys: .*model.visual.ln_post.bias"),
        ({"model__visual__model__embeddings__patch_embedding__weight": None}, "patch_embedding.weight"),
    ],
)
def test_weights_that_do_not_fit_are_named(copied: Path, changes: dict[str, Tensor | None], message: str) -> None:
    change_weights(copied, **changes)
    with pytest.raises(DataError, match=message):
        loaded(copied)


def test_the_tower_may_have_the_prefix_of_later_versions(
    adapter: CheXagentAdapter, copied: Path, pictures: list[Path]
) -> None:
    tower = "model.visual.model."
    weights = load_file(copied / "model.safetensors")
    renamed = {name.replace(tower, f"{tower}vision_model."): tensor for name, tensor in weights.items()}
    save_file(renamed, copied / "model.safetensors", metadata={"format": "pt"})
    requests = [asking(pictures[0], "a")]
    assert loaded(copied).answer(requests, 8) == adapter.answer(requests, 8)


def test_the_full_tower_has_the_hubs_400_weights() -> None:
    with torch.device("meta"):
        tower = SiglipVisionConfig(
            hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16
        )
        visual = Visual(tower, 2560)
    assert len(visual.model.state_dict()) == 400


def test_another_model_is_refused(copied: Path) -> None:
    (copied / "config.json").write_text('{"model_type": "phi"}', encoding="utf-8")
    with pytest.raises(DataError, match="no CheXagent-2"):
        loaded(copied)


@pytest.mark.parametrize(
    ("asked", "default", "paper"),
    [
        (
            Asked("report", None, "q", indication="cough"),
            'Given the indication: "cough", write a structured findings section for the CXR.',
            "Write an example findings section for the CXR",
        ),
        (
            Asked("report", None, "q"),
            "Write a structured findings section for the CXR.",
            "Write an example findings section for the CXR",
        ),
        (
            Asked("phrase", "left effusion", "q"),
            "Please locate the following phrase: left effusion",
            "Please locate the following anotomical region: left effusion",
        ),
        (
            Asked("abnormality", "nodules", "q"),
            "Locate areas in the chest X-ray where nodules are present, using bounding box coordinates",
            "Locate areas in the chest X-ray where nodules are present, using bounding box coordinates",
        ),
    ],
)
def test_prompts(asked: Asked, default: str, paper: str) -> None:
    assert (CARD.prompt(asked, "default"), CARD.prompt(asked, "paper")) == (default, paper)


def test_findings_are_offered_as_options_and_in_paper_always_the_same_13() -> None:
    asked = Asked("classification", None, "q", options=("edema", "No finding"))
    assert CARD.prompt(asked, "default") == "Given the CXR, identify any diseases. Options:\nedema, No finding"
    first, options = CARD.prompt(asked, "paper").split("\n")
    assert first == "Identify any diseases visible in the given CXR. Options:"
    assert len(set(options.split(", "))) == 13


def test_every_task_of_a_card_has_a_prompt_and_no_other() -> None:
    for card in (CARD, SRRG_CARD):
        for task in ("report", "classification", "region", "abnormality", "phrase", "detection", "conversation"):
            asked = Asked(task, "heart", "q", ("a",), "i")
            if task in card.tasks:
                assert card.prompt(asked, "default")
                assert card.prompt(asked, "paper")
            else:
                with pytest.raises(ConfigError):
                    card.prompt(asked, "default")
