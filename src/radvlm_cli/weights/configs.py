"""The configuration files of a Hub folder, from an original config.json or from one that is in the Hub's form already.

They are written in the words of transformers 4.45 (`rope_theta`, `torch_dtype`, `image_token_index`), which 4.45 to
5.23 and vLLM read alike; `dtype` stands beside them for transformers 5.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

from radvlm_cli.errors import ConfigError, DataError

Config = dict[str, Any]

FOLDER = Path(__file__).parent
CHAT_TEMPLATE = (FOLDER / "chat_template.jinja").read_text(encoding="utf-8")
SO400M = FOLDER / "siglip-so400m-patch14-384.json"
"""The vision tower of every original checkpoint: the published encoder without its last layer and head."""

VISION_OVERRIDE = "_tiny_vision_config"
"""Key of an original config.json that replaces values of SO400M: a checkpoint with a tower of another size says so."""

CROP = 384
_IMAGE_PLACEHOLDER, _VIDEO_PLACEHOLDER = "<image>", "<video>"
_ORIGINAL_TYPES = ("llava_qwen", "llava", "qwen2")
_QWEN2_KEYS = (
    "attention_dropout",
    "bos_token_id",
    "hidden_act",
    "hidden_size",
    "initializer_range",
    "intermediate_size",
    "max_position_embeddings",
    "max_window_layers",
    "num_attention_heads",
    "num_hidden_layers",
    "num_key_value_heads",
    "rms_norm_eps",
    "rope_scaling",
    "rope_theta",
    "sliding_window",
    "use_cache",
    "use_sliding_window",
    "vocab_size",
)
_NEEDED = ("hidden_size", "intermediate_size", "num_attention_heads", "num_hidden_layers", "num_key_value_heads")
_SETTLED = {
    "mm_projector_type": ("mlp2x_gelu",),
    "mm_patch_merge_type": ("spatial_unpad",),
    "mm_resampler_type": (None,),
    "mm_use_im_start_end": (False, None),
    "mm_vision_select_feature": ("patch",),
    "hidden_act": ("silu",),
}
"""What transformers' classes compute. An original checkpoint that says something else would give other answers."""


