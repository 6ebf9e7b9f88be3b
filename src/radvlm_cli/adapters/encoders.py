"""A picture and a text as the inputs of a model, for the families that `chat:` knows, and by the checkpoint's own
Processor for the others.

The Processor classes of Qwen-VL and InternVL cannot be made without torchvision, which their videos need. What they do
for one picture is little: the picture's place in the text becomes as many tokens as the picture has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from PIL.Image import Image

from radvlm_cli.adapters.generation import pad_left
from radvlm_cli.adapters.profile import Pixels
from radvlm_cli.errors import DataError

_UNKNOWN_COST = 1000
"""Tokens of a picture, where a Processor does not tell."""


class Inputs(NamedTuple):
    """What a batch is answered from."""

    tensors: Mapping[str, Any]
    """Keyword arguments of the model: input_ids (rows, length) padded on the left, attention_mask, pixel_values, ..."""
    seen: tuple[tuple[int, int] | None, ...]
    """Width and height of each picture as the model gets it, where its boxes are in pixels of that."""


class Encoder(Protocol):
    """How a family takes pictures."""

    placeholder: str
    """What the chat template puts where the picture is."""
    name: str
    """Of what prepares pictures; part of the identity."""

    def encode(self, texts: Sequence[str], images: Sequence[Image]) -> Inputs:
        """Rendered texts, each with one placeholder, and the picture of each (RGB)."""

    def tokens(self, size: tuple[int, int]) -> int:
        """How many tokens a picture of this width and height takes."""


def make_encoder(folder: Path, config: Any, tokenizer: Any, pixels: Pixels | None) -> Encoder:
    """The encoder of a checkpoint. DataError where its pictures cannot be prepared here."""
    kind = config.model_type
    if kind in ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe"):
        return _Qwen(_image_processor(folder), tokenizer, config, pixels)
    if kind == "internvl":
        return _InternVL(_image_processor(folder), tokenizer, config)
    return _ByProcessor(folder, tokenizer)


def _image_processor(folder: Path) -> Any:
    from transformers import AutoImageProcessor

    # Not whichever is installed: the two backends differ in the last bits, and one has to be the same everywhere.
    return _from_pretrained(AutoImageProcessor, folder, backend="pil")


def _from_pretrained(kind: Any, folder: Path, **options: Any) -> Any:
    try:
        return kind.from_pretrained(folder, local_files_only=True, trust_remote_code=False, **options)
    except ImportError as error:
        raise DataError(
            f"The pictures of {folder} cannot be prepared here: its processor needs a package that is not installed.",
            "pip install torchvision, or serve the model and ask it as endpoint:NAME",
        ) from error
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise DataError(f"The processor of {folder} cannot be loaded: {error}") from error


class _Own:
    """What the families without a Processor share: the text is expanded, tokenised and padded here."""

    def __init__(self, processor: Any, tokenizer: Any, config: Any) -> None:
        self.processor = processor
        self.tokenizer = tokenizer
        self.image_id: int = config.image_token_id
        self.placeholder = str(tokenizer.convert_ids_to_tokens(self.image_id))
        self.name = type(processor).__name__

    def _rows(self, texts: Sequence[str], pictures: Sequence[str]) -> dict[str, Any]:
        """Token ids of texts in which the placeholder stands for `pictures`."""
        expanded = [text.replace(self.placeholder, new) for text, new in zip(texts, pictures, strict=True)]
        rows = self.tokenizer(expanded, add_special_tokens=False)["input_ids"]
        padded = pad_left(rows, self.tokenizer.pad_token_id or 0)
        return {"input_ids": padded.rows, "attention_mask": padded.mask}


class _Qwen(_Own):
    """Qwen2-VL, Qwen2.5-VL and Qwen3-VL: a grid of patches, of which merge_size squared are one token."""

    def __init__(self, processor: Any, tokenizer: Any, config: Any, pixels: Pixels | None) -> None:
        super().__init__(processor, tokenizer, config)
        if pixels is not None:
            processor.size = {"shortest_edge": pixels.least, "longest_edge": pixels.most}

    def encode(self, texts: Sequence[str], images: Sequence[Image]) -> Inputs:
        """See Encoder."""
        found = self.processor(images=list(images), return_tensors="pt")
        grids = found["image_grid_thw"]
        counts = [int(grid.prod()) // self.processor.merge_size**2 for grid in grids]
        tensors = self._rows(texts, [self.placeholder * count for count in counts])
        tensors["mm_token_type_ids"] = (tensors["input_ids"] == self.image_id).int()
        patch = self.processor.patch_size
        seen = tuple((int(width) * patch, int(height) * patch) for _time, height, width in grids)
        return Inputs(tensors | {"pixel_values": found["pixel_values"], "image_grid_thw": grids}, seen)

    def tokens(self, size: tuple[int, int]) -> int:
        """See Encoder."""
        patches = self.processor.get_number_of_image_patches(size[1], size[0], {})
        return int(patches) // int(self.processor.merge_size**2)


class _InternVL(_Own):
    """InternVL: tiles, chosen by the picture's form, and a small copy of the whole."""

    def __init__(self, processor: Any, tokenizer: Any, config: Any) -> None:
        super().__init__(processor, tokenizer, config)
        self.per_tile: int = config.image_seq_length

    def encode(self, texts: Sequence[str], images: Sequence[Image]) -> Inputs:
        """See Encoder."""
        found = self.processor(images=list(images), crop_to_patches=True, return_tensors="pt")
        pictures = [f"<img>{self.placeholder * (self.per_tile * int(n))}</img>" for n in found["num_patches"]]
        tensors = self._rows(texts, pictures)
        return Inputs(tensors | {"pixel_values": found["pixel_values"]}, (None,) * len(images))

    def tokens(self, size: tuple[int, int]) -> int:
        """See Encoder."""
        tiles = self.processor.get_number_of_image_patches(size[1], size[0], {"crop_to_patches": True})
        return self.per_tile * int(tiles)


class _ByProcessor:
    """The checkpoint's own Processor class, as for Gemma 3 and Llava."""

    def __init__(self, folder: Path, tokenizer: Any) -> None:
        from transformers import AutoProcessor, ProcessorMixin

        processor = _from_pretrained(AutoProcessor, folder)
        if not isinstance(processor, ProcessorMixin) or getattr(processor, "image_processor", None) is None:
            raise DataError(f"{folder} has no processor for pictures.", "Get the checkpoint again, with all its files")
        processor.tokenizer.padding_side = "left"
        processor.tokenizer.pad_token = tokenizer.pad_token
        self.processor: Any = processor
        self.placeholder = str(getattr(processor, "image_token", "<image>"))
        self.name = type(processor.image_processor).__name__

    def encode(self, texts: Sequence[str], images: Sequence[Image]) -> Inputs:
        """See Encoder."""
        found = self.processor(
            text=list(texts),
            images=[[image] for image in images],
            padding=True,
            add_special_tokens=False,  # the template has put them
            return_tensors="pt",
        )
        tensors = {name: value for name, value in found.items() if isinstance(value, torch.Tensor)}
        return Inputs(tensors, (None,) * len(images))

    def tokens(self, size: tuple[int, int]) -> int:
        """See Encoder."""
        tell = getattr(self.processor, "_get_num_multimodal_tokens", None)
        if tell is None:
            return _UNKNOWN_COST
        return int(tell(image_sizes=[(size[1], size[0])])["num_image_tokens"][0])
