"""The judge of GREEN, on a tiny random Llama."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from radvlm_cli.adapters import CARDS, card
from radvlm_cli.adapters.batching import answer_all
from radvlm_cli.adapters.green_model import GreenModel
from radvlm_cli.adapters.protocol import Asked
from radvlm_cli.errors import ConfigError, DataError
from radvlm_cli.metrics.green import green_prompt
from tests.adapters.conftest import loading, request

BEGIN, END, MOST, CONTEXT = 256, 257, 9, 2600


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model in the layout of the hub's, whose tokens are bytes."""
    path = tmp_path_factory.mktemp("green")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: n for n, letter in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>").save_pretrained(path)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=258,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        bos_token_id=BEGIN,
        eos_token_id=END,
        initializer_range=0.5,
    )
    LlamaForCausalLM(config).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def model(folder: Path) -> GreenModel:
    return GreenModel(folder, loading(folder))


REPORTS = ("No effusion.", "Large right effusion. " * 5, "x")
REQUESTS = [request(Path(), green_prompt(text, "Clear lungs."), key=text[:1]) for text in REPORTS]


def test_a_batch_gives_what_each_alone_gives(model: GreenModel) -> None:
    alone = [model.answer([each], MOST)[0] for each in REQUESTS]
    assert model.answer(REQUESTS, MOST) == alone
    assert len({each.text for each in alone}) > 1
    assert all(each.error is None and each.tokens_out is not None for each in alone)


def test_the_prompt_is_a_user_turn_that_is_closed_and_an_open_answer(model: GreenModel) -> None:
    ids = model.prompt_ids("Compare.")
    assert (ids[0], ids[-1]) == (BEGIN, END)
    assert model._tokenizer.decode(ids) == "<s><|user|>\nCompare.</s>\n<|assistant|>\n</s>"
    assert ids.count(END) == 2


def test_a_cut_off_completion_says_so(model: GreenModel) -> None:
    (reply,) = model.answer(REQUESTS[:1], 2)
    assert reply.truncated
    assert reply.tokens_out == 2


def test_reports_that_do_not_fit_are_an_error_and_the_others_are_answered(model: GreenModel) -> None:
    long = request(Path(), "x" * CONTEXT, key="long")
    replies = model.answer([long, REQUESTS[0]], MOST)
    assert replies[0].error is not None
    assert "too long" in replies[0].error
    assert replies[1] == model.answer(REQUESTS[:1], MOST)[0]


def test_a_worker_s_batches_take_it(model: GreenModel) -> None:
    answered = {asked.key: reply for asked, reply in answer_all(model, REQUESTS, MOST)}
    assert answered == {each.key: model.answer([each], MOST)[0] for each in REQUESTS}


@pytest.mark.parametrize(
    ("name", "value"),
    [("model.norm.weight", None), ("model.norm.weight", torch.ones(3)), ("model.extra.weight", torch.ones(3))],
)
def test_weights_that_do_not_fit_are_refused_by_name(
    folder: Path, tmp_path: Path, name: str, value: torch.Tensor | None
) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(folder / "model.safetensors")
    weights.pop(name, None)
    save_file(weights | ({} if value is None else {name: value}), tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(DataError, match=name):
        GreenModel(tmp_path, loading(tmp_path))


def test_a_folder_without_a_tokenizer_or_its_end_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="tokenizer"):
        GreenModel(tmp_path, loading(tmp_path))
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({**config, "eos_token": None}))
    with pytest.raises(DataError, match="ends a text"):
        GreenModel(tmp_path, loading(tmp_path))


def test_it_is_found_by_name_and_is_no_model_to_evaluate() -> None:
    green = card("green")
    assert "green" not in CARDS
    assert not green.tasks
    with pytest.raises(ConfigError, match="judges reports"):
        green.prompt(Asked("report", None, ""), "default")
