"""What can be seen on a phantom chest, and what each dataset calls it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

import numpy as np

from radvlm_cli.labels import NO_FINDING

Side = Literal["right", "left"]
Size = Literal["small", "moderate", "large"]
Zone = Literal["upper", "mid", "lower"]


class Finding(NamedTuple):
    """One thing to draw, to label, to box and to write about."""

    kind: str
    """A key of KINDS."""
    sides: tuple[Side, ...] = ("right",)
    """The patient's sides: right lies on the left of the picture."""
    size: Size = "moderate"
    zone: Zone = "mid"
    """Height in the lung, for nodules and consolidations."""
    texture: int = 0
    """Key of the finding's own irregularities (position within the zone, ripples)."""


class Kind(NamedTuple):
    """The names of one kind of finding. None where a dataset has no word for it."""

    chexpert: tuple[str, ...]
    vindr: str | None
    mscxr: str | None
    padchest: str
    bilateral: bool
    """Whether it may be on both sides, with a box on each."""
    sided: bool = True


KINDS: dict[str, Kind] = {
    "cardiomegaly": Kind(("Cardiomegaly",), "Cardiomegaly", "Cardiomegaly", "cardiomegaly", False, sided=False),
    "effusion": Kind(("Pleural Effusion",), "Pleural effusion", "Pleural Effusion", "pleural effusion", True),
    "pneumothorax": Kind(("Pneumothorax",), "Pneumothorax", "Pneumothorax", "pneumothorax", False),
    "consolidation": Kind(("Consolidation", "Lung Opacity"), "Consolidation", "Consolidation", "consolidation", True),
    "nodule": Kind(("Lung Lesion",), "Nodule/Mass", "Lung Opacity", "nodule", False),
    "atelectasis": Kind(("Atelectasis", "Lung Opacity"), "Atelectasis", "Atelectasis", "laminar atelectasis", True),
    "edema": Kind(("Edema", "Lung Opacity"), "Edema", "Edema", "interstitial pattern", True),
    "device": Kind(("Support Devices",), None, None, "central venous catheter", False),
    "aorta": Kind((), "Aortic enlargement", None, "aortic elongation", False, sided=False),
}
_WEIGHTS = (0.20, 0.20, 0.12, 0.16, 0.12, 0.08, 0.05, 0.07)
_CLASHES = {"pneumothorax": {"effusion", "consolidation"}, "effusion": {"pneumothorax", "atelectasis"}}
_SIZES: tuple[Size, ...] = ("small", "moderate", "large")
_ZONES: tuple[Zone, ...] = ("upper", "mid", "lower")


def choose_findings(rng: np.random.Generator, *, kinds: Iterable[str] | None = None) -> tuple[Finding, ...]:
    """Invent what one chest shows: nothing at all in three of ten, else one to three findings.

    With `kinds` exactly these, with sides and sizes by chance.
    """
    if kinds is None:
        names = [name for name in KINDS if name != "aorta"]
        count = 0 if rng.random() < 0.3 else int(rng.integers(1, 4))
        kinds = [names[i] for i in rng.choice(len(names), size=count, replace=False, p=_WEIGHTS)]
    chosen: list[str] = []
    for kind in kinds:
        if not _CLASHES.get(kind, set()) & set(chosen) and not any(kind in _CLASHES.get(k, ()) for k in chosen):
            chosen.append(kind)
    return tuple(_invent(kind, rng) for kind in chosen)


def _invent(kind: str, rng: np.random.Generator) -> Finding:
    names = KINDS[kind]
    sides: tuple[Side, ...] = ("right",) if rng.random() < 0.5 else ("left",)
    if kind == "edema" or (names.bilateral and rng.random() < 0.3):
        sides = ("right", "left")
    if kind == "device":
        sides = ("right",)
    size, zone = _SIZES[rng.integers(3)], _ZONES[rng.integers(3)]
    return Finding(kind, sides, size, zone, texture=int(rng.integers(1 << 30)))


def chexpert_labels(findings: Iterable[Finding]) -> dict[str, float]:
    """Label one study as a labeller of its report would: 1 present, 0 denied, -1 uncertain, others not mentioned."""
    findings = tuple(findings)
    labels = {name: 1.0 for finding in findings for name in KINDS[finding.kind].chexpert}
    if not labels.keys() - {"Support Devices"}:
        labels[NO_FINDING] = 1.0
    for name in ("Pneumothorax", "Pleural Effusion"):
        labels.setdefault(name, 0.0)
    for finding in findings:
        if finding.kind == "consolidation":
            labels["Pneumonia"] = 1.0 if finding.size == "large" else -1.0
        if finding.kind == "cardiomegaly" and finding.size != "small":
            labels["Enlarged Cardiomediastinum"] = -1.0
    return labels
