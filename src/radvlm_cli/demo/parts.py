"""What each source of the phantom world tells the manifest, known from how it was made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Entry(NamedTuple):
    """One record of a component, before repetition, with whom it is about."""

    cohort: str
    """The group of sources that share patients: mimic, chexpert, padchest, vindr."""
    patient: str | None
    study: str | None
    image: str
    usable: bool = True
    """Whether its image file is there and can be read; otherwise no pair is built."""


@dataclass(frozen=True)
class Part:
    """One source as it was written."""

    facts: dict[str, Any]
    """True counts, for the manifest."""
    components: dict[str, list[Entry]] = field(default_factory=dict)
    """Training components of the default recipe, by name."""
    evaluation: dict[str, list[Entry]] = field(default_factory=dict)
    """Evaluation components, by name."""
    written: dict[str, list[Entry]] = field(default_factory=dict)
    """Training components of generated texts as they are once `curate` and `converse` have written all there is."""
    written_evaluation: dict[str, list[Entry]] = field(default_factory=dict)
    """Evaluation components, likewise."""
    paper: dict[str, list[Entry]] = field(default_factory=dict)
    """Training components that are chosen otherwise under the protocol `paper`."""
    leaks: tuple[dict[str, Any], ...] = ()
    """What was planted for the leakage check to find."""
    cases: Mapping[str, str] = field(default_factory=dict)
    """Edge case -> id of the patient, study, image or file that shows it."""


def count_components(parts: Iterable[Part]) -> dict[str, Any]:
    """Count training and evaluation components over all sources, before and after leaks are removed."""
    parts = list(parts)
    evaluation = {name: entries for part in parts for name, entries in part.evaluation.items()}
    written = {name: entries for part in parts for name, entries in part.written_evaluation.items()}
    seen = _identities(evaluation)
    seen_written = _identities(evaluation | written)
    return {
        "components": {name: _count(e, seen) for part in parts for name, e in part.components.items()},
        "evaluation": _count_evaluation(evaluation),
        "written": {
            "components": {name: _count(e, seen_written) for part in parts for name, e in part.written.items()},
            "evaluation": _count_evaluation(written),
        },
        "protocol_paper": {name: _count(e, seen) for part in parts for name, e in part.paper.items()},
    }


def _count_evaluation(components: Mapping[str, list[Entry]]) -> dict[str, dict[str, int]]:
    return {
        name: {"records": _usable(entries), "without_image": len(entries) - _usable(entries)}
        for name, entries in components.items()
    }


def _count(entries: list[Entry], seen: set[tuple[str, str, str]]) -> dict[str, int]:
    usable = [entry for entry in entries if entry.usable]
    return {
        "records": len(usable),
        "after_leak_removal": sum(1 for entry in usable if not _identities({"": [entry]}) & seen),
        "without_image": len(entries) - len(usable),
    }


def _usable(entries: Iterable[Entry]) -> int:
    return sum(1 for entry in entries if entry.usable)


def _identities(components: Mapping[str, list[Entry]]) -> set[tuple[str, str, str]]:
    return {
        (entry.cohort, level, name)
        for entries in components.values()
        for entry in entries
        for level, name in (("patient", entry.patient), ("study", entry.study), ("image", entry.image))
        if name is not None
    }
