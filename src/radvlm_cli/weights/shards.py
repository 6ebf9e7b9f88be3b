"""safetensors files: headers read and checked, files written header first and then tensor by tensor."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from radvlm_cli.errors import DataError
from radvlm_cli.weights.tensors import ITEM_BYTES, Stored, Tensor, size_of

_LONGEST_HEADER = 100 * 2**20
_COPY_AGAIN = "Copy the file again: it is damaged, or its copy did not end."


def read_header(path: Path) -> dict[str, Stored]:
    """The tensors of a safetensors file, none of them read; DataError if it is damaged or cut short."""
    try:
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            start = stream.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else _LONGEST_HEADER + 1
            if length > min(_LONGEST_HEADER, size - 8):
                raise DataError(f"{path} is no safetensors file, or is cut short within its header.", _COPY_AGAIN)
            header: Any = json.loads(stream.read(length))
        return _tensors(path, header, start=8 + length, size=size)
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} has a header that makes no sense ({type(error).__name__}).", _COPY_AGAIN) from error


def _tensors(path: Path, header: Mapping[str, Any], *, start: int, size: int) -> dict[str, Stored]:
    found: dict[str, Stored] = {}
    end = 0
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, stop = entry["data_offsets"]
        tensor = Stored(path, start + begin, entry["dtype"], tuple(entry["shape"]))
        if entry["dtype"] in ITEM_BYTES and stop - begin != size_of(tensor):
            raise DataError(f"{path}: {name} has {stop - begin:,} bytes, its shape makes {size_of(tensor):,}.")
        found[name] = tensor
        end = max(end, stop)
    if start + end != size:
        raise DataError(
            f"{path} is cut short or too long: {size:,} bytes, its header tells {start + end:,}.", _COPY_AGAIN
        )
    return found


def plan_shards(tensors: Mapping[str, Tensor], limit: int) -> list[dict[str, Tensor]]:
    """Deal tensors, in their order, to files of at most `limit` bytes (a larger tensor has a file of its own)."""
    shards: list[dict[str, Tensor]] = []
    room = 0
    for name, tensor in tensors.items():
        if not shards or size_of(tensor) > room:
            shards.append({})
            room = limit
        shards[-1][name] = tensor
        room -= size_of(tensor)
    return shards


def write_shard(path: Path, tensors: Mapping[str, Tensor], see: Callable[[str, bytes], None]) -> str:
    """Write one file and sync it; `see` is handed every piece as it passes. Memory: one piece. Returns its SHA-256.

    Larger types come first, so that every tensor lies at a multiple of its element's size.
    """
    order = sorted(tensors, key=lambda name: -ITEM_BYTES[tensors[name].dtype])
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name in order:
        end = offset + size_of(tensors[name])
        header[name] = {
            "dtype": tensors[name].dtype,
            "shape": list(tensors[name].shape),
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    start = struct.pack("<Q", len(text)) + text
    sha = hashlib.sha256(start)
    with path.open("wb") as stream:
        stream.write(start)
        for name in order:
            for piece in tensors[name].pieces():
                see(name, piece)
                sha.update(piece)
                stream.write(piece)
        stream.flush()
        os.fsync(stream.fileno())
    return sha.hexdigest()
