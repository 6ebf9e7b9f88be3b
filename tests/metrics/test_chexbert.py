"""CheXbert on a tiny random checkpoint in the released layout, against a BERT written out, and scikit-learn."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, precision_recall_fscore_support
from torch import Tensor
from transformers import AutoTokenizer, BertConfig, BertModel

from radvlm_cli.errors import DataError
from radvlm_cli.metrics.chexbert import CheXbert
from radvlm_cli.metrics.chexbert_labels import FIVE, LABELS
from radvlm_cli.metrics.chexbert_model import CheXbertReader
from tests.metrics.texts import pairs
from tests.metrics.tiny_bert import POSITIONS, save_bert_config, save_bert_tokenizer

TOLD, TRUE = pairs(40)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bert-base-uncased")
    save_bert_config(folder, save_bert_tokenizer(folder))
    return folder


@pytest.fixture(scope="module")
def state(tokenizer: Path) -> dict[str, Tensor]:
    """Weights under the names of chexbert.pth: a labeller trained with DataParallel under transformers 2."""
    torch.manual_seed(3)
    bert = BertModel(BertConfig.from_pretrained(tokenizer, initializer_range=0.8))
    width = bert.config.hidden_size
    found = {f"module.bert.{name}": value for name, value in bert.state_dict().items()}
    for number in range(14):
        found[f"module.linear_heads.{number}.weight"] = torch.randn(2 if number == 13 else 4, width)
        found[f"module.linear_heads.{number}.bias"] = torch.randn(2 if number == 13 else 4)
    return found | {"module.bert.embeddings.position_ids": torch.arange(POSITIONS)[None]}


@pytest.fixture(scope="module")
def checkpoint(state: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(state, tmp_path_factory.mktemp("chexbert"))


def save(state: dict[str, Tensor], folder: Path) -> Path:
    path = folder / "chexbert.pth"
    torch.save({"epoch": 7, "model_state_dict": state, "optimizer_state_dict": {}}, path)
    return path


def bert_by_hand(state: dict[str, Tensor], ids: list[int], config: BertConfig) -> Tensor:
    """Last layer's [CLS] of one text, from the definition (Devlin et al. 2019)."""
    w = {name.removeprefix("module.bert."): value.double() for name, value in state.items()}
    length, heads = len(ids), config.num_attention_heads

    def linear(x: Tensor, name: str) -> Tensor:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def norm(x: Tensor, name: str) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        spread = (centred.square().mean(-1, keepdim=True) + config.layer_norm_eps).sqrt()
        return centred / spread * w[f"{name}.weight"] + w[f"{name}.bias"]

    def split(x: Tensor) -> Tensor:
        return x.reshape(length, heads, -1).transpose(0, 1)

    x = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.position_embeddings.weight"][:length]
    x = norm(x + w["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    for layer in range(config.num_hidden_layers):
        at = f"encoder.layer.{layer}"
        query, key, value = (split(linear(x, f"{at}.attention.self.{part}")) for part in ("query", "key", "value"))
        weights = (query @ key.transpose(1, 2) / math.sqrt(query.shape[-1])).softmax(-1)
        mixed = (weights @ value).transpose(0, 1).reshape(length, -1)
        x = norm(x + linear(mixed, f"{at}.attention.output.dense"), f"{at}.attention.output.LayerNorm")
        inner = linear(x, f"{at}.intermediate.dense")
        inner = inner * 0.5 * (1 + torch.erf(inner / math.sqrt(2)))
        x = norm(x + linear(inner, f"{at}.output.dense"), f"{at}.output.LayerNorm")
    return x[0]


def test_classes_and_embeddings_are_those_of_a_bert_written_out(
    checkpoint: Path, tokenizer: Path, state: dict[str, Tensor]
) -> None:
    texts = [text for text in TRUE if text.strip()]
    read = CheXbertReader(checkpoint, tokenizer).read(texts)
    config, split = BertConfig.from_pretrained(tokenizer), AutoTokenizer.from_pretrained(tokenizer)
    assert read.classes.shape == (len(texts), 14)
    assert max(len(split.tokenize(text)) for text in texts) > POSITIONS  # some are cut
    for text, classes, embedding in zip(texts, read.classes, read.embeddings, strict=True):
        inner = split.convert_tokens_to_ids(split.tokenize(text))[: POSITIONS - 2]
        cls = bert_by_hand(state, [split.cls_token_id, *inner, split.sep_token_id], config)
        assert embedding == pytest.approx(cls.numpy(), abs=1e-5)
        for number, found in enumerate(classes):
            head = f"module.linear_heads.{number}"
            scores = state[f"{head}.weight"].double() @ cls + state[f"{head}.bias"].double()
            assert scores[found] == pytest.approx(scores.max().item(), abs=1e-4)
    assert len(np.unique(read.classes)) == 4


def test_f1_is_that_of_scikit_learn(checkpoint: Path, tokenizer: Path) -> None:
    family = CheXbert(checkpoint, tokenizer)
    assert family.missing() == ()
    table = family.per_sample(TOLD, TRUE)
    assert table.shape == (len(TOLD), len(family.columns))
    values = family.values(table.sum(0))
    reader = CheXbertReader(checkpoint, tokenizer)
    said, true = (np.isin(reader.read(texts).classes, (1, 3)) for texts in (TOLD, TRUE))
    said[[not text.strip() for text in TOLD]] = False
    five = [LABELS.index(name) for name in FIVE]
    for size, places in ((14, list(range(14))), (5, five)):
        for average in ("micro", "macro"):
            expected = f1_score(true[:, places], said[:, places], average=average, zero_division=0)
            assert values[f"chexbert_{average}_f1_{size}"] == pytest.approx(expected, abs=1e-12)
            assert 0.1 < expected < 0.95
    _, _, each, support = precision_recall_fscore_support(true, said, zero_division=0)
    for place, label in enumerate(LABELS):
        if support[place]:
            assert values[f"chexbert_f1/{label}"] == pytest.approx(each[place], abs=1e-12)


def test_similarity_is_the_cosine_of_the_cls_embeddings(checkpoint: Path, tokenizer: Path) -> None:
    family = CheXbert(checkpoint, tokenizer)
    table = family.per_sample(TOLD, TRUE)
    reader = CheXbertReader(checkpoint, tokenizer)
    said, true = (torch.tensor(reader.read(texts).embeddings) for texts in (TOLD, TRUE))
    expected = torch.nn.functional.cosine_similarity(said, true).numpy()
    written = [place for place, text in enumerate(TOLD) if text.strip()]
    found = family.values(table)["chexbert_similarity"]
    assert found[written] == pytest.approx(expected[written], abs=1e-5)
    assert family.values(table.sum(0))["chexbert_similarity"] == pytest.approx(found.mean())


def test_an_answer_left_out_has_no_label_and_no_likeness(checkpoint: Path, tokenizer: Path) -> None:
    family = CheXbert(checkpoint, tokenizer)
    table = family.per_sample(["", " \n"], TRUE[:2])
    counts = table[:, : 3 * len(LABELS)].reshape(2, 3, len(LABELS))
    assert counts[:, :2].sum() == 0
    true = np.isin(CheXbertReader(checkpoint, tokenizer).read(TRUE[:2]).classes, (1, 3))
    assert (counts[:, 2] == true).all()
    assert true.any()
    assert table[:, -2].tolist() == [0, 0]
    assert np.isfinite(family.per_sample(["\ud800 x", "\u200b"], TRUE[:2])).all()
    assert family.per_sample([], []).shape == (0, len(family.columns))
    never = family.values(np.zeros(len(family.columns)))
    assert np.isnan(never["chexbert_micro_f1_14"])
    assert np.isnan(never["chexbert_f1/Edema"])


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda state: state.pop("module.bert.encoder.layer.1.output.dense.bias"), "missing: bert.encoder.layer.1.out"),
        (lambda state: state.update({"module.extra": torch.ones(1)}), "unexpected: extra"),
        (lambda state: state.update({"module.linear_heads.13.bias": torch.ones(4)}), "another shape: linear_heads.13"),
        (lambda state: state["module.linear_heads.0.bias"].fill_(math.nan), "not finite: linear_heads.0.bias"),
    ],
)
def test_a_checkpoint_that_is_not_chexbert_is_refused_by_name(
    spoil: object, told: str, state: dict[str, Tensor], tokenizer: Path, tmp_path: Path
) -> None:
    spoiled = {name: value.clone() for name, value in state.items()}
    assert callable(spoil)
    spoil(spoiled)
    with pytest.raises(DataError, match=told):
        CheXbert(save(spoiled, tmp_path), tokenizer).per_sample(["a"], ["a"])


def test_a_checkpoint_is_never_unpickled_as_code(tokenizer: Path, tmp_path: Path) -> None:
    path = tmp_path / "chexbert.pth"
    torch.save({"model_state_dict": {"x": Path("x")}}, path)
    with pytest.raises(DataError, match="cannot be read as weights"):
        CheXbertReader(path, tokenizer)
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(DataError, match="cannot be read as weights"):
        CheXbertReader(path, tokenizer)


def test_what_is_missing_is_named_with_the_command_that_gets_it(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.file_download.HF_HUB_CACHE", str(tmp_path), raising=False)
    monkeypatch.setattr("socket.socket", None)
    weights, words = CheXbert().missing()
    assert weights.what == "StanfordAIMI/RRG_scorers: chexbert.pth"
    assert weights.command == "hf download StanfordAIMI/RRG_scorers chexbert.pth, or --chexbert PATH"
    assert words.what == "the tokenizer of bert-base-uncased"
    assert [need.what for need in CheXbert(checkpoint).missing()] == [words.what]
    with pytest.raises(DataError, match="not here"):
        CheXbert().per_sample(["a"], ["a"])
