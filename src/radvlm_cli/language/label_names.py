"""Names of the CheXpert labels: which concept of findings.yaml is which label, and words that say yes, no or maybe."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from radvlm_cli.labels import ABNORMALITIES, ALIASES
from radvlm_cli.language.findings import Polarity, findings_in, narrower

NOTHING = "No Finding"
Piece = tuple[str, Polarity, int, int]
"""Label, what is said of it, start and end."""


class Said(NamedTuple):
    """What was read, and what was not."""

    evidence: tuple[Piece, ...] = ()
    others: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    rest: str = ""
    """The text with what was read blanked."""

    def names_any(self) -> bool:
        """Whether a label was named, or all were denied."""
        return bool(self.evidence)


_OF_CONCEPT: Mapping[str, str] = {
    "atelectasis": "Atelectasis",
    "cardiomegaly": "Cardiomegaly",
    "consolidation": "Consolidation",
    "edema": "Edema",
    "congestion": "Edema",
    "mediastinal widening": "Enlarged Cardiomediastinum",
    "fracture": "Fracture",
    "vertebral compression": "Fracture",
    **dict.fromkeys(("nodule", "mass", "lesion", "granuloma", "cavity", "bone lesion"), "Lung Lesion"),
    **dict.fromkeys(("opacity", "infiltrate", "interstitial disease"), "Lung Opacity"),
    "effusion": "Pleural Effusion",
    "pleural thickening": "Pleural Other",
    "pneumonia": "Pneumonia",
    "pneumothorax": "Pneumothorax",
}
_DENIED_BY: Mapping[str, tuple[str, ...]] = {
    "clear lungs": ("Lung Opacity", "Consolidation"),
    "normal mediastinum": ("Enlarged Cardiomediastinum",),
    "normal pleura": ("Pleural Effusion",),
    "normal bones": ("Fracture",),
}
_PRESENT = (
    r"yes|y|present|positive|true|detected|seen|identified|visible|noted|confirmed|definite(?:ly)?|likely present"
    r"|\+|\u2713|\u2714|\u2705|x"
)
_ABSENT = (
    r"no|n|none|not|never|nil|absent|negative|false|normal|denied|unlikely|excluded|ruled out|without|free of|\u2717"
    r"|\u2718|\u274c|(?:\u2212|-)(?![\s\d.])|(?:\u2212|-)(?=\s*$)"
)
_UNCERTAIN = (
    r"uncertain|unclear|unsure|possibl[ey]|maybe|perhaps|may be|may|might|could|equivocal|indeterminate|questionable"
    r"|(?:can ?not|can't|could not) (?:be )?(?:\w+ly )?(?:excluded?|ruled? out|determined?)|suspected|suspicion"
    r"|likely|probabl[ey]|borderline|not sure|not certain|unknown whether|\?"
)
_END = r"(?![A-Za-z0-9])"
_VALUES: tuple[tuple[Polarity, re.Pattern[str]], ...] = (
    ("uncertain", re.compile(rf"(?:{_UNCERTAIN}){_END}", re.IGNORECASE)),
    ("absent", re.compile(rf"(?:{_ABSENT}){_END}", re.IGNORECASE)),
    ("present", re.compile(rf"(?:{_PRESENT}){_END}", re.IGNORECASE)),
)
_NUMBER = re.compile(r"[-\u2212+]?\d*\.?\d+(?![\d.]*[A-Za-z\d])\s*(%)?")
_WRAPPING = re.compile(r"^[\s\W\d_]+|[\s\W_]+$")
_LONGEST = 80
"""Characters of a name or a verdict; a longer one is a sentence."""
_BLANKS = re.compile(r"[\s_/-]+")


_GROUPS: tuple[tuple[str, Polarity], ...] = (
    (
        r"(?:not |un)(?:present|seen|detected|correct|affected)|absent|negatives?|no|ruled out|excluded|incorrect"
        r"|denied",
        "absent",
    ),
    (r"possible|uncertain|probable|equivocal|suspected|maybe|unclear|indeterminate|questionable", "uncertain"),
    (
        r"present|positives?|yes|definite|detected|correct|certain|confirmed|identified|findings?|abnormalit(?:y|ies)|labels?"
        r"|answers?|diagnos[ei]s|diseases?|conditions?|visible|seen",
        "present",
    ),
)
_GROUP_REST = r"(?:\s+(?:findings?|labels?|abnormalit(?:y|ies)|conditions?|for|are|is|diagnos[ei]s|diseases?))*"
_HEADINGS = tuple((re.compile(f"(?:{words}){_GROUP_REST}", re.IGNORECASE), said) for words, said in _GROUPS)


def label_of_concept(concept: str) -> str | None:
    """The label that a concept of findings.yaml belongs to; None: none of the thirteen."""
    if concept in _OF_CONCEPT:
        return _OF_CONCEPT[concept]
    return "Support Devices" if concept in narrower("device") else None


def denied_labels(state: str) -> tuple[str, ...]:
    """Labels that a normal state denies: `clear lungs` denies opacity and consolidation."""
    return _DENIED_BY.get(state, ())


@lru_cache(maxsize=4096)
def label_of(name: str) -> str | None:
    """The label that a short name means (`effusions`, `**Pleural_Effusion**`), `No Finding`, or None."""
    if len(name) > _LONGEST:
        return None
    plain = _BLANKS.sub(" ", _WRAPPING.sub("", name)).casefold()
    if plain in _NAMES:
        return _NAMES[plain]
    if not plain or len(plain.split()) > 6:
        return None
    meant = {label_of_concept(found.concept) for found in findings_in(plain) if found.polarity == "present"}
    return meant.pop() if len(meant) == 1 else None


def polarity_of(value: str) -> Polarity | None:
    """What the words, sign or number after a label's name say of it; None: something else."""
    value = value.strip()[:_LONGEST]
    said = value.strip(" \t\r\n*_`\"'|([{)]}:,;.")
    if number := _NUMBER.match(value.strip(" \t*_`\"'([")):
        return of_number(float(number[0].replace("\u2212", "-").rstrip("% ")) / (100 if number[1] else 1))
    for polarity, pattern in _VALUES:
        if pattern.match(said) or (value.strip(" ()") and pattern.fullmatch(value.strip(" ()"))):
            return polarity
    return None


def of_number(value: float) -> Polarity | None:
    """1 or a probability from one half on: present; below: absent; -1: uncertain; another number says nothing."""
    if value == -1:
        return "uncertain"
    if 0 <= value <= 1:
        return "present" if value >= 0.5 else "absent"
    return None


def group_of(heading: str) -> Polarity | None:
    """What a heading says of the labels below it: `Absent findings`."""
    plain = heading.strip(" \t#*_`:>-").strip()
    return next((said for pattern, said in _HEADINGS if pattern.fullmatch(plain)), None)


def _names() -> dict[str, str]:
    names = {name.casefold(): name for name in ABNORMALITIES} | {a.casefold(): b for a, b in ALIASES.items()}
    nothing = (
        "no finding",
        "no findings",
        "none",
        "normal",
        "nothing",
        "no abnormality",
        "no abnormalities",
        "healthy",
    )
    names |= {f"{name}s": label for name, label in names.items() if not name.endswith("s")}
    return names | dict.fromkeys(nothing, NOTHING)


_NAMES = _names()
