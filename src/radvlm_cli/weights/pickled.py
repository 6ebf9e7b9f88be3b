"""Weights in torch's own files, read without running what a pickle asks for."""

from __future__ import annotations

import contextlib
import io
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from radvlm_cli.errors import DataError
from radvlm_cli.weights.tensors import TORCH_NAMES, Computed, Stored, Tensor

if TYPE_CHECKING:
    import torch

_ZIP_MARK = b"PK"
_OWN_STATE = frozenset(
    (
        "deepspeed.runtime.fp16.loss_scaler.DynamicLossScaler",
        "deepspeed.runtime.fp16.loss_scaler.LossScaler",
        "deepspeed.runtime.zero.config.ZeroStageEnum",
        "deepspeed.utils.tensor_fragment.fragment_address",
    )
)
"""What a DeepSpeed checkpoint names in its pickles besides what torch itself lets pass."""


def read_torch_file(path: Path) -> dict[str, Tensor]:
    """The tensors of a file of torch.save, read where they lie; DataError if it holds anything but tensors.

    Files older than torch 1.6 (no zip) are read whole into memory.
    """
    import torch

    with path.open("rb") as stream:
        zipped = stream.read(2) == _ZIP_MARK
    try:
        content: Any = torch.load(path, map_location="meta" if zipped else "cpu", weights_only=True)
    except Exception as error:  # torch raises what it meets: pickle, zip, runtime and OS errors
        reason = str(error).partition("\n")[0]
        raise DataError(f"{path} cannot be read as weights: {reason}", "Only tensors are read from it.") from error
    if not isinstance(content, dict) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise DataError(f"{path} is no table of tensors.")
    return {name: _place(path, tensor) if zipped else _held(tensor) for name, tensor in content.items()}


def _place(path: Path, tensor: torch.Tensor) -> Tensor:
    """The stretch of the file; a tensor that does not lie in one (transposed) is read by torch when asked for."""
    storage: Any = tensor.untyped_storage()
    start = storage._checkpoint_offset + tensor.storage_offset() * tensor.element_size()
    if tensor.is_contiguous():
        return Stored(path, start, name_of(tensor.dtype), tuple(tensor.shape))

    def read() -> torch.Tensor:
        import torch

        count = 1 + sum((size - 1) * step for size, step in zip(tensor.shape, tensor.stride(), strict=True))
        with path.open("rb") as stream:
            stream.seek(start)
            raw = bytearray(stream.read(count * tensor.element_size()))
        return torch.frombuffer(raw, dtype=tensor.dtype).as_strided(tensor.shape, tensor.stride())

    return Computed(read, name_of(tensor.dtype), tuple(tensor.shape))


def _held(tensor: torch.Tensor) -> Computed:
    return Computed(lambda: tensor, name_of(tensor.dtype), tuple(tensor.shape))


def name_of(dtype: torch.dtype) -> str:
    """safetensors' name of a type; torch's own where it has none of ours."""
    plain = str(dtype).removeprefix("torch.")
    return next((name for name, of_torch in TORCH_NAMES.items() if of_torch == plain), plain)


def read_zero_shards(folder: Path) -> dict[str, Tensor]:
    """float32 master weights of a DeepSpeed checkpoint (`global_stepN/`; `latest` names the step).

    ZeRO-3 is gathered one tensor at a time; DeepSpeed's own code puts ZeRO-1 and -2 together in memory, 4 bytes a
    parameter. Its files are pickles: DataError if one names anything but tensors and DeepSpeed's own classes.
    """
    step = _step(folder)
    for path in sorted(step.glob("*_states.pt")):
        _refuse_foreign(path)
    try:
        from deepspeed.utils.zero_to_fp32 import get_fp32_state_dict_from_zero_checkpoint
    except ImportError as error:
        raise DataError("DeepSpeed shards need DeepSpeed.", "pip install 'radvlm[models]'") from error
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            state = get_fp32_state_dict_from_zero_checkpoint(str(folder), tag=step.name, lazy_mode=True)
    except (ValueError, OSError, KeyError, RuntimeError) as error:
        raise DataError(f"The shards in {step} cannot be put together: {error}") from error
    return {name.removeprefix("module."): _gathered(value) for name, value in state.items()}


def _gathered(value: Any) -> Tensor:
    shape = tuple(value.shape)

    def make() -> torch.Tensor:
        tensor: torch.Tensor = value.contiguous()
        if tensor.numel() != math.prod(shape):
            raise DataError(f"A shard has {tensor.numel():,} numbers for a tensor of shape {list(shape)}.")
        return tensor.reshape(shape)

    return Computed(make, name_of(value.dtype), shape)


def _step(folder: Path) -> Path:
    latest = folder / "latest"
    steps = sorted(folder.glob("global_step*/"), key=lambda step: (len(step.name), step.name))
    name = latest.read_text(encoding="utf-8").strip() if latest.is_file() else steps[-1].name
    if not (folder / name).is_dir():
        raise DataError(f"{latest} names {name}, which is not there.", f"Put the step that is there into {latest}")
    return folder / name


def _refuse_foreign(path: Path) -> None:
    from torch.serialization import get_unsafe_globals_in_checkpoint

    try:
        named = get_unsafe_globals_in_checkpoint(path)
    except Exception as error:
        raise DataError(f"{path} cannot be read: {str(error).partition(chr(10))[0]}") from error
    foreign = sorted(set(named) - _OWN_STATE)
    if foreign:
        raise DataError(
            f"{path} asks for {foreign[0]}, which no DeepSpeed checkpoint needs; it was not opened.",
            "Convert only checkpoints that you trust",
        )
