"""LLaVA-Med v1.5 (Mistral 7B) in transformers' own Llava classes, straight from the published files.

    <s>[INST] <picture>\\nQuestion [/INST] Answer </s>[INST] Question [/INST]

The picture stands once, in the first question; each answer is given with the whole conversation, so that it is seen in
every turn. Tokens of the text before and after the picture are made separately, as in training: in one go, the space
that SentencePiece puts at the beginning of the second stretch would be lost.

`paper` shows what the published evaluation showed: the square in the middle of the X-ray instead of the whole of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import CLIPVisionConfig, LlavaConfig, LlavaForConditionalGeneration, MistralConfig

from radvlm_cli.adapters.computing import described, free_memory
from radvlm_cli.adapters.generation import pad_left, reply
from radvlm_cli.adapters.json_files import read_config_file
from radvlm_cli.adapters.loading import load_strictly
from radvlm_cli.adapters.pictures import answer_readable, described_reading
from radvlm_cli.adapters.pieces import Pieces
from radvlm_cli.adapters.protocol import Loading, Reply, Request
from radvlm_cli.errors import DataError
from radvlm_cli.records import Turn

KEY_MAPPING = {
    r"^model\.vision_tower\.vision_tower\.vision_model\.": "model.vision_tower.",
    r"^model\.mm_projector\.0\.": "model.multi_modal_projector.linear_1.",
    r"^model\.mm_projector\.2\.": "model.multi_modal_projector.linear_2.",
    r"^model\.(layers|embed_tokens|norm)\.": r"model.language_model.\1.",
}
"""Names in the published files -> names in transformers."""

BACKGROUND = (122, 116, 104)
"""What fills a picture up to a square: CLIP's mean colour, in 8 bits."""
_MEAN = (0.48145466, 0.4578275, 0.40821073)
_SPREAD = (0.26862954, 0.26130258, 0.27577711)

_VISION = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "image_size": 336,
    "patch_size": 14,
    "projection_dim": 768,
}
"""CLIP ViT-L/14 for 336 pixels: config.json names it, and does not describe it."""
VISION_OVERRIDE = "_tiny_vision_config"
"""Key of config.json that replaces values of CLIP's: a checkpoint with a tower of another size says so."""
_SETTLED = {
    "model_type": "llava_mistral",
    "mm_projector_type": "mlp2x_gelu",
    "mm_vision_select_layer": -2,
    "mm_vision_select_feature": "patch",
    "image_aspect_ratio": "pad",
}
"""What is computed here. A checkpoint that says something else would give other answers."""
_TEXT = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "max_position_embeddings",
    "rms_norm_eps",
    "rope_theta",
    "sliding_window",
)


def load(loading: Loading) -> LlavaMed:
    """Load it from a folder of the published files. DataError naming what does not fit."""
    folder = loading.weights[0]
    pieces = Pieces(folder)
    config = read_config(folder, pieces)
    model = load_strictly(LlavaForConditionalGeneration, folder, loading, config=config, key_mapping=KEY_MAPPING)
    return LlavaMed(model, pieces, loading)


