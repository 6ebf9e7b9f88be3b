"""RaDialog in small: three repositories with the published files and names, and random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tests.adapters.hub_layout import (
    Shapes,
    language_shapes,
    projector_shapes,
    random_weights,
    tokenizer_model,
    vocabulary,
    write_index,
    write_json,
)

WIDTH = 24
RANK, ALPHA = 4, 8
DEPTHS = (2, 1, 2, 1)
SIZES = (8, 16, 24, 32)
HALF = 6
"""Numbers of each half of what describes a place."""
ADAPTED = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class Repositories(NamedTuple):
    """Folders, in the order of the card's weights."""

    base: Path
    trained: Path
    biovil: Path


def base_config() -> dict[str, Any]:
    """config.json of LLaVA-1.5 as published, but for its sizes."""
    return {
        "_name_or_path": "llava-v1.5-7b",
        "architectures": ["LlavaLlamaForCausalLM"],
        "bos_token_id": 1,
        "eos_token_id": 2,
        "hidden_act": "silu",
        "hidden_size": WIDTH,
        "image_aspect_ratio": "pad",
        "intermediate_size": 32,
        "max_position_embeddings": 4096,
        "mm_hidden_size": 1024,
        "mm_projector_type": "mlp2x_gelu",
        "mm_vision_tower": "openai/clip-vit-large-patch14-336",
        "model_type": "llava",
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "num_key_value_heads": 4,
        "pad_token_id": 0,
        "pretraining_tp": 1,
        "rms_norm_eps": 1e-05,
        "rope_scaling": None,
        "tie_word_embeddings": False,
        "torch_dtype": "float16",
        "vocab_size": vocabulary(),
    }


def write_radialog(place: Path, *, seed: int = 0) -> Repositories:
    """Write the three repositories into `place`."""
    folders = Repositories(place / "llava-v1.5-7b", place / "RaDialog", place / "BiomedVLP-BioViL-T")
    for folder in folders:
        folder.mkdir(exist_ok=True)
    _write_base(folders.base, seed)
    _write_trained(folders.trained, seed + 1)
    biovil = random_weights(tower_shapes(), seed + 2, torch.float32)
    counts = {n.replace("running_var", "num_batches_tracked"): torch.tensor(7) for n in biovil if "running_var" in n}
    torch.save(biovil | counts, folders.biovil / "biovil_t_image_model_proj_size_128.pt")
    return folders


def _write_base(folder: Path, seed: int) -> None:
    # The projector of LLaVA-1.5 has the width of CLIP; nothing here takes it.
    weights = random_weights(language_shapes(base_config()) | projector_shapes(1024, WIDTH), seed, torch.float16)
    weights["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(3)
    names = sorted(weights)
    halves = {
        "pytorch_model-00001-of-00002.bin": names[: len(names) // 2],
        "pytorch_model-00002-of-00002.bin": names[len(names) // 2 :],
    }
    for file, tensors in halves.items():
        torch.save({name: weights[name] for name in tensors}, folder / file)
    write_index(folder, "pytorch_model.bin.index.json", halves)
    write_json(folder / "config.json", base_config())
    write_json(folder / "tokenizer_config.json", {"legacy": False, "tokenizer_class": "LlamaTokenizer"})
    (folder / "tokenizer.model").write_bytes(tokenizer_model())


def _write_trained(folder: Path, seed: int) -> None:
    shapes: Shapes = {}
    for name, (rows, columns) in (each for each in language_shapes(base_config()).items() if len(each[1]) == 2):
        if name.split(".")[-2] in ADAPTED:
            stem = "base_model.model." + name.removesuffix(".weight")
            shapes |= {f"{stem}.lora_A.weight": (RANK, columns), f"{stem}.lora_B.weight": (rows, RANK)}
    torch.save(random_weights(shapes, seed), folder / "adapter_model.bin")
    config = {
        "base_model_name_or_path": "liuhaotian/llava-v1.5-7b",
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "layers_pattern": None,
        "layers_to_transform": None,
        "lora_alpha": ALPHA,
        "lora_dropout": 0.05,
        "modules_to_save": None,
        "peft_type": "LORA",
        "r": RANK,
        "revision": None,
        "target_modules": list(ADAPTED),
        "task_type": "CAUSAL_LM",
    }
    write_json(folder / "adapter_config.json", config)
    torch.save(trained_weights(seed + 10), folder / "non_lora_trainables.bin")


def trained_weights(seed: int) -> dict[str, Tensor]:
    """What was trained besides LoRA: the projector, and the parameters of the tower; statistics are no parameters."""
    tower = {f"model.vision_tower.{n}": shape for n, shape in tower_shapes().items() if "running_" not in n}
    weights = random_weights(projector_shapes(2 * HALF, WIDTH) | tower, seed)
    return {f"base_model.model.{name}": each for name, each in weights.items()}


def tower_shapes() -> Shapes:
    """BioViL-T's image model, small: torchvision's ResNet with bottlenecks, and what stands behind it."""
    resnet = "encoder.encoder"
    shapes: Shapes = {f"{resnet}.conv1.weight": (4, 3, 7, 7), **_norm(f"{resnet}.bn1", 4)}
    into = 4
    for stage, (depth, size) in enumerate(zip(DEPTHS, SIZES, strict=True), 1):
        for number in range(depth):
            block, inner = f"{resnet}.layer{stage}.{number}", size // 4
            kernels = {1: (inner, into, 1, 1), 2: (inner, inner, 3, 3), 3: (size, inner, 1, 1)}
            for place, kernel in kernels.items():
                shapes |= {f"{block}.conv{place}.weight": kernel, **_norm(f"{block}.bn{place}", kernel[0])}
            if number == 0:
                shapes |= {f"{block}.downsample.0.weight": (size, into, 1, 1), **_norm(f"{block}.downsample.1", size)}
            into = size
    shapes |= {
        f"{resnet}.fc.weight": (10, into),
        f"{resnet}.fc.bias": (10,),
        "encoder.backbone_to_vit.weight": (HALF, into, 1, 1),
        "encoder.missing_previous_emb": (1, HALF, 1, 1),
        "encoder.vit_pooler.type_embed": (2, 1, HALF),
        "encoder.vit_pooler.norm_post.weight": (HALF,),
        "projector.model.0.weight": (8, 2 * HALF, 1, 1),
    }
    return shapes


def _norm(name: str, size: int) -> Shapes:
    return {f"{name}.{part}": (size,) for part in ("weight", "bias", "running_mean", "running_var")}
