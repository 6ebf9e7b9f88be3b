"""Tiny random checkpoints of the families that `chat:` knows, with their files as a hub repository has them.

The chat templates have the families' form (turn markers, place of the picture, what a system turn becomes); they are
written anew here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForImageTextToText, PretrainedConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

_TEXTS = ["Describe this X-ray", "Where is the right lung?", "You are an expert radiologist.", "There is no effusion."]
_SMALL = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}

CHATML = """{%- if messages[0].role != 'system' and default_system -%}
{{ '<|im_start|>system\\n' + default_system + '<|im_end|>\\n' }}
{%- endif -%}
{%- for message in messages -%}
{{ '<|im_start|>' + message.role + '\\n' }}
{%- for part in message.content -%}
{%- if part.type == 'image' -%}{{ picture }}{%- else -%}{{ part.text }}{%- endif -%}
{%- endfor -%}
{{ '<|im_end|>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}
"""
GEMMA = """{{ bos_token }}
{%- set told = namespace(system='') -%}
{%- for message in messages -%}
{%- if message.role == 'system' -%}{%- set told.system = message.content[0].text + '\\n\\n' -%}
{%- else -%}
{{ '<start_of_turn>' + ('model' if message.role == 'assistant' else 'user') + '\\n' + told.system }}
{%- set told.system = '' -%}
{%- for part in message.content -%}
{%- if part.type == 'image' -%}{{ '<start_of_image>' }}{%- else -%}{{ part.text | trim }}{%- endif -%}
{%- endfor -%}
{{ '<end_of_turn>\\n' }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<start_of_turn>model\\n' }}{%- endif -%}
"""


def _chatml(picture: str, default_system: str = "") -> str:
    head = f"{{%- set picture = {picture!r} -%}}{{%- set default_system = {default_system!r} -%}}"
    return head + CHATML


def _tokenizer(folder: Path, special: Sequence[str], template: str, **config: Any) -> dict[str, int]:
    """Byte-level BPE with special tokens; returns each token's id."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(_TEXTS * 3, trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in special])
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "padding_side": "right", **config}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "chat_template.jinja").write_text(template)
    ids: dict[str, int] = tokenizer.get_vocab()
    return ids


def _write(folder: Path, kind: str, config: dict[str, Any], *, end: Sequence[int], seed: int, **files: Any) -> Path:
    """Weights in the layout of the hub, and the JSON files beside them."""
    made: PretrainedConfig = CONFIG_MAPPING[kind](**config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForImageTextToText.from_config(made)
        for name, weights in model.named_parameters():
            if weights.dim() > 1:  # initial weights are so small that every text is answered alike
                torch.nn.init.normal_(weights, std=0.25)
            assert weights.isfinite().all(), name
    model.generation_config.eos_token_id = list(end)
    model.save_pretrained(folder)
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def write_qwen(folder: Path, kind: str, *, seed: int = 0) -> Path:
    """Qwen2.5-VL (`qwen2_5_vl`) or Qwen3-VL (`qwen3_vl`)."""
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>"]
    special.append("<|video_pad|>")
    new = kind == "qwen3_vl"
    picture = "<|vision_start|><|image_pad|><|vision_end|>"
    template = _chatml(picture, "" if new else "You are a helpful assistant.")
    tokens = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    ids = _tokenizer(folder, special, template, processor_class="Qwen2_5_VLProcessor", **tokens)
    text = {**_SMALL, "vocab_size": len(ids), "tie_word_embeddings": False, "max_position_embeddings": 2048}
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0}
    vision: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 24, "num_heads": 2, "depth": 2}
    if new:
        text |= {"head_dim": 8, "rope_parameters": rope | {"mrope_interleaved": True}}
        vision |= {"patch_size": 16, "out_hidden_size": 32, "num_position_embeddings": 64}
        vision["deepstack_visual_indexes"] = [0]
    else:
        text |= {"rope_parameters": rope}
        vision |= {"patch_size": 14, "out_hidden_size": 32, "window_size": 56, "fullatt_block_indexes": [1]}
    config = {
        "text_config": text,
        "vision_config": vision,
        "image_token_id": ids["<|image_pad|>"],
        "video_token_id": ids["<|video_pad|>"],
        "vision_start_token_id": ids["<|vision_start|>"],
        "vision_end_token_id": ids["<|vision_end|>"],
        "tie_word_embeddings": False,
    }
    processor = {
        "image_processor_type": "Qwen2VLImageProcessorFast" if new else "Qwen2VLImageProcessor",
        "processor_class": "Qwen3VLProcessor" if new else "Qwen2_5_VLProcessor",
        "patch_size": vision["patch_size"],
        "merge_size": 2,
        "temporal_patch_size": 2,
        "size": {"shortest_edge": 56 * 56, "longest_edge": 112 * 112},
    }
    end = [ids["<|im_end|>"], ids["<|endoftext|>"]]
    return _write(folder, kind, config, end=end, seed=seed, preprocessor_config=processor)


