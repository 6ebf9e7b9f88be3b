"""CheXagent-2 as transformers has its parts: Phi, SigLIP, and a resampler that works on each patch by itself.

The checkpoint's own code runs under transformers 4.40 only, and made to run under later ones it leaves out the image
without a word. Here the modules have the names of the checkpoint's weights, so that it loads as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from torch import Tensor, nn
from transformers import CodeGenTokenizer, PhiConfig, PhiForCausalLM, SiglipVisionConfig, SiglipVisionModel

from radvlm_cli.adapters.computing import described
from radvlm_cli.adapters.generation import Generated, pad_left
from radvlm_cli.adapters.json_files import read_config_file
from radvlm_cli.adapters.loading import load_strictly
from radvlm_cli.adapters.one_question import OneQuestionAdapter, only_turn
from radvlm_cli.adapters.pictures import described_reading
from radvlm_cli.adapters.protocol import Loading, Request
from radvlm_cli.errors import DataError

_TOWER = "model.visual.model."
_KEYS = {r"^model\.visual\.model\.vision_model\.": _TOWER}
"""transformers between 4.40 and 5 wrote the tower's weights with one more level."""
_HEAD_WIDTH = 64
"""Of the tower's attention: neither a weight nor the configuration tells it."""
_BEFORE = "<|system|>\nYou are a helpful assistant.<|endoftext|>\n<|user|>\nPicture 1:"
_AFTER = "<|endoftext|>\n<|assistant|>\n"
_TAGS = ("<|img|>", "<|imgpad|>", "<|/img|>")


class CheXagentConfig(PhiConfig):  # type: ignore[no-untyped-call]
    """Phi's configuration with the tower's in it, so that both get the same kind of attention."""

    model_type = "chexagent"
    sub_configs = {"vision_config": SiglipVisionConfig}  # noqa: RUF012 - as in transformers


