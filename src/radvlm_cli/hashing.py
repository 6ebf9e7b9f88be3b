"""Canonical JSON, content hashes, and the keyed choice that stands in for a random generator.

These are contracts: changing one changes every key in every store, and every built dataset.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical_json(value: Any) -> str:
    """Write `value` as JSON in exactly one way: sorted keys, no spaces, UTF-8 left as it is, no NaN."""
    return _ENCODER.encode(value)


def content_hash(value: Any) -> str:
    """SHA-256 (hex) of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def keyed_number(seed: int, component: str, key: str, repetition: int) -> int:
    """A uniform 64-bit number that depends on nothing but its arguments.

    Every choice in a built dataset comes from here, so the same seed gives the same dataset whatever the order, the
    number of workers or the other components present.
    """
    digest = hashlib.blake2b(f"{seed}\x1f{component}\x1f{key}\x1f{repetition}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")
