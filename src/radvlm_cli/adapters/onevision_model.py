"""LLaVA-OneVision as it answers: pictures and turns by the training program's own code, a padded batch at a time."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tokenizers
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import LlavaOnevisionForConditionalGeneration

from radvlm_cli.adapters.computing import described, free_memory
from radvlm_cli.adapters.generation import pad_left, reply
from radvlm_cli.adapters.loading import load_strictly
from radvlm_cli.adapters.pictures import answer_readable, described_reading, picture_size
from radvlm_cli.adapters.protocol import Loading, Reply, Request
from radvlm_cli.errors import ConfigError, DataError
from radvlm_cli.program import make_importable
from radvlm_cli.records import Turn

make_importable()
from finetuning import chat as chats  # noqa: E402
from finetuning.anyres import Anyres, cap, capped, normalise, tiles_of  # noqa: E402

_CHARACTERS_PER_TOKEN = 3
_HINT = "radvlm convert PATH, then the folder that it writes"
_ROLES = re.compile("user|assistant")


class Cut(NamedTuple):
    """A picture as the model gets it."""

    tiles: NDArray[np.uint8]
    """(tiles, 1 or 3, side, side)."""
    size: tuple[int, int]
    """Height and width of the picture that was cut into tiles."""


class OneVision:
    """A loaded LLaVA-OneVision."""

    batches = True

    def __init__(self, folder: Path, loading: Loading, *, trained: bool) -> None:
        """`trained`: the chat template of our training under the default protocol, else always that of the Hub."""
        options = dict(loading.options)
        self.max_image_side: int | None = options.pop("max_image_side", None)
        if options:
            raise ConfigError(f"LLaVA-OneVision has no option {min(options)!r}; known is max_image_side.")
        self.chat = _chat(folder)
        self.anyres = _anyres(folder)
        self.model = load_strictly(LlavaOnevisionForConditionalGeneration, folder, loading, hint=_HINT)
        self.device, self.dtype = torch.device(loading.device), self.model.dtype
        self.end_ids = _end_ids(self.model, self.chat)
        self._template = "trained" if trained and loading.protocol == "default" else "hub"
        self._cuts_at_roles = loading.protocol == "paper"
        self._tokens = lru_cache(maxsize=None)(self._image_tokens)
        self.identity: Mapping[str, Any] = {
            **described(self.model),
            **described_reading(),
            "template": f"{self._template}/1",
            "cut_at_roles": self._cuts_at_roles,
            "tokenizer": self.chat.fingerprint,
            "end_ids": sorted(self.end_ids),
            "tiling": [self.anyres.tile, self.anyres.patches, self.anyres.most, list(map(list, self.anyres.pinpoints))],
            "max_image_side": self.max_image_side,
        }

    def cost(self, request: Request) -> int:
        """See Adapter."""
        text = sum(len(turn.text) for turn in request.turns) // _CHARACTERS_PER_TOKEN
        return self._tokens(request.image) + text

    def _image_tokens(self, image: Path) -> int:
        return self.anyres.tiling(*capped(*picture_size(image), self.max_image_side)).tokens

    def answer(self, requests: Sequence[Request], most: int) -> list[Reply]:
        """See Adapter."""
        return answer_readable(requests, self.cut, lambda those, pictures: self._answer(those, pictures, most))

    def cut(self, picture: Image.Image) -> Cut:
        """The tiles of a picture."""
        picture = cap(picture, self.max_image_side)
        return Cut(tiles_of(picture, self.anyres), (picture.height, picture.width))

    def inputs(self, requests: Sequence[Request], pictures: Sequence[Cut]) -> dict[str, Any]:
        """What the model takes: rows padded on the left, and the tiles of all pictures one after another."""
        rows = []
        for request, (_tiles, (height, width)) in zip(requests, pictures, strict=True):
            tokens = self.anyres.tiling(width, height).tokens
            rows.append(prompt_ids(self.chat, request.turns, tokens, self._template))
        padded = pad_left(rows, self.chat.end)
        return {
            "input_ids": padded.rows.to(self.device),
            "attention_mask": padded.mask.to(self.device),
            "pixel_values": self._pixels(pictures),
            "image_sizes": [list(each.size) for each in pictures],
        }

    def _answer(self, requests: Sequence[Request], pictures: Sequence[Cut], most: int) -> list[Reply]:
        inputs, end = self.inputs(requests, pictures), self.chat.end
        seen = [(width, height) for _tiles, (height, width) in pictures]
        return reply(self.model, self._decode, seen, most=most, end_ids=self.end_ids, pad_id=end, **inputs)

    def _pixels(self, pictures: Sequence[Cut]) -> torch.Tensor:
        """All tiles one after another, (tiles, 3, side, side); they go to the device as 8 bits, grey ones once."""
        grey = all(each.tiles.shape[1] == 1 for each in pictures)
        tiles = [each.tiles if grey or each.tiles.shape[1] == 3 else each.tiles.repeat(3, 1) for each in pictures]
        pixels = torch.from_numpy(np.concatenate(tiles)).to(self.device)
        return normalise(pixels, self.dtype).expand(-1, 3, -1, -1)

    def _decode(self, ids: list[int]) -> str:
        text = self.chat.decode(ids)
        # As published: an answer that speaks of a user or an assistant loses all before.
        return _ROLES.split(text)[-1] if self._cuts_at_roles else text

    def close(self) -> None:
        """Let go of the weights."""
        self.model = None
        free_memory()


def prompt_ids(chat: chats.Chat, turns: Sequence[Turn], image_tokens: int, template: str) -> list[int]:
    """Ids of turns that end with a question, in the `trained` template or that of the `hub`'s checkpoints.

    The Hub's has no system turn, a space after the speaker, and nothing between turns.
    """
    spoken = [chats.Turn(turn.role, turn.text) for turn in turns]
    if template == "trained":
        return chat.prompt(spoken, image_tokens)
    chats.check_prompt(spoken)
    ids: list[int] = []
    for number, turn in enumerate(spoken):
        speaker = "user" if turn.role == "human" else "assistant"
        if number == 0:
            said = [*chat.text_ids(f"{speaker} "), *[chat.image] * image_tokens, *chat.text_ids(f"\n{turn.text}")]
        else:
            said = chat.text_ids(f"{speaker} \n{turn.text}")
        ids += [chat.start, *said, chat.end]
    return [*ids, chat.start, *chat.text_ids("assistant\n")]


def load(loading: Loading, *, trained: bool) -> OneVision:
    """Load from the folder given, or from the RUN/final of a run. DataError where it is no whole model."""
    (given,) = loading.weights
    final = given / "final"
    folder = final if final.is_dir() and not (given / "config.json").is_file() else given
    if (folder / "adapter_config.json").is_file():
        raise DataError(f"{folder} holds an adapter, not a whole model.", f"radvlm convert {folder}")
    if not (folder / "config.json").is_file():
        raise DataError(f"{folder} has no config.json: it is no folder of a Hugging Face model.", _HINT)
    return OneVision(folder, loading, trained=trained)


def _chat(folder: Path) -> chats.Chat:
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise DataError(f"{folder} has no tokenizer.json.", _HINT)
    try:
        return chats.Chat(tokenizers.Tokenizer.from_file(str(path)))
    except Exception as error:
        # The tokenizers package raises plain Exception for a file that it cannot read.
        raise DataError(f"{path} cannot be used: {error}", _HINT) from error


def _anyres(folder: Path) -> Anyres:
    try:
        return Anyres.of_folder(folder)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"The configuration in {folder} is not that of a LLaVA-OneVision: {error}", _HINT) from error


def _end_ids(model: Any, chat: chats.Chat) -> frozenset[int]:
    """The end of a turn, and what else the checkpoint ends a text with."""
    named = model.generation_config.eos_token_id
    return frozenset([chat.end, *(named if isinstance(named, list) else [named] if named is not None else [])])
