"""RaDialog's eyes: the image encoder of BioViL-T without a prior picture, in transformers' ResNet.

Of a picture it makes 14 x 14 places. Each is described by what the ResNet sees there, brought to 256 numbers by a 1x1
convolution, followed by 256 learned numbers that stand for "there is no prior picture".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from transformers import ResNetConfig, ResNetModel

from radvlm_cli.adapters.loading import check_finite, load_state_strictly, raise_misfits
from radvlm_cli.errors import DataError

SHORT_SIDE = 512
"""Pixels that the shorter side is brought to."""
CROP = 448
"""Side of the square that is cut out of the middle."""
UNUSED = (
    "encoder.encoder.fc.",  # of the ResNet as published, before any pooling
    "encoder.vit_pooler.",  # compares with a prior picture
    "projector.",  # into the space that BioViL-T shares with text
    "classifier.",
)
"""Beginnings of names in the checkpoint that play no part without a prior picture."""

_KIND = {"conv": "convolution", "bn": "normalization", "0": "convolution", "1": "normalization"}
_STEM = re.compile(r"encoder\.encoder\.(conv|bn)1\.(\w+)")
_BLOCK = re.compile(r"encoder\.encoder\.layer(\d+)\.(\d+)\.(?:(conv|bn)(\d+)|downsample\.([01]))\.(\w+)")


class BiovilTower(nn.Module):
    """From pixels to a row of places."""

    def __init__(self, config: ResNetConfig, width: int) -> None:
        """`width`: numbers that each of a place's two halves has."""
        super().__init__()
        sizes: Any = config.hidden_sizes
        self.resnet = ResNetModel(config)
        self.backbone_to_vit = nn.Conv2d(sizes[-1], width, kernel_size=1, bias=False)
        self.missing_previous_emb = nn.Parameter(torch.zeros(1, width, 1, 1))

    @property
    def width(self) -> int:
        """Numbers that describe a place."""
        return 2 * self.backbone_to_vit.out_channels

    def forward(self, pixels: Tensor) -> Tensor:
        """(pictures, 3, height, width) -> (pictures, places, 2 * width), row by row."""
        seen = self.backbone_to_vit(self.resnet(pixels).last_hidden_state)
        both = torch.cat([seen, self.missing_previous_emb.expand_as(seen)], dim=1)
        return both.flatten(2).transpose(1, 2)


def build_tower(published: Mapping[str, Tensor], trained: Mapping[str, Tensor], folder: Path) -> BiovilTower:
    """The tower with BioViL-T's weights where RaDialog's training has not replaced them.

    The statistics of the batch norms are only in `published`: what was saved of the training are its parameters.
    DataError naming keys that are missing, of a kind that is not known, or of another shape.
    """
    published, trained = (
        {name: each for name, each in given.items() if not name.startswith(UNUSED)} for given in (published, trained)
    )
    raise_misfits(
        folder,
        {
            "unexpected_keys": [name for name in trained if name not in published],
            "mismatched_keys": [n for n in trained if n in published and trained[n].shape != published[n].shape],
        },
    )
    state = {_native(name): each for name, each in {**published, **trained}.items()}
    tower = BiovilTower(_config(state, folder), len(_get(state, "missing_previous_emb", folder)[0]))
    load_state_strictly(tower, state, folder, "image encoder")
    check_finite(tower, folder)
    return tower


def _native(name: str) -> str:
    """The name here of a key of the checkpoint; its own where none is known, to be named as unexpected."""
    if stem := _STEM.fullmatch(name):
        return f"resnet.embedder.embedder.{_KIND[stem[1]]}.{stem[2]}"
    if block := _BLOCK.fullmatch(name):
        stage, number, kind, place, shortcut, what = block.groups()
        part = f"layer.{int(place) - 1}.{_KIND[kind]}" if kind else f"shortcut.{_KIND[shortcut]}"
        return f"resnet.encoder.stages.{int(stage) - 1}.layers.{number}.{part}.{what}"
    if name in ("encoder.backbone_to_vit.weight", "encoder.missing_previous_emb"):
        return name.removeprefix("encoder.")
    return name


def _config(state: Mapping[str, Tensor], folder: Path) -> ResNetConfig:
    """The ResNet that the weights belong to: as many stages and blocks, as wide, as they are."""
    stages = "resnet.encoder.stages"
    blocks: dict[int, set[int]] = {}
    for name in state:
        if found := re.match(rf"{re.escape(stages)}\.(\d+)\.layers\.(\d+)\.", name):
            blocks.setdefault(int(found[1]), set()).add(int(found[2]))
    sizes = [
        len(_get(state, f"{stages}.{stage}.layers.0.layer.2.convolution.weight", folder)) for stage in sorted(blocks)
    ]
    return ResNetConfig(
        embedding_size=len(_get(state, "resnet.embedder.embedder.convolution.weight", folder)),
        hidden_sizes=sizes,
        depths=[len(blocks[stage]) for stage in sorted(blocks)],
        layer_type="bottleneck",
    )


def _get(state: Mapping[str, Tensor], name: str, folder: Path) -> Tensor:
    if name not in state:
        raise_misfits(folder, {"missing_keys": [name]})
    return state[name]


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file of torch.save; what a pickle asks for is not run. DataError: it holds other things, too."""
    if not path.is_file():
        raise DataError(f"{path.parent} has no {path.name}.", "Get the whole repository.")
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises what it meets: pickle, zip, runtime and OS errors
        reason = str(error).partition("\n")[0]
        raise DataError(f"{path} cannot be read as weights: {reason}", "Only tensors are read from it.") from error
    if not isinstance(content, dict) or not all(isinstance(each, Tensor) for each in content.values()):
        raise DataError(f"{path} is no table of tensors.")
    return content


def prepare(picture: Image.Image) -> Tensor:
    """A picture as the tower takes it: (3, 448, 448) float32, 0 to 1, darkest 0 and brightest 1 of the whole picture.

    The shorter side becomes 512 pixels; a square of 448 is cut out of the middle. What lies outside is not seen.
    """
    grey = np.asarray(picture.convert("L"), dtype=np.float64)
    grey -= grey.min()
    # A picture of one colour is all 0.
    grey = (grey / (grey.max() or 1.0) * 255).astype(np.uint8)
    stretched = Image.fromarray(grey)
    width, height = stretched.size
    short = min(width, height)
    size = (int(SHORT_SIDE * width / short), int(SHORT_SIDE * height / short))
    resized = stretched.resize(size, Image.Resampling.BILINEAR)
    # Halves to the even number, as torchvision's CenterCrop does.
    left, top = (round((side - CROP) / 2) for side in resized.size)
    cropped = np.asarray(resized.crop((left, top, left + CROP, top + CROP)), dtype=np.float32) / 255
    return torch.from_numpy(cropped).expand(3, CROP, CROP)
