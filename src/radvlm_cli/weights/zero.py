"""DeepSpeed's ZeRO shards as whole tensors, put together one at a time.

Ranks hold stretches of one long vector of float32 masters per parameter group. ZeRO-1 and -2 cut the vector into equal
parts, so a tensor may lie across ranks; their shards are mapped into memory and read where they lie. ZeRO-3 gives every
rank a part of each tensor; DeepSpeed's own code gathers those.
"""

from __future__ import annotations

import contextlib
import io
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from radvlm_cli.errors import DataError
from radvlm_cli.program import how_to_get_models
from radvlm_cli.weights.pickled import name_of
from radvlm_cli.weights.tensors import Computed, Tensor

if TYPE_CHECKING:
    import torch

_OWN_STATE = frozenset(
    (
        "deepspeed.runtime.fp16.loss_scaler.DynamicLossScaler",
        "deepspeed.runtime.fp16.loss_scaler.LossScaler",
        "deepspeed.runtime.zero.config.ZeroStageEnum",
        "deepspeed.utils.tensor_fragment.fragment_address",
    )
)
"""What a DeepSpeed checkpoint names in its pickles besides what torch itself lets pass."""


def read_zero_shards(folder: Path) -> dict[str, Tensor]:
    """The tensors of a DeepSpeed checkpoint (`global_stepN/`; `latest` names the step): masters in float32.

    Its files are pickles: DataError if one names anything but tensors and DeepSpeed's own state, before it is opened.
    """
    step = _step(folder)
    for path in sorted(step.glob("*_states.pt")):
        _refuse_foreign(path)
    try:
        import deepspeed  # noqa: F401 - the shards name classes of it
    except ImportError as error:
        raise DataError("DeepSpeed shards need DeepSpeed.", how_to_get_models()) from error
    models = sorted(step.glob("*_model_states.pt"), key=_natural)
    shards = sorted(step.glob("*_optim_states.pt"), key=_natural)
    try:
        state = _open(shards[0])
        found = _gather(folder, step) if int(state["zero_stage"]) == 3 else _slice(_open(models[0]), shards)
    except (ValueError, OSError, KeyError, IndexError, TypeError, RuntimeError, AttributeError) as error:
        raise DataError(f"The shards in {step} cannot be put together: {error}") from error
    return {name.removeprefix("module."): tensor for name, tensor in found.items()}


def _slice(model: Mapping[str, Any], paths: Sequence[Path]) -> dict[str, Tensor]:
    """ZeRO-1 and -2: each parameter is a stretch of its group's vector, which the ranks hold one after another."""
    shards = [_open(path) for path in paths]
    ranks = shards[0]["partition_count"]
    if (ranks := max(ranks) if isinstance(ranks, list) else ranks) != len(shards):
        raise ValueError(f"there are {len(shards)} of the shards of {ranks} ranks")
    found: dict[str, Tensor] = {}
    gaps = shards[0].get("param_alignment_paddings")
    for number, shapes in enumerate(model["param_shapes"]):
        parts = [shard["single_partition_of_fp32_groups"][number] for shard in shards]
        held, start = sum(part.numel() for part in parts), 0
        for place, (name, shape) in enumerate(shapes.items()):
            found[name] = Computed(_stretch(parts, start, tuple(shape)), name_of(parts[0].dtype), tuple(shape))
            start += math.prod(shape) + (gaps[number][place] if gaps else 0)
        padding = 2 * len(shards)  # DeepSpeed fills the vector up to a multiple of this
        if math.ceil(start / padding) != math.ceil(held / padding):
            raise ValueError(f"group {number} has {held:,} numbers, its parameters take {start:,}")
    return found | _others(model, found)


def _stretch(parts: Sequence[torch.Tensor], start: int, shape: tuple[int, ...]) -> Callable[[], torch.Tensor]:
    def make() -> torch.Tensor:
        import torch

        return torch.cat(list(_pieces(parts, start, math.prod(shape)))).reshape(shape)

    return make


def _pieces(parts: Sequence[torch.Tensor], start: int, count: int) -> Iterator[torch.Tensor]:
    """`count` numbers from `start` on of the vector that `parts` are when they are put together."""
    for part in parts:
        here = min(max(part.numel() - start, 0), count)
        if here:
            yield part[start : start + here]
        start, count = max(start - part.numel(), 0), count - here


def _others(model: Mapping[str, Any], trained: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Frozen parameters, and those that are the same as another (a tied lm_head)."""
    frozen = model.get("frozen_param_fragments") or {}
    found: dict[str, Tensor] = {name: _whole(value) for name, value in frozen.items()}
    known = {**trained, **found}
    return found | {name: known[same] for name, same in model["shared_params"].items() if same in known}


def _gather(folder: Path, step: Path) -> dict[str, Tensor]:
    """ZeRO-3, by DeepSpeed's own code in its lazy form."""
    from deepspeed.utils.zero_to_fp32 import get_fp32_state_dict_from_zero_checkpoint

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        state = get_fp32_state_dict_from_zero_checkpoint(str(folder), tag=step.name, lazy_mode=True)
    return {name: _whole(value) for name, value in state.items()}


def _whole(value: Any) -> Tensor:
    shape = tuple(value.shape)

    def make() -> torch.Tensor:
        tensor: torch.Tensor = value.contiguous()
        if tensor.numel() != math.prod(shape):
            raise DataError(f"A shard has {tensor.numel():,} numbers for a tensor of shape {list(shape)}.")
        return tensor.reshape(shape)

    return Computed(make, name_of(value.dtype), shape)


def _open(path: Path) -> Any:
    """The state in a file, mapped into memory: optimizer state without the moments, or the model's."""
    import torch

    content: Any = torch.load(path, map_location="cpu", mmap=True, weights_only=False)
    return content.get("optimizer_state_dict", content)


def _step(folder: Path) -> Path:
    latest = folder / "latest"
    steps = sorted((path for path in folder.glob("global_step*") if path.is_dir()), key=_natural)
    name = latest.read_text(encoding="utf-8").strip() if latest.is_file() else steps[-1].name
    if not (folder / name).is_dir():
        raise DataError(f"{latest} names {name}, which is not there.", f"Put the step that is there into {latest}")
    return folder / name


def _natural(path: Path) -> list[tuple[int, str]]:
    """Rank 10 after rank 9."""
    return [(int(word), "") if word.isdigit() else (-1, word) for word in re.split(r"(\d+)", path.name)]


def _refuse_foreign(path: Path) -> None:
    from torch.serialization import get_unsafe_globals_in_checkpoint

    try:
        named = get_unsafe_globals_in_checkpoint(path)
    except Exception as error:  # torch raises what it meets: pickle, zip, runtime and OS errors
        raise DataError(f"{path} cannot be read: {str(error).partition(chr(10))[0]}") from error
    foreign = sorted(set(named) - _OWN_STATE)
    if foreign:
        raise DataError(
            f"{path} asks for {foreign[0]}, which no DeepSpeed checkpoint needs; it was not opened.",
            "Convert only checkpoints that you trust",
        )
