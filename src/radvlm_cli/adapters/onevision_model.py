"""LLaVA-OneVision as it answers: pictures and turns by the training program's own code, a padded batch at a time."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import PIL
import tokenizers
import torch
import transformers
from numpy.typing import NDArray
from PIL import Image
from transformers import LlavaOnevisionForConditionalGeneration

from radvlm_cli.adapters.generation import Generated, generate, pad_left
from radvlm_cli.adapters.loading import load_strictly
from radvlm_cli.adapters.protocol import Loading, Reply, Request
from radvlm_cli.errors import ConfigError, DataError
from radvlm_cli.program import make_importable
from radvlm_cli.records import Turn

make_importable()
from finetuning import chat as chats  # noqa: E402
from finetuning.anyres import Anyres, cap, capped, normalise, tiles_of  # noqa: E402
from finetuning.samples import UnreadableImage, read_picture  # noqa: E402

_THREADS = 8
_CHARACTERS_PER_TOKEN = 3
_HINT = "radvlm convert PATH, then the folder that it writes"
_ROLES = re.compile("user|assistant")


class Shown(NamedTuple):
    """A request as the model gets it."""

    ids: list[int]
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
            "backend": f"transformers {transformers.__version__}, torch {torch.__version__}",
            "dtype": str(self.dtype).removeprefix("torch."),
            "attention": self.model.config._attn_implementation,
            "template": f"{self._template}/1",
            "cut_at_roles": self._cuts_at_roles,
            "tokenizer": self.chat.fingerprint,
            "end_ids": sorted(self.end_ids),
            "tiling": [self.anyres.tile, self.anyres.patches, self.anyres.most, list(map(list, self.anyres.pinpoints))],
            "max_image_side": self.max_image_side,
            "pillow": PIL.__version__,
        }

    def cost(self, request: Request) -> int:
        """See Adapter."""
        text = sum(len(turn.text) for turn in request.turns) // _CHARACTERS_PER_TOKEN
        return self._tokens(request.image) + text

    def _image_tokens(self, image: Path) -> int:
        try:
            with Image.open(image) as picture:
                return self.anyres.tiling(*capped(*picture.size, self.max_image_side)).tokens
        except (OSError, ValueError, Image.DecompressionBombError):
            return 0  # it cannot be read: `answer` says so

    def answer(self, requests: Sequence[Request], most: int) -> list[Reply]:
        """See Adapter."""
        with ThreadPoolExecutor(min(_THREADS, max(1, len(requests)))) as pool:
            read = list(pool.map(self._show, requests))
        shown = [each for each in read if isinstance(each, Shown)]
        answers = iter(self._generate(shown, most) if shown else ())
        return [self._reply(each, next(answers)) if isinstance(each, Shown) else Reply("", error=each) for each in read]

    def _show(self, request: Request) -> Shown | str:
        """The request for the model; a sentence that says why there is none."""
        try:
            picture = cap(read_picture(request.image), self.max_image_side)
        except UnreadableImage as error:
            return str(error)
        tokens = self.anyres.tiling(*picture.size).tokens
        ids = prompt_ids(self.chat, request.turns, tokens, self._template)
        return Shown(ids, tiles_of(picture, self.anyres), (picture.height, picture.width))

    def _generate(self, shown: Sequence[Shown], most: int) -> list[Generated]:
        padded = pad_left([each.ids for each in shown], self.chat.end)
        return generate(
            self.model,
            most=most,
            end_ids=self.end_ids,
            pad_id=self.chat.end,
            input_ids=padded.rows.to(self.device),
            attention_mask=padded.mask.to(self.device),
            pixel_values=self._pixels(shown),
            image_sizes=[list(each.size) for each in shown],
        )

    def _pixels(self, shown: Sequence[Shown]) -> torch.Tensor:
        """All tiles one after another, (tiles, 3, side, side); they go to the device as 8 bits, grey ones once."""
        grey = all(each.tiles.shape[1] == 1 for each in shown)
        tiles = [each.tiles if grey or each.tiles.shape[1] == 3 else each.tiles.repeat(3, 1) for each in shown]
        pixels = torch.from_numpy(np.concatenate(tiles)).to(self.device)
        return normalise(pixels, self.dtype).expand(-1, 3, -1, -1)

    def _reply(self, shown: Shown, made: Generated) -> Reply:
        text = self.chat.decode(made.ids)
        if self._cuts_at_roles:
            # As published: an answer that speaks of a user or an assistant loses all before.
            text = _ROLES.split(text)[-1]
        height, width = shown.size
        return Reply(text, made.truncated, len(shown.ids), len(made.ids), (width, height))

    def close(self) -> None:
        """Let go of the weights."""
        self.model = None
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


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
