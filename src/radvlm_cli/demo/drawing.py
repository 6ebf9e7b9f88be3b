"""Draw phantom chests as grey pictures: dense is bright, air is dark."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from radvlm_cli.demo.anatomy import (
    Chest,
    Field,
    ellipse,
    grid,
    heart,
    knob_centre,
    lung,
    step,
)
from radvlm_cli.demo.findings import Side
from radvlm_cli.demo.lesions import mask

_SIDES: tuple[Side, Side] = ("right", "left")
_COARSE = 2
"""Anatomy is drawn at half size and enlarged, which is four times cheaper; noise comes at full size."""


class _Paint(NamedTuple):
    grey: float
    """What a finding covers is drawn towards this grey ..."""
    opacity: float
    """... by this much."""


_PAINTS = {
    "cardiomegaly": _Paint(0.74, 0.0),
    "aorta": _Paint(0.72, 0.0),
    "effusion": _Paint(0.70, 0.92),
    "pneumothorax": _Paint(0.06, 0.85),
    "consolidation": _Paint(0.72, 0.75),
    "nodule": _Paint(0.74, 0.8),
    "atelectasis": _Paint(0.74, 0.75),
    "edema": _Paint(0.62, 0.62),
    "device": _Paint(0.95, 0.9),
}


def draw(chest: Chest, *, lateral: bool = False) -> Field:
    """Draw the chest from the front, or from the side (where findings are not drawn): shape (height, width), 0-1."""
    x, y = grid(max(chest.width // _COARSE, 1), max(chest.height // _COARSE, 1))
    coarse = _from_the_side(chest, x, y) if lateral else _from_the_front(chest, x, y)
    enlarged = Pillow.fromarray(coarse).resize((chest.width, chest.height), Pillow.Resampling.BICUBIC)
    noise = np.random.default_rng(chest.texture).standard_normal((chest.height, chest.width), dtype=np.float32)
    return np.clip(np.asarray(enlarged, dtype=np.float32) + 0.016 * noise, 0, 1)


def to_8_bit(picture: Field) -> NDArray[np.uint8]:
    """Scale 0-1 to 0-255."""
    return np.rint(picture * 255).astype(np.uint8)


def _from_the_front(chest: Chest, x: Field, y: Field) -> Field:
    lungs = lung(chest, "right", x, y) + lung(chest, "left", x, y)
    picture = _body(chest, x, y)
    picture *= 1 - 0.66 * lungs
    picture += 0.07 * lungs * _vessels(chest, x, y)
    picture += _bones(chest, x, y, lungs)
    _add_middle(chest, x, y, picture)
    for finding in chest.findings:
        paint = _PAINTS[finding.kind]
        for side in finding.sides:
            if paint.opacity:
                picture += paint.opacity * mask(chest, finding, side, x, y) * (paint.grey - picture)
            if finding.kind == "pneumothorax":
                picture += 0.22 * _rim(mask(chest, finding, side, x, y))
    return picture


def _rim(covered: Field) -> Field:
    """The thin bright line of the pleura, where the collapsed lung begins."""
    return np.asarray(np.clip(1 - np.abs(covered - 0.45) / 0.3, 0, 1) ** 2, dtype=np.float32)


def _body(chest: Chest, x: Field, y: Field) -> Field:
    """Neck, shoulders and trunk before anything is cut out of them."""
    s = np.abs(x - chest.centre)
    shoulder = np.where(y < 0.13, 0.12 + 3.0 * np.clip(y, 0, 0.13) ** 1.1, 0.60)
    outline = step(np.asarray(np.minimum(shoulder, chest.reach + 0.085 + 0.10 * np.clip(0.5 - y, 0, 1)) - s), 0.012)
    below = step(y - chest.base, 0.05)
    return np.asarray(outline * (0.56 + 0.16 * below - 0.10 * s), dtype=np.float32)


def _vessels(chest: Chest, x: Field, y: Field) -> Field:
    """Branching markings, denser near the hila."""
    rng = np.random.default_rng([chest.texture, 1])
    total = np.zeros((y.shape[0], x.shape[1]), dtype=np.float32)
    s = np.abs(x - chest.centre)
    for _ in range(5):
        kx, ky, phase = (rng.uniform(a, b) for a, b in ((25, 80), (25, 80), (0, 6.3)))
        total += np.sin(np.float32(kx) * s * (1 + y) + np.float32(ky) * y * (1 - s) + np.float32(phase))
    hila = np.exp(-ellipse(s, y, (0.11, (chest.apex + chest.base) / 2 + 0.02), (0.09, 0.16)))
    return np.asarray(0.35 * np.clip(total / 2, 0, 1) + 1.6 * hila + 0.12 * total, dtype=np.float32)


def _bones(chest: Chest, x: Field, y: Field, lungs: Field) -> Field:
    """Ribs behind and before the lungs, clavicles, spine."""
    s = np.abs(x - chest.centre) / chest.reach
    inside = np.clip(1.08 - s, 0, 0.1) * 10 * step(y - chest.apex + 0.03, 0.01) * step(chest.base + 0.1 - y, 0.03)
    behind = y - 0.055 * np.sin(np.pi * np.clip(s, 0, 1.1) * 0.75)
    before = y - 0.16 * np.clip(1 - s, 0, 1)
    bones = 0.075 * _stripes(behind - chest.apex, 0.072, 0.34) + 0.035 * _stripes(before - chest.apex, 0.085, 0.4)
    bones = bones * inside * (0.35 + 0.65 * np.clip(lungs, 0, 1))
    run = np.clip((s - 0.12) / 0.9, 0, 1)
    line = chest.apex + 0.055 - 0.075 * run - 0.02 * np.sin(np.pi * 2 * run)
    clavicle = step(0.013 - np.abs(y - line), 0.003) * step(s - 0.12, 0.02) * step(1.0 - s, 0.03)
    spine = step(0.075 - s * chest.reach * 1.6, 0.008) * (0.75 + 0.25 * _stripes(y, 0.055, 0.72))
    return np.asarray(bones + 0.15 * clavicle + 0.10 * spine, dtype=np.float32)


def _stripes(distance: Field, period: float, share: float) -> Field:
    """Soft bands that fill `share` of each period."""
    wave = np.cos(np.float32(2 * np.pi / period) * distance)
    return step(wave - np.float32(np.cos(np.pi * share)), 0.12)


def _add_middle(chest: Chest, x: Field, y: Field, picture: Field) -> None:
    """Mediastinum, aortic knob and heart, painted over the lungs; the windpipe, cut out."""
    s = np.abs(x - chest.centre - 0.008)
    column = step(0.058 + 0.03 * step(y - chest.apex - 0.28, 0.08) - s, 0.006)
    parts = [(column, 0.60, 0.75)]
    knob = ellipse(x, y, knob_centre(chest), (chest.knob, chest.knob * chest.aspect))
    parts.append((step(1 - knob, 0.10), 0.66, 0.85))
    parts.append((step(heart(chest, x, y), 0.06), 0.70, 0.9))
    for covered, grey, opacity in parts:
        picture += opacity * covered * np.maximum(grey - picture, 0)
    windpipe = step(0.020 - np.abs(x - chest.centre + 0.004), 0.004) * step(chest.apex + 0.21 - y, 0.012)
    picture -= 0.14 * windpipe * step(y - 0.02, 0.01)


def _from_the_side(chest: Chest, x: Field, y: Field) -> Field:
    """A lateral view: spine behind (right of the picture), heart before, the lungs over one another."""
    trunk = step(1 - ellipse(x, y, (0.52, 0.60), (0.40, 0.62)), 0.04)
    picture = trunk * (0.60 + 0.14 * step(y - chest.base - 0.02 * (x - 0.5), 0.03))
    floor = chest.base + 0.10 * np.clip((x - 0.40) / 0.4, 0, 1) ** 2 - y
    lungs = step(1 - ellipse(x, y, (0.52, 0.50), (0.31, 0.40)), 0.06) * step(floor, 0.008)
    picture *= 1 - 0.58 * lungs
    picture += 0.05 * lungs * _vessels(chest, x, y)
    picture += 0.05 * _stripes(y + 0.35 * x, 0.08, 0.35) * lungs
    heart = step(1 - ellipse(x, y, (0.38, chest.base - 0.10), (0.9 * chest.heart, 0.15)), 0.06)
    spine = step(0.045 - np.abs(x - 0.78 + 0.10 * np.sin(np.pi * y)), 0.006) * (0.6 + 0.4 * _stripes(y, 0.075, 0.75))
    picture += 0.75 * heart * np.maximum(0.62 - picture, 0) + 0.14 * spine * trunk
    return np.asarray(picture, dtype=np.float32)
