"""The 36 anatomical regions of Chest ImaGenome on a phantom chest."""

from __future__ import annotations

from radvlm_cli.demo.anatomy import Chest, angle_depth, extent, grid, heart, knob_centre, lung, sign, step
from radvlm_cli.demo.findings import Finding, Side
from radvlm_cli.records import Box

_SIDES: tuple[Side, Side] = ("right", "left")
_ZONES = {
    "": (0.0, 1.0),
    "apical zone": (0.0, 0.17),
    "upper lung zone": (0.0, 0.36),
    "mid lung zone": (0.36, 0.68),
    "lower lung zone": (0.68, 1.0),
}


def regions(chest: Chest) -> dict[str, Box]:
    """Box every region, by its name in the scene graphs."""
    found = _middle(chest)
    for side in _SIDES:
        found |= _one_side(chest, side)
    return {name: Box(*(min(max(float(c), 0.0), 1.0) for c in box)) for name, box in found.items()}


def _one_side(chest: Chest, side: Side) -> dict[str, Box]:
    whole = _lung(chest, side)
    height = whole.y_max - whole.y_min
    found = {}
    for zone, (top, bottom) in _ZONES.items():
        inset = 0.25 * (whole.x_max - whole.x_min) if zone == "apical zone" else 0.0
        box = Box(
            whole.x_min + (inset if side == "right" else 0.0),
            whole.y_min + top * height,
            whole.x_max - (0.0 if side == "right" else inset),
            whole.y_min + bottom * height,
        )
        found[f"{side} {zone}" if zone else f"{side} lung"] = box
    depth = angle_depth(chest, side)
    hilum = chest.apex + 0.52 * (chest.base - chest.apex)
    found[f"{side} hilar structures"] = _towards(chest, side, 0.06, hilum - 0.10, 0.19, hilum + 0.08)
    found[f"{side} costophrenic angle"] = _towards(
        chest, side, 0.72 * chest.reach, depth - 0.10, 0.96 * chest.reach, depth
    )
    found[f"{side} cardiophrenic angle"] = _towards(chest, side, 0.09, chest.base - 0.03, 0.20, chest.base + 0.06)
    found[f"{side} hemidiaphragm"] = _towards(chest, side, 0.05, chest.base - 0.02, 0.95 * chest.reach, depth)
    found[f"{side} clavicle"] = _towards(chest, side, 0.04, chest.apex - 0.03, chest.reach, chest.apex + 0.07)
    found[f"{side} upper abdomen"] = _towards(chest, side, 0.0, depth, chest.reach, 1.0)
    return found


def _middle(chest: Chest) -> dict[str, Box]:
    c, apex, base = chest.centre, chest.apex, chest.base
    silhouette = _heart(chest)
    fork = apex + 0.23
    knob, radius = knob_centre(chest), (chest.knob, chest.knob * chest.aspect)
    return {
        "cardiac silhouette": silhouette,
        "right cardiac silhouette": silhouette._replace(x_max=c),
        "left cardiac silhouette": silhouette._replace(x_min=c),
        "right atrium": Box(silhouette.x_min, (silhouette.y_min + base) / 2, c, silhouette.y_max - 0.02),
        "trachea": Box(c - 0.03, 0.02, c + 0.03, fork - 0.02),
        "carina": Box(c - 0.03, fork - 0.03, c + 0.03, fork + 0.02),
        "spine": Box(c - 0.05, 0.0, c + 0.05, 1.0),
        "mediastinum": Box(min(c - 0.09, silhouette.x_min), apex - 0.04, silhouette.x_max, base + 0.04),
        "upper mediastinum": Box(c - 0.09, apex - 0.04, c + 0.09, fork + 0.02),
        "aortic arch": Box(knob[0] - radius[0], knob[1] - radius[1], knob[0] + radius[0], knob[1] + radius[1]),
        "descending aorta": Box(c + 0.01, knob[1], c + 0.08, base),
        "svc": Box(c - 0.085, apex + 0.08, c - 0.025, fork + 0.04),
        "cavoatrial junction": Box(c - 0.09, fork + 0.02, c - 0.02, fork + 0.09),
        "abdomen": Box(c - chest.reach, base + 0.10, c + chest.reach, 1.0),
    }


def affected(finding: Finding) -> tuple[str, ...]:
    """The regions in which a finding is described."""
    if finding.kind == "cardiomegaly":
        return ("cardiac silhouette",)
    if finding.kind == "device":
        return ("svc",)
    if finding.kind == "aorta":
        return ("aortic arch",)
    part = {
        "effusion": "costophrenic angle",
        "pneumothorax": "apical zone",
        "atelectasis": "lower lung zone",
        "edema": "hilar structures",
    }.get(finding.kind, f"{finding.zone} lung zone")
    return tuple(f"{side} {part}" for side in finding.sides)


def _towards(chest: Chest, side: Side, inner: float, top: float, outer: float, bottom: float) -> Box:
    """A box given by its distances from the spine, on one side."""
    x = sorted((chest.centre + sign(side) * inner, chest.centre + sign(side) * outer))
    return Box(x[0], top, x[1], bottom)


def _lung(chest: Chest, side: Side) -> Box:
    box = extent(lung(chest, side, *grid(256, 256)), 0.5)
    assert box is not None
    return box


def _heart(chest: Chest) -> Box:
    box = extent(step(heart(chest, *grid(256, 256)), 0.05), 0.5)
    assert box is not None
    return box
