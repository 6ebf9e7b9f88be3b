"""Weights in torch's own files, read without running what a pickle asks for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from radvlm_cli.errors import DataError
from radvlm_cli.weights.tensors import TORCH_NAMES, Computed, Stored, Tensor

if TYPE_CHECKING:
    import torch

_ZIP_MARK = b"PK"


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
