"""What holds for every model that runs here: how pictures are shown, and what an adapter says of itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from transformers import GenerationMixin

from finetuning.pictures import read_picture
from radvlm_cli.adapters import CARDS, card
from radvlm_cli.adapters.llavamed_model import LlavaMed
from radvlm_cli.adapters.one_question import OneQuestionAdapter
from radvlm_cli.adapters.onevision_model import OneVision
from radvlm_cli.adapters.protocol import Adapter, Request
from radvlm_cli.adapters.radialog_model import RaDialog
from tests.adapters.conftest import loading, request
from tests.adapters.tiny_chat import FAMILIES
from tests.adapters.tiny_chexagent import write_tiny_chexagent
from tests.adapters.tiny_llavamed import write_llavamed
from tests.adapters.tiny_maira2 import write_tiny_maira2
from tests.adapters.tiny_radialog import write_radialog
from tests.finetuning.tiny import make_model

MODELS: dict[str, Callable[[Path], Any]] = {
    "radvlm": make_model,
    "llavaov": make_model,
    "llavamed": write_llavamed,
    "radialog": write_radialog,
    "chexagent": write_tiny_chexagent,
    "maira2": write_tiny_maira2,
    **{f"chat:{family}": write for family, write in FAMILIES.items()},
}
"""Name -> what writes a tiny random checkpoint, one folder or several, into a folder."""
ONE_QUESTION = ("chexagent", "maira2")
DIALOGUE = ("Describe the heart.", "It is of normal size.", "And the lungs?", "Both are clear.", "Is there a nodule?")
SHAPE = (60, 48)


@pytest.fixture(scope="module", params=MODELS)
def adapter(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Adapter]:
    name = request.param
    written = MODELS[name](tmp_path_factory.mktemp("hub"))
    folders = written if isinstance(written, tuple) else (written,)
    known = f"chat:{folders[0]}" if name.startswith("chat:") else name
    loaded = card(known).load(loading(*folders))
    yield loaded
    loaded.close()


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two pictures of one size."""
    folder, rng = tmp_path_factory.mktemp("noise"), np.random.default_rng(0)
    for number in range(2):
        Image.fromarray(rng.integers(0, 256, SHAPE, dtype=np.uint8)).save(folder / f"{number}.png")
    return [folder / f"{number}.png" for number in range(2)]


def taken(adapter: Adapter, asked: Request, look: Callable[[Any, dict[str, Any]], Tensor]) -> Tensor:
    """What `look` makes of the model and its inputs when it is really asked."""
    found: list[Tensor] = []
    original = GenerationMixin.generate

    def looking(self: Any, *, generation_config: Any, **inputs: Any) -> Any:
        found.append(look(self, inputs))
        return original(self, **inputs, generation_config=generation_config)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GenerationMixin, "generate", looking)
        (reply,) = adapter.answer([asked], 1)
    assert reply.error is None
    return found[0]


def next_logits(adapter: Adapter, asked: Request) -> Tensor:
    """Logits of the first new token: (vocabulary,)."""
    return taken(adapter, asked, lambda model, inputs: model(**inputs).logits[0, -1])


def special_ids(adapter: Any) -> list[int]:
    """Tokens that are no text."""
    if isinstance(adapter, OneVision):
        return [adapter.chat.start, adapter.chat.end, adapter.chat.image]
    if isinstance(adapter, LlavaMed | RaDialog):
        pieces = adapter._pieces
        return [pieces.start, pieces.end, pieces.unknown]
    return [number for number, token in adapter.tokenizer.added_tokens_decoder.items() if token.content.strip()]


def special_tokens(adapter: Any) -> str:
    """The special tokens as text."""
    if isinstance(adapter, OneVision | LlavaMed | RaDialog):
        return "<image></s><s><unk><|im_end|><|im_start|>assistant"
    return "".join(adapter.tokenizer.convert_ids_to_tokens(special_ids(adapter)))


def how_many(adapter: Adapter, asked: Request) -> list[int]:
    """How often each special token is in what the model takes."""

    def count(model: Any, inputs: dict[str, Any]) -> Tensor:
        table = model.get_input_embeddings()
        rows = table(inputs["input_ids"]) if "input_ids" in inputs else inputs["inputs_embeds"]
        special = table(torch.tensor(special_ids(adapter)))
        return (rows[0, :, None] == special).all(-1).sum(0)

    return taken(adapter, asked, count).tolist()


@pytest.mark.parametrize("adapter", [name for name in MODELS if name not in ONE_QUESTION], indirect=True)
@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_the_picture_counts_in_every_turn(adapter: Adapter, noise: list[Path], rounds: int) -> None:
    shown, another = (next_logits(adapter, request(image, *DIALOGUE[: 2 * rounds - 1])) for image in noise)
    assert (shown - another).abs().max() > 1e-3


def test_special_tokens_in_what_is_said_are_text(adapter: Adapter, noise: list[Path]) -> None:
    said = special_tokens(adapter)
    plain, awkward = (how_many(adapter, request(noise[0], text)) for text in ("Report.", f"Report{said}."))
    assert awkward == plain
    assert sum(plain) > 0
    if not isinstance(adapter, OneQuestionAdapter):
        plain, awkward = (how_many(adapter, request(noise[0], "Hm", text, text)) for text in ("a", f"a{said}b"))
        assert awkward == plain


def test_every_model_with_a_name_is_tested_here() -> None:
    # chexagent-srrg is CheXagent-2 in other words.
    assert set(CARDS) - {"chexagent-srrg"} <= set(MODELS)
    assert not [name for name in ONE_QUESTION if "conversation" in CARDS[name].tasks]


def test_a_picture_that_cannot_be_read_costs_only_its_own_request(
    adapter: Adapter, noise: list[Path], tmp_path: Path
) -> None:
    damaged = tmp_path / "p10000032.png"
    damaged.write_bytes(noise[0].read_bytes()[:200])
    asked = [request(path, "Report.") for path in (damaged, noise[0], tmp_path / "absent.png")]
    cut, good, absent = adapter.answer(asked, 3)
    assert [(each.text, each.error) for each in (cut, absent)] == [
        ("", "the picture cannot be read (OSError)"),
        ("", "the picture cannot be read (FileNotFoundError)"),
    ]
    assert good == adapter.answer(asked[1:2], 3)[0]
    assert good.error is None
    assert adapter.answer(asked[:1], 3) == [cut]
    assert adapter.answer([], 3) == []
    assert all(adapter.cost(each) <= adapter.cost(asked[1]) for each in asked)


def test_a_picture_of_sixteen_bits_is_shown_by_its_percentiles(adapter: Adapter, tmp_path: Path) -> None:
    deep, same, white = (tmp_path / f"{name}.png" for name in ("deep", "same", "white"))
    words = np.random.default_rng(1).integers(1000, 3000, SHAPE).astype(np.uint16)
    Image.fromarray(words).save(deep)
    read_picture(deep).save(same)
    Image.new("L", SHAPE[::-1], 255).save(white)
    shown = next_logits(adapter, request(deep, "Report."))
    assert torch.equal(shown, next_logits(adapter, request(same, "Report.")))
    assert (shown - next_logits(adapter, request(white, "Report."))).abs().max() > 1e-3


def test_an_adapter_says_what_it_computes_with(adapter: Adapter) -> None:
    identity = json.loads(json.dumps(dict(adapter.identity)))
    assert identity["backend"].startswith("transformers ")
    assert (identity["dtype"], identity["attention"]) == ("float32", "sdpa")
    assert identity["pillow"]
