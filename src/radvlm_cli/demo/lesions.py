"""Where each finding lies on a chest: one soft mask, from which both the picture and the boxes are made."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from radvlm_cli.demo.anatomy import (
    Chest,
    Field,
    angle_depth,
    cavity,
    dome,
    ellipse,
    extent,
    grid,
    heart,
    knob_centre,
    lung,
    lung_point,
    sign,
    step,
)
from radvlm_cli.demo.findings import KINDS, Finding, Side
from radvlm_cli.records import Box

_BOX_GRID = 256
_EDGE = 0.3
_GROWTH = {"small": 0.0, "moderate": 0.5, "large": 1.0}


def boxes(chest: Chest, finding: Finding) -> tuple[Box, ...]:
    """Box each part of a finding: one per side, or one in all for the heart and the aorta."""
    x, y = grid(_BOX_GRID, _BOX_GRID)
    found = []
    for side in finding.sides if KINDS[finding.kind].sided else finding.sides[:1]:
        box = extent(mask(chest, finding, side, x, y), _EDGE)
        if box is None:
            raise AssertionError(f"a {finding.kind} without extent")
        found.append(box)
    return tuple(found)


def mask(chest: Chest, finding: Finding, side: Side, x: Field, y: Field) -> Field:
    """How much of each point the finding takes, 0-1, on one side."""
    return _SHAPES[finding.kind](chest, finding, side, x, y)


def _nodule(chest: Chest, finding: Finding, side: Side, x: Field, y: Field) -> Field:
    radius = 0.026 + 0.024 * _GROWTH[finding.size]
    distance = ellipse(x, y, lung_point(chest, finding, side), (radius, radius * chest.aspect))
    return step(1 - distance, 0.16)


def _consolidation(chest: Chest, finding: Finding, side: Side, x: Field, y: Field) -> Field:
    grown = 1 + 0.5 * _GROWTH[finding.size]
    distance = ellipse(x, y, lung_point(chest, finding, side), (0.075 * grown, 0.06 * grown))
    patches = 0.72 + 0.28 * _ripples(finding.texture, x, y)
    return step(1 - distance, 0.14) * patches * lung(chest, side, x, y)


def _ripples(texture: int, x: Field, y: Field) -> Field:
    rng = np.random.default_rng(texture)
    total = np.zeros(np.broadcast_shapes(x.shape, y.shape), dtype=np.float32)
    for _ in range(3):
        kx, ky = rng.uniform(-70, 70, size=2).astype(np.float32)
        total += np.sin(kx * x + ky * y + np.float32(rng.uniform(0, 6.3))) / 3
    return total


def _effusion(chest: Chest, finding: Finding, side: Side, x: Field, y: Field) -> Field:
    depth = angle_depth(chest, side)
    level = depth - 0.11 - 0.16 * _GROWTH[finding.size]
    outward = np.clip(sign(side) * (x - chest.centre) / chest.reach, 0, 1)
    meniscus = level + 0.05 - 0.07 * outward**2
    inside = step(cavity(chest, side, x, y) + 0.08, 0.04) * step(depth - y, 0.004)
    return np.asarray(inside * step(y - meniscus, 0.006), dtype=np.float32)


def _pneumothorax(chest: Chest, finding: Finding, side: Side, x: Field, y: Field) -> Field:
    collapse = 0.14 + 0.10 * _GROWTH[finding.size]
    gone = 1 - step(cavity(chest, side, x, y, shrink=collapse), 0.02)
    lateral = step(sign(side) * (x - chest.centre) - 0.38 * chest.reach, 0.02)
    lowest = chest.apex + (0.5 + 0.25 * _GROWTH[finding.size]) * (chest.base - chest.apex)
    return np.asarray(gone * lateral * step(lowest - y, 0.02) * lung(chest, side, x, y), dtype=np.float32)


def _atelectasis(chest: Chest, finding: Finding, side: Side, x: Field, y: Field) -> Field:
    middle = chest.centre + sign(side) * 0.66 * chest.reach
    along = sign(side) * (x - middle)
    height = dome(chest, side, np.full((1, 1), middle, dtype=np.float32)) - 0.055 - 0.02 * _GROWTH[finding.size]
    length, thickness = 0.06 + 0.02 * _GROWTH[finding.size], 0.009 + 0.004 * _GROWTH[finding.size]
    return step(length - np.abs(along), 0.012) * step(thickness - np.abs(y - height - 0.25 * along), 0.003)


def _edema(chest: Chest, finding: Finding, side: Side, x: Field, y: Field) -> Field:
    grown = 1 + 0.35 * _GROWTH[finding.size]
    centre = (chest.centre + sign(side) * 0.4 * chest.reach, chest.apex + 0.6 * (chest.base - chest.apex))
    distance = ellipse(x, y, centre, (0.10 * grown, 0.13 * grown))
    return step(1 - distance, 0.25) * lung(chest, side, x, y) * (0.85 + 0.15 * _ripples(finding.texture, x, y))


def _cardiomegaly(chest: Chest, finding: Finding, side: Side, x: Field, y: Field) -> Field:
    return step(heart(chest, x, y), 0.05)


def _aorta(chest: Chest, finding: Finding, side: Side, x: Field, y: Field) -> Field:
    return step(1 - ellipse(x, y, knob_centre(chest), (chest.knob, chest.knob * chest.aspect)), 0.08)


def _device(chest: Chest, finding: Finding, side: Side, x: Field, y: Field) -> Field:
    """A catheter from the arm over the clavicle to the superior vena cava."""
    course = [(0.92, 0.62), (0.82, 0.30), (0.55, 0.17), (0.22, 0.19), (0.11, 0.27), (0.10, 0.42)]
    places = [(chest.centre + sign(side) * chest.reach * s, chest.apex - 0.1 + t * 0.8) for s, t in course]
    places = _rounded(_rounded(places))
    nearest = np.full(np.broadcast_shapes(x.shape, y.shape), 9.0, dtype=np.float32)
    for start, end in pairwise(places):
        nearest = np.minimum(nearest, _to_segment(chest, x, y, start, end))
    return step(np.float32(0.004) - nearest, 0.001)


def _rounded(places: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Cut every corner of a course at a quarter and three quarters of its sides; the ends stay."""
    cut = [places[0]]
    for (ax, ay), (bx, by) in pairwise(places):
        cut += [(0.75 * ax + 0.25 * bx, 0.75 * ay + 0.25 * by), (0.25 * ax + 0.75 * bx, 0.25 * ay + 0.75 * by)]
    return [*cut, places[-1]]


def _to_segment(chest: Chest, x: Field, y: Field, start: tuple[float, float], end: tuple[float, float]) -> Field:
    """Distance to a straight line between two points, in 0-1 of the width."""
    dx, dy = end[0] - start[0], (end[1] - start[1]) / chest.aspect
    px, py = x - start[0], (y - start[1]) / chest.aspect
    share = np.clip((px * dx + py * dy) / (dx * dx + dy * dy), 0, 1)
    return np.asarray(np.hypot(px - share * dx, py - share * dy), dtype=np.float32)


_SHAPES: dict[str, Callable[[Chest, Finding, Side, Field, Field], Field]] = {
    "cardiomegaly": _cardiomegaly,
    "effusion": _effusion,
    "pneumothorax": _pneumothorax,
    "consolidation": _consolidation,
    "nodule": _nodule,
    "atelectasis": _atelectasis,
    "edema": _edema,
    "device": _device,
    "aorta": _aorta,
}
