"""The CheXbert labeller (Smit et al. 2020): a BERT and one linear head per label on its [CLS] output."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import AutoTokenizer, BertConfig, BertModel

from radvlm_cli.errors import DataError
from radvlm_cli.metrics.chexbert_labels import LABELS, POSITIVE, UNCERTAIN
from radvlm_cli.metrics.local_models import Device, batches_by_length, well_formed

MOST_TOKENS = 512
_HINT = "Get chexbert.pth again: hf download StanfordAIMI/RRG_scorers chexbert.pth"
_NOT_WEIGHTS = ("bert.embeddings.position_ids",)
"""Old releases of transformers saved this counter."""


class Read(NamedTuple):
    """What the labeller makes of texts."""

    classes: NDArray[np.int64]
    """Shape (texts, 14): see metrics.chexbert."""
    embeddings: NDArray[np.float32]
    """Shape (texts, width): the last layer's [CLS]."""


class Labeller(nn.Module):
    """The network."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.bert = BertModel(config)
        sizes = [UNCERTAIN + 1] * (len(LABELS) - 1) + [POSITIVE + 1]
        self.linear_heads = nn.ModuleList(nn.Linear(config.hidden_size, size) for size in sizes)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokens (texts, length) to classes (texts, 14) and [CLS] (texts, width)."""
        cls = self.bert(ids, attention_mask=mask).last_hidden_state[:, 0]
        return torch.stack([head(cls).argmax(dim=1) for head in self.linear_heads], dim=1), cls


class CheXbertReader:
    """The labeller with its tokenizer."""

    def __init__(self, checkpoint: Path, tokenizer: Path, device: Device = "cpu") -> None:
        """`checkpoint`: chexbert.pth; `tokenizer`: folder of bert-base-uncased. DataError where they do not fit."""
        self._tokenizer = AutoTokenizer.from_pretrained(tokenizer, local_files_only=True)
        config = BertConfig.from_pretrained(tokenizer, local_files_only=True)
        self._most = min(MOST_TOKENS, config.max_position_embeddings)
        self._device = device
        self._model = Labeller(config)
        state = _load_state(checkpoint)
        _check(state, self._model.state_dict(), checkpoint)
        self._model.load_state_dict(state)
        self._model.eval().to(device)

    @torch.inference_mode()
    def read(self, texts: Sequence[str]) -> Read:
        """Classes and embeddings of texts, on one line each, cut at 512 tokens."""
        encoded = self._tokenizer(
            [" ".join(well_formed(text).split()) for text in texts], truncation=True, max_length=self._most
        )["input_ids"]
        classes = np.zeros((len(texts), len(LABELS)), np.int64)
        embeddings = np.zeros((len(texts), self._model.bert.config.hidden_size), np.float32)
        for batch in batches_by_length([len(ids) for ids in encoded]):
            padded = self._tokenizer.pad({"input_ids": [encoded[n] for n in batch]}, return_tensors="pt")
            found, cls = self._model(padded["input_ids"].to(self._device), padded["attention_mask"].to(self._device))
            classes[batch], embeddings[batch] = found.cpu().numpy(), cls.float().cpu().numpy()
        return Read(classes, embeddings)


def _load_state(checkpoint: Path) -> dict[str, torch.Tensor]:
    """Weights by name, without what DataParallel put before the names."""
    try:
        loaded: Any = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise DataError(f"{checkpoint} cannot be read as weights: {str(error).splitlines()[0]}", _HINT) from error
    state = loaded.get("model_state_dict", loaded) if isinstance(loaded, dict) else {}
    named = {str(name).removeprefix("module."): value for name, value in state.items()}
    return {name: value for name, value in named.items() if name not in _NOT_WEIGHTS}


def _check(state: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], checkpoint: Path) -> None:
    """Every weight there, none besides, all of the right shape and finite."""
    faults = {
        "missing": [name for name in expected if name not in state],
        "unexpected": [name for name in state if name not in expected],
        "of another shape": [n for n, value in state.items() if n in expected and value.shape != expected[n].shape],
        "not finite": [name for name, value in state.items() if not torch.isfinite(value).all()],
    }
    if told := [f"{what}: {', '.join(sorted(names))}" for what, names in faults.items() if names]:
        raise DataError(f"{checkpoint} is not CheXbert; weights " + "; ".join(told), _HINT)
