"""MAIRA-2 as transformers has its parts: Llava with a DINOv2 backbone and a projector of four layers.

The checkpoint's own code is for the layout that Llava had in transformers 4.51. A subclass loses the renaming of keys
that transformers does for Llava itself, without which the language model would come up random: it is given here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from transformers import (
    Dinov2Backbone,
    Dinov2Config,
    LlamaConfig,
    LlamaModel,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaModel,
    PreTrainedTokenizerFast,
)
from transformers.activations import ACT2FN
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.models.llava.modeling_llava import LlavaPreTrainedModel

from radvlm_cli.adapters.computing import described
from radvlm_cli.adapters.generation import pad_left
from radvlm_cli.adapters.json_files import read_config_file, read_object
from radvlm_cli.adapters.loading import load_strictly
from radvlm_cli.adapters.one_question import OneQuestionAdapter, only_turn
from radvlm_cli.adapters.pictures import described_reading
from radvlm_cli.adapters.protocol import Loading, Request
from radvlm_cli.errors import DataError

_KEYS = {
    r"^language_model\.model\.": "model.language_model.",
    r"^language_model\.lm_head\.": "lm_head.",
    r"^vision_tower\.": "model.vision_tower.",
    r"^multi_modal_projector\.": "model.multi_modal_projector.",
}
_NEEDED = ("text_config", "vision_config", "projector_n_layers", "image_token_index")
"""Of config.json."""
_IMAGE = "<image>"
_REPORT = "Given the current frontal image only"
_GROUNDING = "Given the current frontal image"


class Maira2Config(LlavaConfig):  # type: ignore[no-untyped-call]
    """Llava's configuration and the number of the projector's layers."""

    model_type = "maira2"


class Projector(nn.Module):
    """Linear layers with the activation between them, named as in the checkpoint."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        width = config.text_config.hidden_size
        layers: list[nn.Module] = [nn.Linear(config.vision_config.hidden_size, width)]
        for _ in range(config.projector_n_layers - 1):
            layers += [ACT2FN[config.projector_hidden_act], nn.Linear(width, width)]
        self.layers = nn.Sequential(*layers)

    def forward(self, seen: Tensor) -> Tensor:
        """(images, patches, vision width) -> (images, patches, text width)."""
        made: Tensor = self.layers(seen)
        return made


class Maira2Model(LlavaModel):  # type: ignore[no-untyped-call]
    """Llava's model with the other tower and projector."""

    config_class = Maira2Config

    def __init__(self, config: Any) -> None:
        LlavaPreTrainedModel.__init__(self, config)
        self.vision_tower = Dinov2Backbone(config.vision_config)
        self.multi_modal_projector: Any = Projector(config)
        self.language_model = LlamaModel(config.text_config)
        self.post_init()  # type: ignore[no-untyped-call]

    def get_image_features(self, pixel_values: Tensor, **_options: Any) -> Any:
        """The patches' features, as LlavaModel.forward takes them: `pooler_output`, one (patches, width) an image."""
        # Feature maps have the backbone's last norm applied, hidden states have not. The first place is no patch.
        seen = self.vision_tower(pixel_values).feature_maps[-1][:, 1:]
        output: Any = BaseModelOutputWithPooling
        return output(pooler_output=list(self.multi_modal_projector(seen)))


class Maira2ForConditionalGeneration(LlavaForConditionalGeneration):  # type: ignore[no-untyped-call]
    """Llava's outer model around Maira2Model."""

    config_class = Maira2Config

    def __init__(self, config: Any) -> None:
        LlavaPreTrainedModel.__init__(self, config)
        self.model = Maira2Model(config)
        self.lm_head = nn.Linear(config.text_config.hidden_size, config.text_config.vocab_size, bias=False)
        self.post_init()  # type: ignore[no-untyped-call]


def read_config(folder: Path) -> Any:
    """The configuration of a checkpoint. DataError: it is no MAIRA-2, or takes other features than this code does."""
    raw = read_config_file(folder, "MAIRA-2", _NEEDED)
    taken = (raw.get("vision_feature_layer", -1), raw.get("vision_feature_select_strategy", "default"))
    if taken != (-1, "default"):
        raise DataError(f"{folder}: features {taken} are not those of MAIRA-2, (-1, 'default').")
    # Named one by one: the type of the outer configuration is one that transformers does not know.
    text: Any = LlamaConfig(**_without_type(raw["text_config"]))
    vision: Any = Dinov2Config(**_without_type(raw["vision_config"]))
    # As the tower is read here, whatever the defaults of the library are: one map, with its norm, places in a row.
    if len(vision.out_features) != 1 or not vision.apply_layernorm:
        raise DataError(f"{folder}: the tower gives {vision.out_features}, not the normed last layer alone.")
    vision.reshape_hidden_states = False
    config: Any = Maira2Config(
        text_config=text,
        vision_config=vision,
        image_token_index=raw["image_token_index"],
        projector_hidden_act=raw.get("projector_hidden_act", "gelu"),
        vision_feature_layer=-1,
    )
    config.projector_n_layers = raw["projector_n_layers"]
    return config


