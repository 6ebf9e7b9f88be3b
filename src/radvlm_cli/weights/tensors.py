"""A tensor that stays in its file: name of its type, shape, and its bytes in pieces.

Everything that copies, checks or hashes weights does so over these pieces, so memory does not grow with the model.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from radvlm_cli.errors import DataError

if TYPE_CHECKING:
    import torch

PIECE = 16 * 2**20
"""Bytes read at a time; a multiple of every type's size."""

ITEM_BYTES = {"F32": 4, "BF16": 2, "F16": 2}
"""Bytes of an element, by the name that safetensors gives the type. Weights of other types are not converted."""

TORCH_NAMES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}
"""What torch and config.json call them."""

_EXPONENTS: dict[str, tuple[Any, int]] = {
    "F32": (np.dtype("<u4"), 0x7F800000),
    "BF16": (np.dtype("<u2"), 0x7F80),
    "F16": (np.dtype("<u2"), 0x7C00),
}


class Tensor(Protocol):
    """One tensor of a checkpoint."""

    @property
    def dtype(self) -> str:
        """Its type, as safetensors names it: F32, BF16, F16 (or something that is refused)."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""

    def pieces(self) -> Iterator[bytes]:
        """Its bytes, little-endian and in C order, PIECE at a time."""


@dataclass(frozen=True)
class Stored:
    """A tensor whose bytes lie in one stretch of a file."""

    path: Path
    offset: int
    dtype: str
    shape: tuple[int, ...]

    def pieces(self) -> Iterator[bytes]:
        """Read them; DataError if the file cannot be read, or has become shorter."""
        left = size_of(self)
        try:
            with self.path.open("rb") as stream:
                stream.seek(self.offset)
                while left and (piece := stream.read(min(PIECE, left))):
                    left -= len(piece)
                    yield piece
        except OSError as error:
            raise DataError(f"Cannot read {self.path}: {error.strerror or error}") from error
        if left:
            raise DataError(f"{self.path} ended {left:,} bytes too early while it was read.")


@dataclass(frozen=True)
class Computed:
    """A tensor that torch makes when it is asked for: a merged adapter, an old pickle, gathered shards."""

    make: Callable[[], torch.Tensor]
    dtype: str
    shape: tuple[int, ...]

    def pieces(self) -> Iterator[bytes]:
        """Make it, cast it to `dtype` and cut it up; it lives in memory as long as this goes on."""
        import torch

        tensor = self.make().detach().to(getattr(torch, TORCH_NAMES[self.dtype])).contiguous()
        raw = tensor.reshape(-1).view(torch.uint8).numpy()
        for start in range(0, raw.size, PIECE):
            yield raw[start : start + PIECE].tobytes()


def size_of(tensor: Tensor) -> int:
    """Bytes of a tensor."""
    return math.prod(tensor.shape) * ITEM_BYTES[tensor.dtype]


def finite(piece: bytes, dtype: str) -> bool:
    """Whether a piece holds neither infinity nor NaN: those have all bits of the exponent set."""
    unsigned, exponent = _EXPONENTS[dtype]
    return not bool(((np.frombuffer(piece, unsigned) & exponent) == exponent).any())


def digest(tensor: Tensor) -> str:
    """SHA-256 (hex) of a tensor's bytes."""
    sha = hashlib.sha256()
    for piece in tensor.pieces():
        sha.update(piece)
    return sha.hexdigest()


def in_memory(tensor: Tensor) -> torch.Tensor:
    """The tensor for torch, in memory."""
    import torch

    raw = bytearray(b"".join(tensor.pieces()))
    return torch.frombuffer(raw, dtype=getattr(torch, TORCH_NAMES[tensor.dtype])).reshape(tensor.shape)


def cast(tensor: Tensor, dtype: str) -> Tensor:
    """The same tensor in another type; itself if it has that type."""
    return tensor if tensor.dtype == dtype else Computed(lambda: in_memory(tensor), dtype, tensor.shape)


def extend_rows(tensor: Tensor, rows: int) -> Tensor:
    """The same matrix with its mean row repeated below, `rows` in all.

    The logit of a mean row is the mean of the others, so that no greedy answer ever takes it.
    """

    def longer() -> torch.Tensor:
        import torch

        matrix = in_memory(tensor)
        mean = matrix.double().mean(dim=0, keepdim=True).to(matrix.dtype)
        return torch.cat([matrix, mean.expand(rows - matrix.shape[0], -1)])

    return Computed(longer, tensor.dtype, (rows, *tensor.shape[1:]))