class Visual(nn.Module):
    """The tower and the resampler, which keeps the number of tokens."""

    def __init__(self, tower: Any, width: int) -> None:
        super().__init__()
        patches = (tower.image_size // tower.patch_size) ** 2
        self.model = SiglipVisionModel(tower)
        self.pos_embed = nn.Parameter(torch.empty(patches, tower.hidden_size))
        self.attn_pool = nn.Sequential(nn.Linear(tower.hidden_size, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.ln_post = nn.LayerNorm(width, eps=1e-6)
        self.proj = nn.Parameter(torch.empty(width, width))

    def forward(self, pixels: Tensor) -> Tensor:
        """(images, 3, side, side) -> (images, patches, width), as the language model's embeddings."""
        # What the last layer gives, without the tower's own last norm; that and the pooling head play no part here.
        seen = self.model.encoder(inputs_embeds=self.model.embeddings(pixels)).last_hidden_state
        made: Tensor = self.ln_post(self.attn_pool(seen + self.pos_embed)) @ self.proj
        return made


class CheXagentForCausalLM(PhiForCausalLM):  # type: ignore[no-untyped-call]
    """Phi with `model.visual` beside its layers. Takes embeddings in which the image already is."""

    config_class = CheXagentConfig

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.model.visual = Visual(config.vision_config, config.hidden_size)
        self.post_init()  # type: ignore[no-untyped-call]


def read_config(folder: Path) -> Any:
    """The configuration of a checkpoint, the tower's sizes taken from the shapes of its weights.

    DataError: it is no CheXagent-2, or a weight that tells a size is missing.
    """
    raw = read_config_file(folder, "CheXagent-2")
    try:
        visual = raw["visual"]
        stated = (visual["image_size"], visual["output_dim"])
    except (KeyError, TypeError) as error:
        raise DataError(f"{folder} holds no CheXagent-2: its config.json has no usable `visual`.") from error
    tower: Any = _tower_config(folder)
    config: Any = CheXagentConfig(**{k: v for k, v in raw.items() if k not in ("model_type", "auto_map", "visual")})
    if stated != (tower.image_size, config.hidden_size):
        raise DataError(
            f"{folder}: `visual` in config.json says {stated} for image_size and output_dim, "
            f"the weights and hidden_size say {(tower.image_size, config.hidden_size)}."
        )
    config.vision_config = tower
    return config


def _tower_config(folder: Path) -> SiglipVisionConfig:
    shapes = {name.replace(".vision_model.", "."): shape for name, shape in _shapes(folder).items()}
    try:
        width, channels, patch, _ = shapes[_TOWER + "embeddings.patch_embedding.weight"]
        positions, _ = shapes[_TOWER + "embeddings.position_embedding.weight"]
        inner, _ = shapes[_TOWER + "encoder.layers.0.mlp.fc1.weight"]
    except KeyError as error:
        raise DataError(f"The weights in {folder} do not fit the model. 1 missing keys: {error.args[0]}") from error
    layers = _TOWER + "encoder.layers."
    config: Any = SiglipVisionConfig
    made: SiglipVisionConfig = config(
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=len({name.removeprefix(layers).split(".")[0] for name in shapes if name.startswith(layers)}),
        num_attention_heads=max(1, width // _HEAD_WIDTH),
        num_channels=channels,
        patch_size=patch,
        image_size=round(positions**0.5) * patch,
    )
    return made


def _shapes(folder: Path) -> Mapping[str, list[int]]:
    """Weight -> shape, from the headers of the folder's safetensors files."""
    shapes: dict[str, list[int]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            shapes.update((name, file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118 - no mapping
    return shapes


class CheXagentAdapter(OneQuestionAdapter):
    """CheXagent-2, loaded."""

    def __init__(self, loading: Loading) -> None:
        folder = loading.weights[0]
        config = read_config(folder)
        model = load_strictly(CheXagentForCausalLM, folder, loading, config=config, key_mapping=_KEYS)
        tokenizer: Any = CodeGenTokenizer
        super().__init__(model, tokenizer.from_pretrained(folder, local_files_only=True))
        self.side: int = config.vision_config.image_size
        self._image = self._image_ids(folder)
        # The published evaluation cut off the last token, whether or not it was the end.
        self._drops_last = loading.protocol == "paper"
        self._before, self._after = self._ids(_BEFORE), self._ids(_AFTER)
        self.identity = {
            **described(model),
            **described_reading(),
            "image": f"squashed to {self.side} x {self.side}, bicubic, mean and deviation 0.5",
            "template": _BEFORE + "".join(_TAGS) + "\nTEXT" + _AFTER,
            "drops_last_token": self._drops_last,
        }

    def _image_ids(self, folder: Path) -> list[int]:
        known = self.tokenizer.get_vocab()
        lacking = [tag for tag in _TAGS if tag not in known]
        if lacking:
            raise DataError(f"The tokenizer in {folder} lacks {', '.join(lacking)}.")
        start, pad, end = (known[tag] for tag in _TAGS)
        return [start, *[pad] * len(self.model.model.visual.pos_embed), end]

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def row(self, request: Request) -> list[int]:
        """Token ids; see OneQuestionAdapter."""
        # Added tokens cut a text for the tokenizer, so what lies between them can be encoded by itself.
        text = "\n" + self.spelled_out(only_turn(request, "CheXagent-2"))
        return [*self._before, *self._image, *self._ids(text), *self._after]

    def pixels(self, picture: Image.Image) -> Tensor:
        """The whole picture, squashed to a square; values -1 to 1."""
        small = picture.convert("RGB").resize((self.side, self.side), Image.Resampling.BICUBIC)
        return torch.from_numpy(np.asarray(small, dtype=np.float32) / 127.5 - 1).permute(2, 0, 1)

    def inputs(self, rows: Sequence[Sequence[int]], pixels: Tensor) -> dict[str, Tensor]:
        """Embeddings with the image in its place; see OneQuestionAdapter."""
        start = len(self._before) + 1
        with torch.inference_mode():
            table = self.model.get_input_embeddings()
            embedded = [table(torch.tensor(row, device=pixels.device)) for row in rows]
            for row, seen in zip(embedded, self.model.model.visual(pixels), strict=True):
                row[start : start + len(seen)] = seen
            padded = pad_left(embedded)
        return {"inputs_embeds": padded.rows, "attention_mask": padded.mask}

    def continued(self, rows: Sequence[Sequence[int]], pixels: Tensor, most: int) -> list[Generated]:
        """Generated tokens; see OneQuestionAdapter."""
        made = super().continued(rows, pixels, most)
        return [each._replace(ids=each.ids[:-1]) if self._drops_last and each.truncated else each for each in made]
