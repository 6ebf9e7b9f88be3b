"""A causal language model that judges reports in the chat form of green-score (MIT), a padded batch at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tokenizers
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from radvlm_cli.adapters.computing import described, free_memory
from radvlm_cli.adapters.generation import Generated, generate, pad_left
from radvlm_cli.adapters.loading import load_strictly
from radvlm_cli.adapters.protocol import Loading, Reply, Request
from radvlm_cli.errors import ConfigError, DataError

_CHARACTERS_PER_TOKEN = 4
_TOO_LONG = "the reports are too long for the judge's context"
_ROTARY = ("model.rotary_emb.inv_freq",)
"""Computed, not learned; older checkpoints hold it."""


class GreenModel:
    """A loaded judge. See protocol.Adapter; pictures are not looked at."""

    batches = True

    def __init__(self, folder: Path, loading: Loading) -> None:
        """DataError where the weights do not fit, or the tokenizer has no token that ends a text."""
        if loading.options:
            raise ConfigError(f"GREEN's model has no option {min(loading.options)!r}.")
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError) as error:
            raise DataError(f"The tokenizer in {folder} cannot be loaded ({type(error).__name__}).") from error
        if self._tokenizer.eos_token_id is None:
            raise DataError(f"The tokenizer in {folder} has no token that ends a text.")
        self._end: int = self._tokenizer.eos_token_id
        self.model: Any = load_strictly(AutoModelForCausalLM, folder, loading, ignored=_ROTARY)
        self.device = torch.device(loading.device)
        self.identity: Mapping[str, Any] = {
            **described(self.model),
            "tokenizers": tokenizers.__version__,
            "template": "green-score/1",
        }

    def cost(self, request: Request) -> int:
        """See Adapter."""
        return sum(len(turn.text) for turn in request.turns) // _CHARACTERS_PER_TOKEN

    def answer(self, requests: Sequence[Request], most: int) -> list[Reply]:
        """See Adapter. What leaves no room in the model's context for `most` new tokens is a reply with an error."""
        prompts = [self.prompt_ids(request.turns[-1].text) for request in requests]
        room = self.model.config.max_position_embeddings - most
        fits = [ids for ids in prompts if len(ids) <= room]
        made = iter(self._generate(fits, most) if fits else ())
        return [
            self._reply(ids, next(made)) if len(ids) <= room else Reply("", tokens_in=len(ids), error=_TOO_LONG)
            for ids in prompts
        ]

    def prompt_ids(self, prompt: str) -> list[int]:
        """Token ids of a prompt as green-score makes them: its tokenizer closes every text, the prompt's too."""
        end = self._tokenizer.eos_token
        text = f"<|user|>\n{prompt}{end}\n<|assistant|>\n"
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        begin = self._tokenizer.bos_token_id
        return [*([] if begin is None else [begin]), *ids, self._end]

    def _generate(self, prompts: Sequence[Sequence[int]], most: int) -> list[Generated]:
        padded = pad_left(prompts, self._end)
        return generate(
            self.model,
            most=most,
            end_ids={self._end},
            pad_id=self._end,
            input_ids=padded.rows.to(self.device),
            attention_mask=padded.mask.to(self.device),
        )

    def _reply(self, ids: Sequence[int], made: Generated) -> Reply:
        text = self._tokenizer.decode(made.ids, skip_special_tokens=True)
        return Reply(text.strip(), truncated=made.truncated, tokens_in=len(ids), tokens_out=len(made.ids))

    def close(self) -> None:
        """Let go of the weights."""
        self.model = None
        free_memory()