def read_json(path: Path) -> Config:
    """A JSON object; DataError naming the file otherwise."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise DataError(f"{path} is not valid JSON: {error}.") from error
    if not isinstance(value, dict):
        raise DataError(f"{path} holds no JSON object.")
    return value


def hub_config(config: Mapping[str, Any], *, vision: Path | None, where: Path) -> Config:
    """config.json in the Hub's form, without the token ids and the type, which come from tokenizer and weights.

    `vision` is a JSON file that replaces values of the vision tower's configuration. `where` names the file in errors.
    """
    try:
        made = _from_hub(config) if config.get("model_type") == "llava_onevision" else _from_original(config, where)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{where}: {error} is missing or makes no sense.") from error
    if vision is not None:
        made["vision_config"] = _replace(made["vision_config"], read_json(vision), str(vision))
    text = made["text_config"]
    lacking = [name for name in _NEEDED if not isinstance(text.get(name), int)]
    if lacking or not isinstance(text.get("vocab_size"), int):
        raise DataError(f"{where} does not tell {', '.join(lacking or ['vocab_size'])} of the language model.")
    return made


def _from_original(config: Mapping[str, Any], where: Path) -> Config:
    kind = config.get("model_type")
    if kind not in _ORIGINAL_TYPES:
        raise DataError(
            f"{where} tells of a model of type {kind!r}; known are {', '.join(_ORIGINAL_TYPES)} and llava_onevision."
        )
    for name, known in _SETTLED.items():
        if name in config and config[name] not in known:
            raise DataError(
                f"{where}: {name} is {config[name]!r}, which transformers' LLaVA-OneVision does not compute."
            )
    aspect = config.get("image_aspect_ratio", "anyres_max_9")
    if not re.fullmatch(r"anyres_max_\d+", str(aspect)):
        raise DataError(f"{where}: image_aspect_ratio is {aspect!r}; LLaVA-OneVision takes anyres_max_9 and its like.")
    tower = read_json(SO400M)
    if VISION_OVERRIDE in config:
        tower = _replace(tower, config[VISION_OVERRIDE], f"{where}: {VISION_OVERRIDE}")
    tied = bool(config.get("tie_word_embeddings", False))
    return _assemble(config, tower, tied, config.get("image_grid_pinpoints"), str(aspect))


def _from_hub(config: Mapping[str, Any]) -> Config:
    """Also as transformers 5 writes it: `rope_parameters`, where 4 had `rope_theta` and `rope_scaling`."""
    text = dict(config["text_config"])
    rope = text.get("rope_parameters") or {}
    if "rope_theta" in rope:
        text["rope_theta"] = rope["rope_theta"]
    if rope.get("rope_type", "default") != "default":
        text["rope_scaling"] = {name: value for name, value in rope.items() if name != "rope_theta"}
    tower = _replace(read_json(SO400M), {k: v for k, v in config["vision_config"].items() if k in _vision_keys()}, "")
    tied = bool(config.get("tie_word_embeddings", False) or text.get("tie_word_embeddings", False))
    return _assemble(
        text, tower, tied, config.get("image_grid_pinpoints"), config.get("vision_aspect_ratio", "anyres_max_9")
    )


def _assemble(text: Mapping[str, Any], tower: Config, tied: bool, pinpoints: Any, aspect: str) -> Config:
    decoder = {name: text[name] for name in _QWEN2_KEYS if text.get(name) is not None}
    if not decoder.get("use_sliding_window"):
        decoder.pop("sliding_window", None)  # some readers take the number for the use
    return {
        "architectures": ["LlavaOnevisionForConditionalGeneration"],
        "model_type": "llava_onevision",
        "image_grid_pinpoints": _pinpoints(pinpoints),
        "multimodal_projector_bias": True,
        "projector_hidden_act": "gelu",
        "tie_word_embeddings": tied,
        "vision_aspect_ratio": aspect,
        "vision_feature_layer": -1,
        "vision_feature_select_strategy": "full",
        "text_config": {"model_type": "qwen2", **decoder, "tie_word_embeddings": tied},
        "vision_config": tower,
    }


def _pinpoints(given: Any) -> list[list[int]]:
    """[height, width] in pixels. Originals have them in full, or as the range `(1x1),...,(6x6)` in crops of 384."""
    if isinstance(given, str):
        ends = [int(number) for number in re.findall(r"\d+", given)]
        if not re.fullmatch(r"\(\d+x\d+\),\.\.\.,\(\d+x\d+\)", given):
            raise ValueError(f"image_grid_pinpoints {given!r}")
        rows, columns = range(ends[0], ends[2] + 1), range(ends[1], ends[3] + 1)
        return [[row * CROP, column * CROP] for row, column in product(rows, columns)]
    points = [[int(height), int(width)] for height, width in given]
    if not points:
        raise ValueError("image_grid_pinpoints")
    return points


def _vision_keys() -> frozenset[str]:
    return frozenset(read_json(SO400M))


def _replace(tower: Config, values: Mapping[str, Any], where: str) -> Config:
    unknown = sorted(set(values) - _vision_keys())
    if unknown:
        raise ConfigError(f"{where}: {unknown[0]!r} is no value of a SigLIP tower.", f"Known are {', '.join(tower)}")
    return {**tower, **values}


def finish_config(config: Config, *, dtype: str, image_id: int, video_id: int, end_id: int, pad_id: int) -> Config:
    """Add what tokenizer and weights decide: the type, and the ids of placeholders, end of turn and padding."""
    types = {"torch_dtype": dtype, "dtype": dtype}
    return {
        **config,
        "image_token_index": image_id,
        "video_token_index": video_id,
        "text_config": {**config["text_config"], "eos_token_id": end_id, "pad_token_id": pad_id, **types},
        "vision_config": {**config["vision_config"], **types},
        **types,
    }


def generation_config(*, end_ids: list[int], pad_id: int) -> Config:
    """Greedy unless told otherwise; an answer ends at the end of its turn or of the text."""
    return {"do_sample": False, "eos_token_id": end_ids, "pad_token_id": pad_id}


def preprocessor_config(config: Mapping[str, Any]) -> Config:
    """preprocessor_config.json: how pictures become tiles."""
    side = config["vision_config"]["image_size"]
    return {
        "image_processor_type": "LlavaOnevisionImageProcessor",
        "processor_class": "LlavaOnevisionProcessor",
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_pad": True,
        "do_rescale": True,
        "do_resize": True,
        "image_grid_pinpoints": config["image_grid_pinpoints"],
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "resample": 3,
        "rescale_factor": 1 / 255,
        "size": {"height": side, "width": side},
    }


def video_preprocessor_config(config: Mapping[str, Any]) -> Config:
    """video_preprocessor_config.json: the processor cannot be built without one, though no video is ever shown."""
    shared = preprocessor_config(config)
    left_out = ("image_processor_type", "image_grid_pinpoints", "do_pad")
    kept = {name: value for name, value in shared.items() if name not in left_out}
    return {"video_processor_type": "LlavaOnevisionVideoProcessor", **kept}


def processor_config(config: Mapping[str, Any]) -> Config:
    """processor_config.json: how many placeholders an image is."""
    tower = config["vision_config"]
    return {
        "processor_class": "LlavaOnevisionProcessor",
        "image_token": _IMAGE_PLACEHOLDER,
        "video_token": _VIDEO_PLACEHOLDER,
        "num_image_tokens": (tower["image_size"] // tower["patch_size"]) ** 2,
        "vision_aspect_ratio": config["vision_aspect_ratio"],
        "vision_feature_select_strategy": config["vision_feature_select_strategy"],
    }
