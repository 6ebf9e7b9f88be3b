"""Models that are asked one question about one picture, and write boxes as tokens: CheXagent-2 and MAIRA-2."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import compress
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from PIL import Image
from torch import Tensor

from radvlm_cli.adapters.generation import Generated, generate
from radvlm_cli.adapters.protocol import Reply, Request
from radvlm_cli.errors import ConfigError

_READERS = 8


class Unreadable(NamedTuple):
    """Instead of a picture."""

    error: str


class OneQuestionAdapter(ABC):
    """The frame: read the pictures, continue the rows whose picture is readable, decode."""

    batches = True
    identity: Mapping[str, Any]

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model, self.tokenizer = model, tokenizer

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
        rows = [self.row(request) for request in requests]
        seen = self._pictures(requests)
        readable = [isinstance(each, Tensor) for each in seen]
        made: Iterator[Generated] = iter(())
        if any(readable):
            pixels = torch.stack([each for each in seen if isinstance(each, Tensor)])
            pixels = pixels.to(self.model.device, self.model.dtype)
            made = iter(self.continued(list(compress(rows, readable)), pixels, most))
        return [
            Reply("", error=each.error) if isinstance(each, Unreadable) else self._reply(row, next(made))
            for row, each in zip(rows, seen, strict=True)
        ]

    def _pictures(self, requests: Sequence[Request]) -> list[Tensor | Unreadable]:
        with ThreadPoolExecutor(min(_READERS, len(requests) or 1)) as pool:
            return list(pool.map(self._picture, [request.image for request in requests]))

    def _picture(self, path: Path) -> Tensor | Unreadable:
        try:
            with Image.open(path) as picture:
                return self.pixels(picture)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            return Unreadable(f"The picture cannot be read: {type(error).__name__}")

    def _reply(self, row: Sequence[int], made: Generated) -> Reply:
        # Special tokens stay: boxes are made of them. The end is not among the ids.
        text = self.tokenizer.decode(made.ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return Reply(text.strip(), made.truncated, tokens_in=len(row), tokens_out=len(made.ids))

    def close(self) -> None:
        """Give back what it holds."""
        self.model = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def only_turn(request: Request, model: str) -> str:
    """The one question of a request. ConfigError: there are more turns, which the model was never trained for."""
    if len(request.turns) != 1:
        raise ConfigError(f"{model} answers single questions, not conversations.", "radvlm eval --list")
    return request.turns[0].text


def described(model: Any) -> dict[str, Any]:
    """What of a loaded model decides an answer besides its weights."""
    return {
        "dtype": str(model.dtype).removeprefix("torch."),
        "attention": model.config._attn_implementation,
        "backend": f"transformers {transformers.__version__}, torch {torch.__version__}",
    }
