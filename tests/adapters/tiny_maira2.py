"""A tiny MAIRA-2 with random weights, file by file and name by name as the one on the hub."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors
from torch import Tensor

WIDTH, LAYERS, INNER, HEADS = 32, 2, 48, 2
SEEN, TOWER_LAYERS, TOWER_HEADS, SIDE, PATCH = 16, 2, 2, 28, 7
PATCHES = (SIDE // PATCH) ** 2
TEMPLATE = (
    "{% for message in messages %}{% if loop.first %}You are an expert radiology assistant tasked with interpreting a "
    "chest X-ray study. {% endif %}{% if message['role'] == 'user' %}USER: {% for part in message['content'] %}"
    "{% if part['type'] == 'text' %}{{ part['text'] }}{% else %}<image>{% endif %}{% endfor %} {% endif %}"
    "{% endfor %}{% if add_generation_prompt %}ASSISTANT: {% endif %}"
)


def write_tiny_maira2(folder: Path, *, seed: int = 0) -> Path:
    """Write configuration, preprocessing, tokenizer and two files of weights with their index into a new folder."""
    folder.mkdir(exist_ok=True)
    vocabulary, image = _write_tokenizer(folder)
    _write(folder / "config.json", _config(vocabulary, image))
    _write(
        folder / "preprocessor_config.json",
        {
            "crop_size": {"height": SIDE, "width": SIDE},
            "do_center_crop": True,
            "do_convert_rgb": True,
            "do_normalize": True,
            "do_rescale": True,
            "do_resize": True,
            "image_mean": [0.5307] * 3,
            "image_processor_type": "BitImageProcessor",
            "image_std": [0.2583] * 3,
            "processor_class": "Maira2Processor",
            "resample": 3,
            "rescale_factor": 0.00392156862745098,
            "size": {"shortest_edge": SIDE},
        },
    )
    weights = tiny_weights(vocabulary, seed=seed)
    parts = [{}, {}]  # type: list[dict[str, Tensor]]
    for number, (name, tensor) in enumerate(weights.items()):
        parts[number % 2][name] = tensor
    files = {
        f"model-{number}-of-00002.safetensors": part for number, part in zip(("00001", "00002"), parts, strict=True)
    }
    for name, part in files.items():
        save_file(part, folder / name, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": {name: file for file, part in files.items() for name in part}}
    _write(folder / "model.safetensors.index.json", index)
    return folder


def _write(path: Path, value: object) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


def _config(vocabulary: int, image: int) -> dict[str, object]:
    return {
        "architectures": ["Maira2ForConditionalGeneration"],
        "auto_map": {"AutoModelForCausalLM": "modeling_maira2.Maira2ForConditionalGeneration"},
        "hidden_size": WIDTH,
        "ignore_index": -100,
        "image_seq_length": 576,
        "image_token_index": image,
        "model_type": "maira2",
        "pad_token_id": 0,
        "projector_hidden_act": "gelu",
        "projector_n_layers": 4,
        "text_config": {
            "_name_or_path": "lmsys/vicuna-7b-v1.5",
            "architectures": ["LlamaForCausalLM"],
            "hidden_size": WIDTH,
            "intermediate_size": INNER,
            "max_position_embeddings": 4096,
            "model_type": "llama",
            "num_attention_heads": HEADS,
            "num_hidden_layers": LAYERS,
            "num_key_value_heads": HEADS,
            "pad_token_id": 0,
            "rms_norm_eps": 1e-5,
            "rope_scaling": {"factor": 1.5, "type": "linear"},
            "torch_dtype": "float32",
            "vocab_size": vocabulary,
        },
        "torch_dtype": "float32",
        "transformers_version": "4.46.0.dev0",
        "vision_config": {
            "apply_layernorm": True,
            "architectures": ["Dinov2Model"],
            "hidden_size": SEEN,
            "image_size": SIDE,
            "layer_norm_eps": 1e-6,
            "mlp_ratio": 4,
            "model_type": "dinov2",
            "num_attention_heads": TOWER_HEADS,
            "num_hidden_layers": TOWER_LAYERS,
            "out_features": [f"stage{TOWER_LAYERS}"],
            "out_indices": [TOWER_LAYERS],
            "patch_size": PATCH,
            "reshape_hidden_states": False,
            "stage_names": ["stem", *(f"stage{number}" for number in range(1, TOWER_LAYERS + 1))],
            "torch_dtype": "float32",
            "use_swiglu_ffn": False,
        },
        "vision_feature_layer": -1,
        "vision_feature_select_strategy": "default",
    }


def tiny_weights(vocabulary: int, *, seed: int = 0) -> dict[str, Tensor]:
    """Weights by their names on the hub."""
    maker = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(shape, generator=maker) * 0.3 + (1 if "norm" in name and name.endswith("weight") else 0)
        for name, shape in {**_language(vocabulary), **_seeing()}.items()
    }


def _language(vocabulary: int) -> dict[str, tuple[int, ...]]:
    model = "language_model.model"
    shapes: dict[str, tuple[int, ...]] = {
        f"{model}.embed_tokens.weight": (vocabulary, WIDTH),
        f"{model}.norm.weight": (WIDTH,),
        "language_model.lm_head.weight": (vocabulary, WIDTH),
    }
    for number in range(LAYERS):
        layer = f"{model}.layers.{number}"
        for part in ("q_proj", "k_proj", "v_proj", "o_proj"):
            shapes[f"{layer}.self_attn.{part}.weight"] = (WIDTH, WIDTH)
        for part in ("gate_proj", "up_proj"):
            shapes[f"{layer}.mlp.{part}.weight"] = (INNER, WIDTH)
        shapes[f"{layer}.mlp.down_proj.weight"] = (WIDTH, INNER)
        for part in ("input_layernorm", "post_attention_layernorm"):
            shapes[f"{layer}.{part}.weight"] = (WIDTH,)
    return shapes


def _seeing() -> dict[str, tuple[int, ...]]:
    tower, projector = "vision_tower", "multi_modal_projector.layers"
    shapes: dict[str, tuple[int, ...]] = {
        f"{tower}.embeddings.cls_token": (1, 1, SEEN),
        f"{tower}.embeddings.mask_token": (1, SEEN),
        f"{tower}.embeddings.position_embeddings": (1, PATCHES + 1, SEEN),
        f"{tower}.embeddings.patch_embeddings.projection.weight": (SEEN, 3, PATCH, PATCH),
        f"{tower}.embeddings.patch_embeddings.projection.bias": (SEEN,),
    }
    for number in range(TOWER_LAYERS):
        layer = f"{tower}.encoder.layer.{number}"
        for part in ("query", "key", "value"):
            shapes |= _biased(f"{layer}.attention.attention.{part}", SEEN, SEEN)
        shapes |= _biased(f"{layer}.attention.output.dense", SEEN, SEEN)
        shapes |= _biased(f"{layer}.mlp.fc1", 4 * SEEN, SEEN) | _biased(f"{layer}.mlp.fc2", SEEN, 4 * SEEN)
        for part in ("norm1", "norm2"):
            shapes |= {f"{layer}.{part}.weight": (SEEN,), f"{layer}.{part}.bias": (SEEN,)}
        for part in ("layer_scale1", "layer_scale2"):
            shapes[f"{layer}.{part}.lambda1"] = (SEEN,)
    shapes |= {f"{tower}.layernorm.weight": (SEEN,), f"{tower}.layernorm.bias": (SEEN,)}
    for number in (0, 2, 4, 6):
        shapes |= _biased(f"{projector}.{number}", WIDTH, WIDTH if number else SEEN)
    return shapes


def _biased(name: str, out: int, into: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (out, into), f"{name}.bias": (out,)}


def _write_tokenizer(folder: Path) -> tuple[int, int]:
    """A tokenizer of Llama's kind, the box tokens added; return how many tokens there are and the image's id."""
    letters = ["▁", *"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:-_'/()"]
    words = ["▁t", "he", "▁the", "▁the", "in"]
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    vocabulary = {
        token: i for i, token in enumerate(dict.fromkeys(["<unk>", "<s>", "</s>", *bytes_, *letters, *words]))
    }
    merges = [("▁", "t"), ("h", "e"), ("▁t", "he"), ("i", "n")]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in ("<unk>", "<s>", "</s>")])
    places = [f"<{axis}{number}>" for axis in "xy" for number in range(100)]
    names = ["<obj>", "</obj>", "<box>", "</box>", *places, "<image>"]
    tokenizer.add_tokens([AddedToken(token, normalized=False, special=False) for token in names])
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "add_bos_token": True,
        "add_eos_token": False,
        "bos_token": "<s>",
        "chat_template": TEMPLATE,
        "eos_token": "</s>",
        "legacy": False,
        "pad_token": "<unk>",
        "padding_side": "left",
        "processor_class": "Maira2Processor",
        "tokenizer_class": "LlamaTokenizer",
        "unk_token": "<unk>",
        "use_default_system_prompt": False,
    }
    _write(folder / "tokenizer_config.json", config)
    return tokenizer.get_vocab_size(), tokenizer.token_to_id("<image>")
