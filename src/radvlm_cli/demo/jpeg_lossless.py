"""JPEG lossless (process 14, selection value 1), which no Python package writes: a small encoder in numpy.

Each sample is predicted from its left neighbour; the first of a row from the one above. The difference goes out as
a Huffman code for its number of bits, then those bits. One code table serves all pictures: five bits for each of
the seventeen lengths.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

_CODE_BITS = 5
_LENGTHS = 17
"""Differences of 16-bit samples take 0 to 16 bits."""


def encode_lossless(samples: NDArray[np.uint16], precision: int = 16) -> bytes:
    """Encode one grey picture, shape (rows, columns), as a whole JPEG stream."""
    rows, columns = samples.shape
    counts = bytes(_LENGTHS if length == _CODE_BITS else 0 for length in range(1, 17))
    return b"".join(
        [
            b"\xff\xd8",
            _segment(0xC4, b"\x00" + counts + bytes(range(_LENGTHS))),
            _segment(0xC3, struct.pack(">BHHB", precision, rows, columns, 1) + b"\x01\x11\x00"),
            _segment(0xDA, b"\x01\x01\x00\x01\x00\x00"),
            _scan(_differences(samples, precision)),
            b"\xff\xd9",
        ]
    )


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def _differences(samples: NDArray[np.uint16], precision: int) -> NDArray[np.int32]:
    values = samples.astype(np.int32)
    predicted = np.empty_like(values)
    predicted[:, 1:] = values[:, :-1]
    predicted[1:, 0] = values[:-1, 0]
    predicted[0, 0] = 1 << (precision - 1)
    # Modulo 2^16, as the standard has it.
    return np.asarray((values - predicted + 0x8000) % 0x10000 - 0x8000, dtype=np.int32).ravel()


def _scan(differences: NDArray[np.int32]) -> bytes:
    magnitude = np.abs(differences)
    lengths = np.where(magnitude, np.floor(np.log2(np.maximum(magnitude, 1))) + 1, 0).astype(np.int64)
    low_bits = np.where(differences < 0, differences + (1 << lengths) - 1, differences).astype(np.int64)
    # A difference of -32768 has sixteen bits, which are not written: there is only one such value.
    extra = np.where(lengths == 16, 0, lengths)
    words = (lengths << extra) | np.where(extra, low_bits, 0)
    widths = extra + _CODE_BITS
    ends = np.cumsum(widths)
    owner = np.repeat(np.arange(len(words)), widths)
    shift = ends[owner] - 1 - np.arange(ends[-1])
    bits = ((words[owner] >> shift) & 1).astype(np.uint8)
    padding = np.ones(-len(bits) % 8, dtype=np.uint8)
    packed = np.packbits(np.concatenate([bits, padding])).tobytes()
    return packed.replace(b"\xff", b"\xff\x00")
