"""Chance for the phantom world: a generator of its own for every drawn or invented thing.

What a patient looks like depends on the seed and on the patient's own name, never on who was drawn before.
"""

from __future__ import annotations

import hashlib

import numpy as np

from radvlm_cli.hashing import keyed_number


def generator(seed: int, *name: object) -> np.random.Generator:
    """Return the random generator that belongs to one named thing of the world with this seed."""
    return np.random.default_rng(keyed_number(seed, "demo", "/".join(map(str, name)), 0))


def hex_digits(length: int, seed: int, *name: object) -> str:
    """Return `length` (at most 64) lower-case hex digits that belong to one named thing."""
    return hashlib.sha256(f"{seed}/{'/'.join(map(str, name))}".encode()).hexdigest()[:length]


def decimal_digits(length: int, seed: int, *name: object) -> str:
    """Return `length` (at most 60) decimal digits, the first not 0, that belong to one named thing."""
    number = int(hex_digits(64, seed, *name), 16) % (9 * 10 ** (length - 1))
    return str(number + 10 ** (length - 1))