def write_internvl(folder: Path, *, seed: int = 0) -> Path:
    """InternVL in the layout of the -HF repositories: tiles of 4 x 4 patches, 4 tokens each."""
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<img>", "</img>", "<IMG_CONTEXT>", "<video>"]
    names = {
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    }
    tokens = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "extra_special_tokens": names}
    ids = _tokenizer(folder, special, _chatml("<IMG_CONTEXT>\n"), processor_class="InternVLProcessor", **tokens)
    config = {
        "text_config": {"model_type": "qwen2", "vocab_size": len(ids), "tie_word_embeddings": False, **_SMALL},
        "vision_config": {
            "model_type": "internvl_vision",
            "hidden_size": 16,
            "intermediate_size": 24,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": [28, 28],
            "patch_size": [7, 7],
        },
        "image_token_id": ids["<IMG_CONTEXT>"],
        "image_seq_length": 4,
        "tie_word_embeddings": False,
    }
    processor = {
        "image_processor_type": "GotOcr2ImageProcessorFast",
        "processor_class": "InternVLProcessor",
        "size": {"height": 28, "width": 28},
        "crop_to_patches": False,
        "min_patches": 1,
        "max_patches": 4,
    }
    end = [ids["<|im_end|>"]]
    return _write(folder, "internvl", config, end=end, seed=seed, preprocessor_config=processor)


def write_gemma3(folder: Path, *, seed: int = 0) -> Path:
    """Gemma 3, as MedGemma is: 4 tokens a picture, which see one another both ways."""
    special = ["<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>", "<start_of_image>", "<end_of_image>"]
    special.append("<image_soft_token>")
    names = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"}
    tokens = {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>", "extra_special_tokens": names}
    ids = _tokenizer(folder, special, GEMMA, processor_class="Gemma3Processor", **tokens)
    config = {
        "text_config": {
            **_SMALL,
            "model_type": "gemma3_text",
            "vocab_size": len(ids),
            "head_dim": 8,
            "query_pre_attn_scalar": 8,
            "sliding_window": 16,
            "layer_types": ["sliding_attention", "full_attention"],
        },
        "vision_config": {
            "model_type": "siglip_vision_model",
            "hidden_size": 16,
            "intermediate_size": 24,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 32,
            "patch_size": 8,
            "vision_use_head": False,
        },
        "mm_tokens_per_image": 4,
        "image_token_index": ids["<image_soft_token>"],
        "boi_token_index": ids["<start_of_image>"],
        "eoi_token_index": ids["<end_of_image>"],
    }
    processor = {
        "image_processor_type": "Gemma3ImageProcessor",
        "processor_class": "Gemma3Processor",
        "size": {"height": 32, "width": 32},
        "image_seq_length": 4,
    }
    files = {"preprocessor_config": processor, "processor_config": {"processor_class": "Gemma3Processor"}}
    files["processor_config"]["image_seq_length"] = 4  # type: ignore[assignment]
    end = [ids["<eos>"], ids["<end_of_turn>"]]
    return _write(folder, "gemma3", config, end=end, seed=seed, **files)


FAMILIES: dict[str, Callable[[Path], Path]] = {
    "gemma3": write_gemma3,
    "qwen2_5_vl": lambda folder: write_qwen(folder, "qwen2_5_vl"),
    "qwen3_vl": lambda folder: write_qwen(folder, "qwen3_vl"),
    "internvl": write_internvl,
}
"""What writes a checkpoint into an empty folder, by model_type."""
