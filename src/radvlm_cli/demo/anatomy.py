"""The shape of a phantom chest: where its organs lie, in 0-1 of the picture's width and height.

Left and right are the patient's: the right lung is on the left of the picture.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from radvlm_cli.demo.findings import Finding, Side
from radvlm_cli.records import Box

Field = NDArray[np.float32]
"""Values over a grid, shape (rows, columns); coordinates come as x of shape (1, columns) and y of shape (rows, 1)."""


class Chest(NamedTuple):
    """One phantom chest with what is wrong with it."""

    width: int
    """Pixels of the picture."""
    height: int
    centre: float
    """x of the spine."""
    apex: float
    """y of the lung tops."""
    base: float
    """y of the domes of the diaphragm."""
    reach: float
    """From the spine to the side wall."""
    heart: float
    """Half the width of the heart."""
    knob: float
    """Radius of the aortic knob, in 0-1 of the width."""
    findings: tuple[Finding, ...]
    texture: int
    """Key of the picture's own noise."""

    @property
    def aspect(self) -> float:
        """Width over height: multiplies a vertical length in 0-1 of the width."""
        return self.width / self.height


def make_chest(
    body: np.random.Generator, picture: np.random.Generator, size: tuple[int, int], findings: tuple[Finding, ...]
) -> Chest:
    """Make the chest of a picture of (width, height) pixels; `body` is the patient's chance, `picture` the image's."""
    kinds = {finding.kind: finding for finding in findings}
    heart = body.uniform(0.125, 0.145)
    if "cardiomegaly" in kinds:
        heart = {"small": 0.18, "moderate": 0.195, "large": 0.21}[kinds["cardiomegaly"].size]
    return Chest(
        width=size[0],
        height=size[1],
        centre=0.5 + picture.uniform(-0.02, 0.02),
        apex=body.uniform(0.10, 0.14),
        base=body.uniform(0.67, 0.72) + picture.uniform(-0.01, 0.01),
        reach=body.uniform(0.35, 0.385),
        heart=heart,
        knob=0.065 if "aorta" in kinds else 0.034,
        findings=findings,
        texture=int(picture.integers(1 << 30)),
    )


def grid(width: int, height: int) -> tuple[Field, Field]:
    """Coordinates of the middles of `width` x `height` pixels."""
    x = (np.arange(width) + 0.5) / width
    y = (np.arange(height) + 0.5) / height
    return x.astype(np.float32)[None, :], y.astype(np.float32)[:, None]


def step(distance: Field, softness: float) -> Field:
    """0 where `distance` is well below zero, 1 where well above, smooth over a few times `softness`."""
    return np.asarray(0.5 + 0.5 * np.tanh(distance / (2 * softness)), dtype=np.float32)


def ellipse(x: Field, y: Field, centre: tuple[float, float], radii: tuple[float, float]) -> Field:
    """Squared relative distance from the centre: 1 on the ellipse."""
    return ((x - centre[0]) / radii[0]) ** 2 + ((y - centre[1]) / radii[1]) ** 2


def sign(side: Side) -> int:
    """-1 for the patient's right (left of the picture), 1 for the left."""
    return -1 if side == "right" else 1


def angle_depth(chest: Chest, side: Side) -> float:
    """Y of the costophrenic angle."""
    return chest.base + (0.10 if side == "right" else 0.115)


def cavity(chest: Chest, side: Side, x: Field, y: Field, shrink: float = 0.0) -> Field:
    """Signed relative depth within one half of the chest, diaphragm ignored: positive inside, 0 on its border.

    `shrink` draws the border back towards the hilum, as a collapsing lung does.
    """
    bottom = chest.base + 0.22
    middle = (chest.apex + bottom) / 2
    v = (y - middle) / ((bottom - chest.apex) / 2)
    lateral = chest.reach * (1 - 0.42 * np.clip(-v, 0, 1) ** 2.2)
    s = sign(side) * (x - chest.centre)
    inner = 0.055 + 0.02 * v
    u = (s - (lateral + inner) / 2) / ((lateral - inner) / 2)
    u, v = u + shrink, v - shrink * 0.8
    scale = 1 - 0.6 * shrink
    return np.asarray(1 - np.abs(u / scale) ** 2.6 - np.abs(v / scale) ** 2.6, dtype=np.float32)


def dome(chest: Chest, side: Side, x: Field) -> Field:
    """Y of the diaphragm below each x."""
    s = sign(side) * (x - chest.centre)
    top = chest.base + (0.0 if side == "right" else 0.015)
    return np.asarray(top + 0.10 * np.abs((s - 0.42 * chest.reach) / (0.58 * chest.reach)) ** 2.2, dtype=np.float32)


def lung(chest: Chest, side: Side, x: Field, y: Field) -> Field:
    """How much each point belongs to the aerated lung, 0-1."""
    return step(cavity(chest, side, x, y), 0.06) * step(dome(chest, side, x) - y, 0.006)


def heart(chest: Chest, x: Field, y: Field) -> Field:
    """Signed relative depth within the heart: an egg that leans to the patient's left."""
    centre = (chest.centre + 0.32 * chest.heart, chest.base - 0.06)
    radii = (chest.heart, 0.135 + 0.25 * (chest.heart - 0.13))
    lean = x - 0.42 * (y - centre[1]) * chest.aspect
    wider_below = 1 + 1.1 * np.clip(y - centre[1] + 0.05, -0.12, 0.10)
    return np.asarray(
        1 - ((lean - centre[0]) / radii[0] / wider_below) ** 2 - np.abs((y - centre[1]) / radii[1]) ** 2.2
    )


def knob_centre(chest: Chest) -> tuple[float, float]:
    """Centre of the aortic knob."""
    return chest.centre + 0.035 + 0.3 * chest.knob, chest.apex + 0.17


def lung_point(chest: Chest, finding: Finding, side: Side) -> tuple[float, float]:
    """A place within the lung, in the finding's zone and off the heart."""
    rng = np.random.default_rng([finding.texture, sign(side) + 1])
    share = {"upper": 0.26, "mid": 0.5, "lower": 0.76}[finding.zone] + rng.uniform(-0.05, 0.05)
    out = {"upper": 0.5, "mid": 0.6, "lower": 0.68}[finding.zone] + rng.uniform(-0.06, 0.06)
    return chest.centre + sign(side) * chest.reach * out, chest.apex + share * (chest.base - chest.apex)


def extent(mask: Field, threshold: float) -> Box | None:
    """The smallest box around everything above `threshold`; None if there is nothing."""
    rows = np.flatnonzero((mask > threshold).any(axis=1))
    columns = np.flatnonzero((mask > threshold).any(axis=0))
    if not rows.size:
        return None
    height, width = mask.shape
    return Box(columns[0] / width, rows[0] / height, (columns[-1] + 1) / width, (rows[-1] + 1) / height)