def _without_type(raw: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in raw.items() if name not in ("model_type", "_name_or_path", "architectures")}


class Preprocessing(NamedTuple):
    """How a picture becomes what the model sees."""

    side: int
    """Of the square that is cut from the middle, pixels."""
    mean: float
    deviation: float

    @classmethod
    def read(cls, folder: Path, side: int) -> Preprocessing:
        """From preprocessor_config.json. DataError: it is not there, or its size is not the tower's `side`."""
        path = folder / "preprocessor_config.json"
        raw = read_object(path)
        try:
            sizes = {raw["size"]["shortest_edge"], raw["crop_size"]["height"], raw["crop_size"]["width"]}
            made = cls(side, float(raw["image_mean"][0]), float(raw["image_std"][0]))
        except (KeyError, TypeError, IndexError) as error:
            raise DataError(f"{path} says nothing of {error}.") from error
        if sizes != {side}:
            raise DataError(f"{path}: sizes {sorted(sizes)} are not the tower's, {side}.")
        return made

    def __call__(self, picture: Image.Image) -> Tensor:
        """Grey, darkest to brightest over the whole range, shortest edge to `side`, middle square: (3, side, side)."""
        grey = np.asarray(picture.convert("L"), dtype=np.float64)
        grey = grey - grey.min()
        # A picture of one value has no range; it stays black.
        grey = grey / (grey.max() or 1) * 255
        width, height = picture.size
        short = min(width, height)
        size = (self.side * width // short, self.side * height // short)
        resized = Image.fromarray(grey.astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)
        left, top = (size[0] - self.side) // 2, (size[1] - self.side) // 2
        square = resized.crop((left, top, left + self.side, top + self.side))
        values = (np.asarray(square, dtype=np.float32) / 255 - self.mean) / self.deviation
        return torch.from_numpy(values.astype(np.float32)).expand(3, -1, -1)


def _tokenizer(folder: Path) -> Any:
    """The tokenizer as tokenizer.json has it. transformers' own LlamaTokenizer puts no space after an added token."""
    if not (folder / "tokenizer.json").is_file():
        raise DataError(f"{folder} has no tokenizer.json.")
    loader: Any = PreTrainedTokenizerFast
    tokenizer = loader.from_pretrained(folder, local_files_only=True)
    beside = folder / "chat_template.json"
    if not tokenizer.chat_template and beside.is_file():
        # Where processors have theirs; to the tokenizer it is no file of its own.
        tokenizer.chat_template = read_object(beside).get("chat_template")
    if not tokenizer.chat_template:
        raise DataError(f"{folder} has no chat template.", "Get chat_template.json, or the whole checkpoint again.")
    return tokenizer


class Maira2Adapter(OneQuestionAdapter):
    """MAIRA-2, loaded."""

    def __init__(self, loading: Loading) -> None:
        folder = loading.weights[0]
        config = read_config(folder)
        model = load_strictly(Maira2ForConditionalGeneration, folder, loading, config=config, key_mapping=_KEYS)
        super().__init__(model, _tokenizer(folder))
        if self.tokenizer.convert_tokens_to_ids(_IMAGE) != config.image_token_index:
            raise DataError(f"The tokenizer in {folder} does not have {_IMAGE} as token {config.image_token_index}.")
        self.pixels_of = Preprocessing.read(folder, config.vision_config.image_size)
        self._patches = (config.vision_config.image_size // config.vision_config.patch_size) ** 2
        self.identity = {
            **described(model),
            **described_reading(),
            "image": "grey, stretched to its range, shortest edge resized bicubic, middle square cut out, "
            + ", ".join(f"{name} {value}" for name, value in self.pixels_of._asdict().items()),
            "template": self.tokenizer.chat_template,
        }

    def pixels(self, picture: Image.Image) -> Tensor:
        """The middle square; see Preprocessing."""
        return self.pixels_of(picture)

    def row(self, request: Request) -> list[int]:
        """Token ids; see OneQuestionAdapter."""
        before = _REPORT if request.task == "report" else _GROUNDING
        text = " " + self.spelled_out(only_turn(request, "MAIRA-2"))
        content = [{"type": "text", "text": before}, {"type": "image", "index": 0}, {"type": "text", "text": text}]
        rendered = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        ids = self.tokenizer(rendered)["input_ids"]
        image = self.model.config.image_token_index
        place = ids.index(image)
        return [*ids[:place], *[image] * self._patches, *ids[place + 1 :]]

    def inputs(self, rows: Sequence[Sequence[int]], pixels: Tensor) -> dict[str, Tensor]:
        """Token ids and pictures; see OneQuestionAdapter."""
        padded = pad_left(rows, self.tokenizer.eos_token_id)
        return {
            "input_ids": padded.rows.to(pixels.device),
            "attention_mask": padded.mask.to(pixels.device),
            "pixel_values": pixels,
        }
