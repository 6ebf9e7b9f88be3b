"""Models that are asked one question about one picture, and write boxes as tokens: CheXagent-2 and MAIRA-2."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from radvlm_cli.adapters.computing import free_memory
from radvlm_cli.adapters.generation import Generated, generate
from radvlm_cli.adapters.pictures import answer_readable
from radvlm_cli.adapters.protocol import Reply, Request
from radvlm_cli.adapters.special_tokens import added_tokens, spelling_out
from radvlm_cli.errors import ConfigError


class OneQuestionAdapter(ABC):
    """The frame: read the pictures, continue the rows whose picture is readable, decode."""

    batches = True
    identity: Mapping[str, Any]

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.spelled_out = spelling_out(added_tokens(tokenizer))

    @abstractmethod
    def pixels(self, picture: Image.Image) -> Tensor:
        """What the model sees of a picture: (3, side, side) float32."""

    @abstractmethod
    def row(self, request: Request) -> list[int]:
        """Token ids of a request, the image's places among them."""

    @abstractmethod
    def inputs(self, rows: Sequence[Sequence[int]], pixels: Tensor) -> dict[str, Tensor]:
        """What the model's forward pass takes, padded on the left.

        `pixels`: (rows, 3, side, side), on the model's device and in its type.
        """

    def continued(self, rows: Sequence[Sequence[int]], pixels: Tensor, most: int) -> list[Generated]:
        """What the model adds to each row, at most `most` tokens."""
        # The tokenizer's end, which the templates have: a configuration that names none would get the library's.
        end = self.tokenizer.eos_token_id
        return generate(self.model, most=most, end_ids=[end], pad_id=end, **self.inputs(rows, pixels))

    def cost(self, request: Request) -> int:
        """Tokens of the request."""
        return len(self.row(request))

    def answer(self, requests: Sequence[Request], most: int) -> list[Reply]:
        """Answer a batch; see adapters.protocol.Adapter."""
        return answer_readable(requests, self.pixels, lambda those, pixels: self._answer(those, pixels, most))

    def _answer(self, requests: Sequence[Request], pixels: Sequence[Tensor], most: int) -> list[Reply]:
        rows = [self.row(request) for request in requests]
        together = torch.stack(list(pixels)).to(self.model.device, self.model.dtype)
        return [self._reply(row, made) for row, made in zip(rows, self.continued(rows, together, most), strict=True)]

    def _reply(self, row: Sequence[int], made: Generated) -> Reply:
        # Special tokens stay: boxes are made of them. The end is not among the ids.
        text = self.tokenizer.decode(made.ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return Reply(text.strip(), made.truncated, tokens_in=len(row), tokens_out=len(made.ids))

    def close(self) -> None:
        """Give back what it holds."""
        self.model = None
        free_memory()


def only_turn(request: Request, model: str) -> str:
    """The one question of a request. ConfigError: there are more turns, which the model was never trained for."""
    if len(request.turns) != 1:
        raise ConfigError(f"{model} answers single questions, not conversations.", "radvlm eval --list")
    return request.turns[0].text
