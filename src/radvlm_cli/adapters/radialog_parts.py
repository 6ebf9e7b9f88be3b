"""RaDialog put together from its three repositories, every weight accounted for."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

from radvlm_cli.adapters.biovil import BiovilTower, build_tower, read_tensors
from radvlm_cli.adapters.json_files import read_config_file
from radvlm_cli.adapters.loading import load_state_strictly, load_strictly, misfits, raise_misfits
from radvlm_cli.adapters.protocol import Loading
from radvlm_cli.errors import DataError

BIOVIL_FILE = "biovil_t_image_model_proj_size_128.pt"
TRAINED_FILE = "non_lora_trainables.bin"
REPLACED = ("model.mm_projector.", "model.vision_tower.")
"""Of LLaVA-1.5 only the language model is used: RaDialog has eyes of its own."""
_PROJECTOR, _TOWER = REPLACED
_CONFIG = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "max_position_embeddings",
    "rms_norm_eps",
)


class Parts(NamedTuple):
    """The model, on its device."""

    language: Any
    tower: BiovilTower
    projector: nn.Sequential

    def look(self, pixels: Tensor) -> Tensor:
        """Pictures (n, 3, 448, 448) as embeddings of the language model (n, 196, width)."""
        seen: Tensor = self.projector(self.tower(pixels.to(self.language.device, self.language.dtype)))
        return seen


def load_parts(loading: Loading) -> Parts:
    """Load all of it. DataError naming what is missing, left over or of another shape."""
    base, trained, biovil = loading.weights
    language = load_strictly(LlamaForCausalLM, base, loading, config=_read_config(base), ignored=REPLACED)
    language = merge_adapter(language, trained)
    rest = {_plain(name): each for name, each in read_tensors(trained / TRAINED_FILE).items()}
    raise_misfits(trained, {"unexpected_keys": [name for name in rest if not name.startswith(REPLACED)]})
    tower = build_tower(read_tensors(biovil / BIOVIL_FILE), _under(rest, _TOWER), trained)
    projector = nn.Sequential(
        nn.Linear(tower.width, language.config.hidden_size),
        nn.GELU(),
        nn.Linear(language.config.hidden_size, language.config.hidden_size),
    )
    load_state_strictly(projector, _under(rest, _PROJECTOR), trained, "projector")
    for part in (tower, projector):
        part.to(language.device, language.dtype).eval()
    return Parts(language.eval(), tower, projector)


def merge_adapter(language: Any, folder: Path) -> Any:
    """The language model with the LoRA weights of a folder added to its own. DataError naming keys that do not fit."""
    from peft import PeftConfig, PeftModel, get_peft_model_state_dict, set_peft_model_state_dict

    if not (folder / "adapter_config.json").is_file():
        raise DataError(f"{folder} has no adapter_config.json.")
    config = PeftConfig.from_pretrained(str(folder))
    config.inference_mode = True
    with warnings.catch_warnings():
        # Of peft's own look at an attribute of the model.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        adapted = PeftModel(language, config)
    state = _read_adapter(folder)
    own = get_peft_model_state_dict(adapted, save_embedding_layers=False)
    raise_misfits(folder, misfits(own, state))
    set_peft_model_state_dict(adapted, state)
    return adapted.merge_and_unload()


def _read_adapter(folder: Path) -> dict[str, Tensor]:
    safe = folder / "adapter_model.safetensors"
    return load_file(safe) if safe.is_file() else read_tensors(folder / "adapter_model.bin")


def _plain(name: str) -> str:
    """The name as in LLaVA's model: training put one or two wrappers around it."""
    name = name.removeprefix("module.").removeprefix("base_model.")
    return name.removeprefix("model.") if name.startswith("model.model.") else name


def _under(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): each for name, each in state.items() if name.startswith(prefix)}


def _read_config(folder: Path) -> LlamaConfig:
    given = read_config_file(folder, "LLaVA-1.5", _CONFIG)
    if given.get("rope_scaling") is not None:
        raise DataError(f"{folder / 'config.json'}: rope_scaling is set, and in LLaVA-1.5 it is not.")
    return LlamaConfig(
        **{name: given[name] for name in _CONFIG},
        rope_parameters={"rope_type": "default", "rope_theta": given.get("rope_theta", 10000.0)},
        tie_word_embeddings=False,
    )
