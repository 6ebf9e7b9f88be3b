"""Sentences about findings: English and Spanish, present state and comparison with an earlier study."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from radvlm_cli.demo.findings import Finding

Change = Literal["new", "increased", "decreased", "unchanged"]
CHANGES: tuple[Change, ...] = ("new", "increased", "decreased", "unchanged")

_DEGREE = {"small": "mild", "moderate": "moderate", "large": "severe"}
_DIAMETER = {"small": 14, "moderate": 20, "large": 26}
_SIZE_ES = {"small": "pequeño", "moderate": "moderado", "large": "grande"}
_SIDE_ES = {"right": "derecho", "left": "izquierdo", "both": "bilateral"}
_ZONE_ES = {"upper": "superior", "mid": "medio", "lower": "inferior"}


def phrase(finding: Finding) -> str:
    """Name a finding in a few words, e.g. `moderate right pleural effusion`."""
    side, degree = _side(finding), _DEGREE[finding.size]
    both = side == "bilateral"
    return {
        "cardiomegaly": f"{degree} cardiomegaly",
        "effusion": f"{finding.size} {side} pleural effusion{'s' if both else ''}",
        "pneumothorax": f"{finding.size} {side} apical pneumothorax",
        "consolidation": f"patchy {side} {finding.zone} lung consolidation{'s' if both else ''}",
        "nodule": f"{_DIAMETER[finding.size]} mm nodule in the {side} {finding.zone} lung",
        "atelectasis": f"linear {side} basilar atelectasis",
        "edema": f"{degree} perihilar pulmonary edema",
        "device": f"{side} central venous catheter ending in the superior vena cava",
        "aorta": "enlarged aortic arch",
    }[finding.kind]


def sentence(finding: Finding) -> str:
    """Say that a finding is there, without a word about other studies."""
    if finding.kind == "cardiomegaly":
        return f"The heart is {_DEGREE[finding.size]}ly enlarged."
    if finding.kind == "edema":
        return f"Perihilar haze indicates {_DEGREE[finding.size]} pulmonary edema."
    if finding.kind == "aorta":
        return "The aortic arch is enlarged."
    words = phrase(finding)
    if words.split()[0].endswith("s") or "effusions" in words or "consolidations" in words:
        return f"There are {words}."
    article = "" if finding.kind == "atelectasis" else "a "
    return f"There is {article}{words}."


def sentence_es(finding: Finding) -> str:
    """Say the same in Spanish, the language of the PadChest reports."""
    side, size, zone = _SIDE_ES[_side_key(finding)], _SIZE_ES[finding.size], _ZONE_ES[finding.zone]
    return {
        "cardiomegaly": "Aumento del tamaño de la silueta cardiaca.",
        "effusion": f"Derrame pleural {side} {size}.",
        "pneumothorax": f"Neumotórax apical {side} {size}.",
        "consolidation": f"Consolidación parcheada en campo pulmonar {zone} {side}.",
        "nodule": f"Nódulo de {_DIAMETER[finding.size]} mm en campo pulmonar {zone} {side}.",
        "atelectasis": f"Atelectasia laminar basal, lado {side}.",
        "edema": "Patrón intersticial perihiliar bilateral.",
        "device": f"Catéter venoso central {side} con extremo en vena cava superior.",
        "aorta": "Elongación aórtica.",
    }[finding.kind]


def comparison(finding: Finding, change: Change) -> str:
    """Say how a finding has changed since an earlier study."""
    name = phrase(finding)
    return {
        "new": f"Compared with the prior study, the {name} is new.",
        "increased": f"The {name} has increased since ___.",
        "decreased": f"The previously seen {name} has decreased.",
        "unchanged": f"The {name} is again seen, unchanged from ___.",
    }[change]


def denials(findings: Sequence[Finding]) -> list[str]:
    """Say what is not there."""
    kinds = {finding.kind for finding in findings}
    absent = [name for name in ("effusion", "pneumothorax") if name not in kinds]
    words = [{"effusion": "pleural effusion", "pneumothorax": "pneumothorax"}[name] for name in absent]
    said = [f"There is no {' or '.join(words)}."] if words else []
    if not kinds & {"consolidation", "nodule", "atelectasis", "edema", "effusion"}:
        said.append("The lungs are clear.")
    if "cardiomegaly" not in kinds:
        said.append("The cardiomediastinal silhouette is normal.")
    return said


def findings_text(findings: Sequence[Finding]) -> str:
    """Write a findings section about one study alone."""
    return " ".join([*map(sentence, findings), *denials(findings)])


def impression_text(findings: Sequence[Finding]) -> str:
    """Write an impression about one study alone; numbered where there is more than one thing to say."""
    serious = [phrase(finding).capitalize() + "." for finding in findings if finding.kind != "device"]
    if not serious:
        return "No acute cardiopulmonary process."
    if len(serious) == 1:
        return serious[0]
    return "  ".join(f"{number}. {text}" for number, text in enumerate(serious, 1))


def _side_key(finding: Finding) -> str:
    return "both" if len(finding.sides) > 1 else finding.sides[0]


def _side(finding: Finding) -> str:
    return "bilateral" if len(finding.sides) > 1 else finding.sides[0]
