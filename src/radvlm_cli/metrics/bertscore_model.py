"""The encoder under BERTScore, and the greedy matching of token embeddings."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from transformers import AutoConfig, AutoModel, AutoTokenizer

from radvlm_cli.errors import DataError
from radvlm_cli.metrics.family import Table
from radvlm_cli.metrics.local_models import Device, batches_by_length, well_formed

MOST_TOKENS = 512
_UNUSED = "pooler."
"""Weights that the released checkpoints lack and that no token's embedding depends on."""


@contextmanager
def _without_load_report() -> Iterator[None]:
    """Keep transformers from listing the layers and heads that are left out on purpose."""
    logger = logging.getLogger("transformers.modeling_utils")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


class Encoder:
    """The lower layers of a BERT-like model, with its tokenizer."""

    def __init__(self, folder: Path, layer: int, device: Device = "cpu") -> None:
        """DataError where `folder` lacks a weight of the first `layer` layers."""
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        if config.num_hidden_layers < layer:
            raise DataError(f"{folder} has {config.num_hidden_layers} layers; layer {layer} is wanted")
        config.num_hidden_layers = layer
        with _without_load_report():
            model, info = AutoModel.from_pretrained(
                folder, config=config, local_files_only=True, dtype=torch.float32, output_loading_info=True
            )
        absent = sorted(name for name in info["missing_keys"] if not name.startswith(_UNUSED))
        if absent or info["mismatched_keys"]:
            raise DataError(f"{folder} lacks weights: {', '.join(absent) or info['mismatched_keys']}")
        self._model = model.eval().to(device)
        self._device = device
        self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        reserved = config.pad_token_id + 1 if config.model_type == "roberta" else 0  # its positions begin after that
        self._most = min(MOST_TOKENS, config.max_position_embeddings - reserved)
        self._special = {self._tokenizer.cls_token_id, self._tokenizer.sep_token_id}

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids, special ones at both ends, cut to what the model takes.

        A space goes before each text: byte-level vocabularies write a first word otherwise than the same word within.
        """
        if not texts:
            return []
        spaced = [f" {well_formed(text).strip()}" if text.strip() else "" for text in texts]
        found: list[list[int]] = self._tokenizer(spaced, truncation=True, max_length=self._most)["input_ids"]
        return found

    @torch.inference_mode()
    def match(self, said: Sequence[list[int]], true: Sequence[list[int]], weights: Mapping[int, float] | None) -> Table:
        """Precision and recall of pairs, shape (pairs, 2), not rescaled; NaN where no token of a side has weight.

        `weights`: by token id, -1 for those it does not hold; None: all tokens alike but the special ones.
        """
        found = np.full((len(said), 2), np.nan)
        lengths = [max(len(left), len(right)) for left, right in zip(said, true, strict=True)]
        for batch in batches_by_length(lengths):
            (left, left_mask), (right, right_mask) = (self._embed([side[n] for n in batch]) for side in (said, true))
            both = left_mask[:, :, None] & right_mask[:, None, :]
            likeness = (left @ right.transpose(1, 2)).masked_fill(~both, -torch.inf)
            for place, (best, side) in enumerate(((likeness.amax(2), said), (likeness.amax(1), true))):
                weight = self._weigh([side[n] for n in batch], weights)
                best = best[:, : weight.shape[1]].masked_fill(weight == 0, 0.0)
                found[batch, place] = ((best * weight).sum(1) / weight.sum(1)).cpu().numpy()
        return found

    def _embed(self, texts: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Unit embeddings (texts, length, width), and where there is a token (texts, length)."""
        padded = self._tokenizer.pad({"input_ids": texts}, return_tensors="pt").to(self._device)
        hidden = self._model(padded["input_ids"], attention_mask=padded["attention_mask"]).last_hidden_state
        return torch.nn.functional.normalize(hidden, dim=-1), padded["attention_mask"].bool()

    def _weigh(self, texts: list[list[int]], weights: Mapping[int, float] | None) -> torch.Tensor:
        """Weight of each token, 0 for padding; shape (texts, length)."""
        told = torch.zeros(len(texts), max(map(len, texts)))
        for row, tokens in enumerate(texts):
            if weights is None:
                here = [float(token not in self._special) for token in tokens]
            else:
                here = [weights.get(token, weights[-1]) for token in tokens]
            told[row, : len(tokens)] = torch.tensor(here)
        return told.to(self._device)
