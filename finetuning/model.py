"""The model: loaded strictly, what of it trains, in which groups, and what it costs to run."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from importlib.util import find_spec
from typing import Any, NamedTuple

import torch
from torch import nn
from transformers import BitsAndBytesConfig, LlavaOnevisionForConditionalGeneration

from finetuning.errors import TrainingError
from finetuning.manifest import Adapter, Manifest, ModelChoice

DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}

VISION = re.compile(r"(^|\.)vision_tower\.")
UNUSED = re.compile(r"(^|\.)vision_tower\.post_layernorm\.")
"""The features are taken before this norm, so it never has a gradient; DDP would wait for one."""
LORA_TARGETS = r".*language_model\.layers\..*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"
PROJECTOR = "multi_modal_projector"
NORM = re.compile(r"(^|[._])(layer_?norm\d?|norm)(\.|$)|layernorm")


def load_model(manifest: Manifest) -> nn.Module:
    """The model to train, on the CPU (or sharded, when a ZeRO-3 configuration is alive), its trainable part marked."""
    adapter = manifest.adapter
    model: nn.Module = load_strictly(
        manifest.model, load_dtype(manifest), quantised=adapter is not None and adapter.kind == "qlora"
    )
    if adapter is not None:
        model = add_adapter(model, adapter, full_precision=manifest.parallel.strategy == "ddp")
    else:
        for name, parameter in model.named_parameters():
            frozen = VISION.search(name) and manifest.optimization.vision_learning_rate == 0
            parameter.requires_grad_(not frozen and not UNUSED.search(name))
    if manifest.model.compile:
        compile_layers(model)
    return model


def load_dtype(manifest: Manifest) -> torch.dtype:
    """What the weights are loaded as.

    ZeRO keeps its own float32 copy of 16-bit weights, and LoRA leaves them as they are. Plain DDP does neither: there
    they are float32 and the forward pass runs under autocast, since a step of 1e-5 would vanish in bfloat16.
    """
    if manifest.parallel.strategy == "ddp" and manifest.adapter is None:
        return torch.float32
    return DTYPES[manifest.model.dtype]


def load_strictly(
    choice: ModelChoice, dtype: torch.dtype, *, quantised: bool = False
) -> LlavaOnevisionForConditionalGeneration:
    """Load `choice.path`; TrainingError naming the keys where a weight is missing, unexpected or mis-shaped."""
    options: dict[str, Any] = {"quantization_config": _four_bits(dtype)} if quantised else {}
    loader: Any = LlavaOnevisionForConditionalGeneration
    try:
        model, found = loader.from_pretrained(
            choice.path,
            dtype=dtype,
            attn_implementation=choice.attention,
            local_files_only=True,
            output_loading_info=True,
            # Reported with the others, below, instead of raised in other words.
            ignore_mismatched_sizes=True,
            **options,
        )
    except (OSError, ImportError) as error:
        raise TrainingError(f"The model {choice.path} cannot be loaded: {error}", _hint_of(choice)) from error
    wrong = {name: sorted(map(str, keys)) for name, keys in found.items() if keys}
    if wrong:
        listed = "; ".join(
            f"{len(keys)} {name.replace('_', ' ')}: {', '.join(keys[:5])}" for name, keys in wrong.items()
        )
        raise TrainingError(
            f"The weights in {choice.path} do not fit the model. {listed}",
            "Convert the checkpoint again: radvlm convert PATH",
        )
    aspect = model.config.vision_aspect_ratio
    if aspect != "anyres_max_9":
        raise TrainingError(f"{choice.path} has vision_aspect_ratio {aspect}; only anyres_max_9 can be trained")
    loaded: LlavaOnevisionForConditionalGeneration = model
    return loaded


def _hint_of(choice: ModelChoice) -> str:
    if choice.attention == "flash_attention_2" and find_spec("flash_attn") is None:
        return "Install flash-attn, or set model.attention to sdpa."
    return "It must be a Hugging Face folder, as radvlm convert writes it."


def _four_bits(dtype: torch.dtype) -> Any:
    if find_spec("bitsandbytes") is None:
        raise TrainingError("QLoRA needs bitsandbytes, which is not installed", "pip install bitsandbytes, or use lora")
    if not torch.cuda.is_available():
        raise TrainingError("QLoRA needs a CUDA device", 'Set adapter.kind to "lora".')
    config: Any = BitsAndBytesConfig
    return config(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
        # Only the language model is large; the tower and the projector keep their precision.
        llm_int8_skip_modules=["vision_tower", PROJECTOR, "lm_head"],
    )


def add_adapter(model: nn.Module, adapter: Adapter, *, full_precision: bool) -> nn.Module:
    """LoRA on the linear layers of the language model, and the projector in full where asked for.

    `full_precision`: what trains is float32, for an optimizer that keeps no copy of its own. ZeRO does, and wants one
    type for all that trains.
    """
    import peft

    library: Any = peft
    if adapter.kind == "qlora":
        model = library.prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    config = library.LoraConfig(
        r=adapter.rank,
        lora_alpha=adapter.alpha,
        lora_dropout=adapter.dropout,
        target_modules=LORA_TARGETS,
        modules_to_save=[PROJECTOR] if adapter.projector else None,
        task_type="CAUSAL_LM",
    )
    with warnings.catch_warnings():
        # peft asks the model by the old name of activation checkpointing.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        adapted: nn.Module = library.get_peft_model(model, config, autocast_adapter_dtype=full_precision)
    if full_precision:
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
    return adapted


def bare(model: nn.Module) -> LlavaOnevisionForConditionalGeneration:
    """The LlavaOnevision inside a PEFT wrapper, or `model` itself."""
    outer: Any = model
    inner: LlavaOnevisionForConditionalGeneration = (
        outer.get_base_model() if hasattr(outer, "get_base_model") else outer
    )
    return inner


def compile_layers(model: nn.Module) -> None:
    """torch.compile each decoder layer in place; the whole model would compile anew for each number of tiles."""
    for layer in bare(model).model.language_model.layers:
        layer.compile()


class Group(NamedTuple):
    """Parameters that share a learning rate and a weight decay."""

    name: str
    """`vision` or `language` (the language model, the projector and image_newline)."""
    learning_rate: float
    weight_decay: float
    parameters: list[nn.Parameter]


def parameter_groups(
    named: Iterable[tuple[str, nn.Parameter]], *, language: float, vision: float, weight_decay: float
) -> list[Group]:
    """Groups of the trainable parameters; norms, biases and image_newline never decay. Empty groups are left out."""
    groups: dict[tuple[str, bool], list[nn.Parameter]] = {}
    for name, parameter in named:
        if parameter.requires_grad:
            decays = weight_decay > 0 and not is_undecayed(name)
            groups.setdefault(("vision" if VISION.search(name) else "language", decays), []).append(parameter)
    rates = {"language": language, "vision": vision}
    return [
        Group(part, rates[part], weight_decay if decays else 0.0, groups[part, decays])
        for part in ("language", "vision")
        for decays in (True, False)
        if (part, decays) in groups
    ]


def is_undecayed(name: str) -> bool:
    """Whether weight decay would be wrong for this parameter: a norm's scale, a bias, a single embedding."""
    return name.endswith((".bias", "image_newline")) or NORM.search(name) is not None


def parameter_counts(model: nn.Module) -> tuple[int, int]:
    """All and trainable parameters, also where ZeRO-3 or 4-bit storage hides the true size."""
    from transformers import trainer_pt_utils

    counted: Any = model
    if getattr(counted, "is_loaded_in_4bit", False):
        return counted.num_parameters(), counted.num_parameters(only_trainable=True)
    library: Any = trainer_pt_utils
    return library.get_model_param_count(counted), library.get_model_param_count(counted, trainable_only=True)