class LlavaMed:
    """LLaVA-Med, loaded."""

    batches = True

    def __init__(self, model: Any, pieces: Pieces, loading: Loading) -> None:
        self.model, self._pieces, self._whole = model, pieces, loading.protocol == "default"
        vision = model.config.vision_config
        self._side: int = vision.image_size
        self._places: int = (vision.image_size // vision.patch_size) ** 2
        self.identity: Mapping[str, Any] = {
            "template": "mistral_instruct, text in stretches, picture in every turn",
            "picture": "padded to a square" if self._whole else "centre crop",
            "side": self._side,
            **described(model),
            **described_reading(),
        }

    def cost(self, request: Request) -> int:
        """Tokens of the prompt, those of the picture included."""
        return len(self.encode(request.turns))

    def encode(self, turns: Sequence[Turn]) -> list[int]:
        """Ids of a conversation that ends with a question; the picture's places are the unknown token."""
        pieces = self._pieces
        ids = [pieces.start, *pieces.encode("[INST] "), *[pieces.unknown] * self._places]
        # The first question goes on after the picture; a later one begins after the end of an answer.
        opening, first = "\n", True
        for number in range(0, len(turns), 2):
            text = f"{opening}{turns[number].text} [/INST]"
            if number + 1 < len(turns):
                ids += [*pieces.encode(f"{text} {turns[number + 1].text} ", after_special=not first), pieces.end]
            else:
                ids += pieces.encode(text, after_special=not first)
            opening, first = "[INST] ", False
        return ids

    def answer(self, requests: Sequence[Request], most: int) -> list[Reply]:
        """Answer a batch; see Adapter."""
        return answer_readable(requests, self._prepare, lambda those, pixels: self._answer(those, pixels, most))

    def inputs(self, requests: Sequence[Request], pixels: Sequence[Tensor]) -> dict[str, Tensor]:
        """What the model takes: rows padded on the left, pictures (rows, 3, side, side)."""
        rows = pad_left([self.encode(request.turns) for request in requests], self._pieces.end)
        device: torch.device = self.model.device
        return {
            "input_ids": rows.rows.to(device),
            "attention_mask": rows.mask.to(device),
            "pixel_values": torch.stack(list(pixels)).to(device, self.model.dtype),
        }

    def _answer(self, requests: Sequence[Request], pixels: Sequence[Tensor], most: int) -> list[Reply]:
        end, seen = self._pieces.end, [(self._side, self._side)] * len(requests)
        inputs = self.inputs(requests, pixels)
        return reply(self.model, self._pieces.decode, seen, most=most, end_ids={end}, pad_id=end, **inputs)

    def _prepare(self, picture: Image.Image) -> Tensor:
        return prepare(picture, self._side, whole=self._whole)

    def close(self) -> None:
        """Give back the memory of the model."""
        self.model = None
        free_memory()


def read_config(folder: Path, pieces: Pieces) -> LlavaConfig:
    """The published config.json in transformers' words. DataError: it is of a model that this is not true of."""
    given = read_config_file(folder, "LLaVA-Med v1.5", _TEXT)
    for name, value in _SETTLED.items():
        if given.get(name) != value:
            raise DataError(
                f"{folder / 'config.json'}: {name} is {given.get(name)!r}, not {value!r}: this is not LLaVA-Med v1.5."
            )
    if not pieces.whole_alphabet:
        raise DataError(f"The tokenizer in {folder} does not know every character; LLaVA-Med's does.")
    return LlavaConfig(
        vision_config=CLIPVisionConfig(**{**_VISION, **given.get(VISION_OVERRIDE, {})}),
        text_config=MistralConfig(**{name: given[name] for name in _TEXT}),
        # The vocabulary has no token for a picture. Text never yields this one: what is no piece is spelled in bytes.
        image_token_index=pieces.unknown,
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        projector_hidden_act="gelu",
        tie_word_embeddings=False,
    )


def prepare(picture: Image.Image, side: int, *, whole: bool) -> Tensor:
    """A picture as CLIP takes it: (3, side, side) float32, normalised.

    `whole`: it is filled up to a square first, the picture in the middle. If not, only the square in its middle stays.
    """
    picture = picture.convert("RGB")
    if whole and picture.width != picture.height:
        square = Image.new("RGB", (max(picture.size),) * 2, BACKGROUND)
        square.paste(picture, ((square.width - picture.width) // 2, (square.height - picture.height) // 2))
        picture = square
    short = min(picture.size)
    size = (side * picture.width // short, side * picture.height // short)
    resized = picture.resize(size, Image.Resampling.BICUBIC)
    left, top = ((length - side) // 2 for length in resized.size)
    cropped = np.asarray(resized.crop((left, top, left + side, top + side)), dtype=np.float32) / 255
    normal = (cropped - np.array(_MEAN, np.float32)) / np.array(_SPREAD, np.float32)
    return torch.from_numpy(normal).permute(2, 0, 1)
