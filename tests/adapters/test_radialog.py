"""RaDialog: three repositories put together strictly; the picture in every turn, under `paper` in the first alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import torch
from PIL import Image

from radvlm_cli.adapters import card
from radvlm_cli.adapters.biovil import prepare
from radvlm_cli.adapters.protocol import Asked, Loading, Protocols, Request
from radvlm_cli.adapters.radialog import CARD
from radvlm_cli.adapters.radialog_model import SYSTEM, RaDialog
from radvlm_cli.errors import ConfigError, DataError
from radvlm_cli.records import Turn
from tests.adapters.hub_layout import next_logits, tokenizer_model, write_json, write_picture
from tests.adapters.published_biovil import PublishedRaDialogEyes
from tests.adapters.tiny_radialog import ALPHA, DEPTHS, HALF, RANK, SIZES, WIDTH, Repositories, write_radialog

TURNS = (
    Turn("human", "Describe the heart."),
    Turn("gpt", "The heart is of normal size."),
    Turn("human", "And the lungs?"),
    Turn("gpt", "Both are clear."),
    Turn("human", "Is there a pleural effusion?"),
)
Tensors = dict[str, torch.Tensor]
STATISTICS = "encoder.encoder.layer3.0.bn2.running_var"


def load(folders: Repositories, protocol: Protocols = "default") -> RaDialog:
    adapter = CARD.load(Loading(tuple(folders), "cpu", protocol=protocol))
    assert isinstance(adapter, RaDialog)
    return adapter


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Repositories:
    return write_radialog(tmp_path_factory.mktemp("hub"))


@pytest.fixture(scope="module")
def adapter(folders: Repositories) -> RaDialog:
    return load(folders)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    place = tmp_path_factory.mktemp("pictures")
    return [write_picture(place / f"{seed}.png", seed, (90, 70 + seed)) for seed in range(3)]


@pytest.fixture
def copies(folders: Repositories, tmp_path: Path) -> Repositories:
    return Repositories(*(Path(shutil.copytree(folder, tmp_path / folder.name)) for folder in folders))


def change(path: Path, what: Callable[[Tensors], object]) -> None:
    weights = torch.load(path, weights_only=True)
    what(weights)
    torch.save(weights, path)


def files(folders: Repositories) -> dict[str, Path]:
    return {
        "base": folders.base / "pytorch_model-00001-of-00002.bin",
        "adapter": folders.trained / "adapter_model.bin",
        "trained": folders.trained / "non_lora_trainables.bin",
        "biovil": folders.biovil / "biovil_t_image_model_proj_size_128.pt",
    }


def last_logits(adapter: RaDialog, requests: list[Request]) -> torch.Tensor:
    pixels = [prepare(Image.open(request.image)) for request in requests]
    return next_logits(adapter._parts.language, adapter.inputs(requests, pixels))


def test_pictures_become_what_the_published_layers_make_of_them(
    folders: Repositories, adapter: RaDialog, pictures: list[Path]
) -> None:
    published = PublishedRaDialogEyes(4, DEPTHS, SIZES, HALF, WIDTH)
    biovil = torch.load(files(folders)["biovil"], weights_only=True)
    first = published.load_state_dict({f"vision_tower.{name}": each for name, each in biovil.items()}, strict=False)
    assert all(name.startswith("mm_projector.") for name in first.missing_keys)
    trained = torch.load(files(folders)["trained"], weights_only=True)
    second = published.load_state_dict(
        {name.removeprefix("base_model.model.model."): each for name, each in trained.items()}, strict=False
    )
    # Only the statistics of the batch norms stay as BioViL-T has them.
    assert all("running_" in name or "num_batches" in name for name in second.missing_keys)
    pixels = torch.stack([prepare(Image.open(picture)) for picture in pictures])
    with torch.inference_mode():
        wanted = published.eval()(pixels)
        seen = adapter._parts.look(pixels)
    assert seen.shape == (3, 196, WIDTH)
    torch.testing.assert_close(seen, wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_it_answers_in_half_the_precision(folders: Repositories, pictures: list[Path], dtype: Any) -> None:
    adapter = CARD.load(Loading(tuple(folders), "cpu", dtype=dtype))
    reply = adapter.answer([Request("a", pictures[0], TURNS[:1], "report")], 3)[0]
    assert (reply.error, reply.tokens_out) == (None, 3)
    assert adapter.identity["dtype"] == dtype


def test_the_statistics_of_batch_norms_come_from_biovil(folders: Repositories, adapter: RaDialog) -> None:
    biovil = torch.load(files(folders)["biovil"], weights_only=True)
    buffers = dict(adapter._parts.tower.named_buffers())
    assert torch.equal(
        buffers["resnet.encoder.stages.2.layers.0.layer.1.normalization.running_var"], biovil[STATISTICS]
    )
    running = [each for name, each in buffers.items() if "running_" in name]
    assert len(running) == sum("running_" in name for name in biovil)
    assert all(each.isfinite().all() for each in buffers.values())


def test_the_language_model_is_vicuna_with_lora_added(folders: Repositories, adapter: RaDialog) -> None:
    lora = torch.load(files(folders)["adapter"], weights_only=True)
    base: Tensors = {}
    for file in folders.base.glob("*.bin"):
        base |= torch.load(file, weights_only=True)
    merged = adapter._parts.language.state_dict()
    assert not [name for name in merged if "lora" in name]
    for name in ("model.layers.1.mlp.down_proj", "model.layers.0.self_attn.q_proj"):
        a, b = (lora[f"base_model.model.{name}.lora_{each}.weight"].float() for each in "AB")
        wanted = base[f"{name}.weight"].float() + ALPHA / RANK * (b @ a)
        torch.testing.assert_close(merged[f"{name}.weight"], wanted, rtol=0, atol=1e-5)
    assert torch.equal(merged["lm_head.weight"], base["lm_head.weight"].float())


@pytest.mark.parametrize(
    ("file", "name", "shown"),
    [
        ("base", "lm_head.weight", r"missing keys: lm_head\.weight"),
        (
            "adapter",
            "base_model.model.model.layers.1.mlp.up_proj.lora_B.weight",
            r"missing keys: .*layers\.1\.mlp\.up_proj\.lora_B\.weight",
        ),
        ("trained", "base_model.model.model.mm_projector.2.bias", r"missing keys: 2\.bias"),
        ("biovil", STATISTICS, r"missing keys: .*stages\.2\.layers\.0\.layer\.1\.normalization\.running_var"),
        ("biovil", "encoder.encoder.conv1.weight", r"unexpected keys: encoder\.encoder\.conv1\.weight"),
    ],
)
def test_a_missing_weight_is_refused_by_name(copies: Repositories, file: str, name: str, shown: str) -> None:
    change(files(copies)[file], lambda weights: weights.pop(name))
    with pytest.raises(DataError, match=shown):
        load(copies)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("base", "model.layers.0.self_attn.q_norm.weight"),
        ("adapter", "base_model.model.lm_head.lora_A.weight"),
        ("trained", "base_model.model.model.image_pooler.bert.weight"),
        ("trained", "base_model.model.model.vision_tower.encoder.encoder.layer5.0.conv1.weight"),
        ("trained", "base_model.model.model.mm_projector.4.weight"),
        ("biovil", "encoder.encoder.layer1.0.conv4.weight"),
        ("biovil", "encoder.temporal.weight"),
    ],
)
def test_a_weight_that_nothing_takes_is_refused_by_name(copies: Repositories, file: str, name: str) -> None:
    change(files(copies)[file], lambda weights: weights.update({name: torch.zeros(2)}))
    with pytest.raises(DataError, match="unexpected keys: "):
        load(copies)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("base", "lm_head.weight"),
        ("adapter", "base_model.model.model.layers.1.mlp.up_proj.lora_B.weight"),
        ("trained", "base_model.model.model.mm_projector.0.weight"),
        ("trained", "base_model.model.model.vision_tower.encoder.encoder.conv1.weight"),
        ("biovil", "encoder.encoder.layer2.0.bn1.running_mean"),
    ],
)
def test_a_weight_of_another_shape_is_refused_by_name(copies: Repositories, file: str, name: str) -> None:
    change(files(copies)[file], lambda weights: weights.update({name: torch.zeros(3, 3)}))
    with pytest.raises(DataError, match="mismatched keys: "):
        load(copies)


def test_statistics_without_a_value_are_refused(copies: Repositories) -> None:
    change(files(copies)["biovil"], lambda weights: weights[STATISTICS].fill_(torch.nan))
    with pytest.raises(DataError, match=r"buffers without a value: .*running_var"):
        load(copies)


def test_a_pickle_that_runs_something_is_refused(copies: Repositories, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
            return Path.touch, (tmp_path / "sprung",)

    torch.save({"weight": Trap()}, files(copies)["trained"])
    with pytest.raises(DataError, match=r"non_lora_trainables\.bin cannot be read as weights"):
        load(copies)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("name", ["non_lora_trainables.bin", "adapter_config.json", "adapter_model.bin"])
def test_a_repository_that_lacks_a_file_is_refused(copies: Repositories, name: str) -> None:
    (copies.trained / name).unlink()
    with pytest.raises(DataError, match=name.replace(".", r"\.")):
        load(copies)


def test_text_around_the_picture_is_tokenised_by_stretches(adapter: RaDialog) -> None:
    pieces = sentencepiece.SentencePieceProcessor(model_proto=tokenizer_model())
    single = adapter.encode(TURNS[:1])
    assert single.picture
    assert single.before == [1, *pieces.encode(f"{SYSTEM} USER: ")]
    assert single.after == pieces.encode(". Describe the heart. ASSISTANT:")
    two = adapter.encode(TURNS[:3])
    turn = two.after.index(2)
    assert two.before == single.before
    assert two.after[:turn] == pieces.encode(". Describe the heart. ASSISTANT: The heart is of normal size.")
    # This tokenizer is not `legacy`: what follows the end of a turn begins without a space.
    assert pieces.decode(two.after[turn + 1 :]) == "USER: And the lungs? ASSISTANT:"
    assert not pieces.id_to_piece(two.after[turn + 1]).startswith("▁")


def test_a_legacy_tokenizer_begins_every_stretch_with_a_space(copies: Repositories) -> None:
    write_json(copies.base / "tokenizer_config.json", {"legacy": True})
    pieces = sentencepiece.SentencePieceProcessor(model_proto=tokenizer_model())
    after = load(copies).encode(TURNS[:3]).after
    assert after[after.index(2) + 1 :] == pieces.encode("USER: And the lungs? ASSISTANT:")


def test_a_batch_gets_the_answers_that_each_request_alone_gets(adapter: RaDialog, pictures: list[Path]) -> None:
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


def test_paper_is_blind_after_the_first_turn(folders: Repositories, adapter: RaDialog, pictures: list[Path]) -> None:
    paper = load(folders, "paper")
    for rounds, blind in ((1, False), (2, True), (3, True)):
        first, second = (Request("a", each, TURNS[: 2 * rounds - 1], "conversation") for each in pictures[:2])
        assert torch.equal(last_logits(paper, [first]), last_logits(paper, [second])) is blind
        before, after, picture = paper.encode(first.turns)
        assert picture is not blind
        assert paper.cost(first) == len(before) + len(after) + (0 if blind else 196)
    assert adapter.identity != paper.identity
    json.dumps(paper.identity)


def test_it_is_asked_in_the_authors_words() -> None:
    assert card("radialog") is CARD
    asked = Asked("report", None, "What is seen?")
    assert CARD.prompt(asked, "paper") == "Write a radiology report for this X-Ray."
    assert CARD.prompt(asked, "default").startswith("You are to act as a radiologist")
    classify = asked._replace(task="classification", options=("edema",))
    assert CARD.prompt(classify, "default") == "List all the findings in this report."
    assert CARD.prompt(classify, "paper") == CARD.prompt(asked, "paper")
    with pytest.raises(ConfigError, match="no prompt for the task region"):
        CARD.prompt(asked._replace(task="region"), "default")
