"""From one record of the store to one image-instruction pair."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from json import loads
from typing import Literal, NamedTuple

from radvlm_cli.hashing import keyed_number
from radvlm_cli.instructions import (
    abnormality_detection,
    abnormality_grounding,
    anatomical_grounding,
    classification,
    conversation,
    phrase_grounding,
    report_generation,
)
from radvlm_cli.labels import ABNORMALITIES
from radvlm_cli.recipes import Component
from radvlm_cli.records import Turn
from radvlm_cli.stages.datasets.files import Pair
from radvlm_cli.store.components import Candidate

Uncertain = Literal["positive", "negative", "ignore"]
"""What an uncertain finding counts as in classification; `ignore` leaves its image out."""


class ImagePlace(NamedTuple):
    """What is written in front of the paths of images, by the root that they are relative to."""

    data: str
    derived: str

    def path(self, record: Candidate) -> str:
        """The path of a record's image as the dataset has it."""
        return f"{self.data if record.root == 'data' else self.derived}{record.path}"


def pairs(
    component: Component,
    records: Iterator[Candidate],
    place: ImagePlace,
    *,
    seed: int,
    uncertain: Uncertain,
) -> Iterator[Pair]:
    """Put each record into words, as often as the recipe repeats it."""
    make = _MAKERS[component.task](uncertain)
    name, repeat = component.name, component.repeat
    for record in records:
        image, key = place.path(record), record.key
        for repetition in range(repeat):
            turns, grounding = make(record, keyed_number(seed, name, key, repetition))
            suffix = f"-{repetition + 1}" if repeat > 1 else ""
            yield Pair(f"{name}-{key}{suffix}", image, turns, record, grounding)


def is_certain(labels: str) -> bool:
    """Whether no finding in this JSON object of labels is uncertain."""
    return -1 not in loads(labels).values()


_Made = tuple[tuple[Turn, ...], int | None]
"""Turns, and which of the image's groundings or regions they are about."""
_Maker = Callable[[Candidate, int], _Made]


def _report(_uncertain: Uncertain) -> _Maker:
    return lambda record, number: (report_generation.instruct(record.content, number), None)


def _classification(uncertain: Uncertain) -> _Maker:
    return lambda record, number: (classification.instruct(positive_findings(record.content, uncertain), number), None)


def _region(_uncertain: Uncertain) -> _Maker:
    def make(record: Candidate, number: int) -> _Made:
        # The high bits choose the region, the low ones the wording.
        found = list(loads(record.content).items())
        place = (number >> 40) % len(found)
        name, boxes = found[place]
        return anatomical_grounding.instruct(name, boxes, number), place

    return make


def _abnormality(_uncertain: Uncertain) -> _Maker:
    return lambda record, number: (
        abnormality_grounding.instruct(str(record.name), loads(record.content), number),
        record.grounding,
    )


def _detection(_uncertain: Uncertain) -> _Maker:
    return lambda record, number: (abnormality_detection.instruct(loads(record.content), number), None)


def _phrase(_uncertain: Uncertain) -> _Maker:
    return lambda record, number: (
        phrase_grounding.instruct(str(record.name), loads(record.content), number),
        record.grounding,
    )


def _conversation(_uncertain: Uncertain) -> _Maker:
    return lambda record, _number: (conversation.decode(record.content), None)


_MAKERS: dict[str, Callable[[Uncertain], _Maker]] = {
    "report": _report,
    "classification": _classification,
    "region-grounding": _region,
    "abnormality-grounding": _abnormality,
    "abnormality-detection": _detection,
    "phrase-grounding": _phrase,
    "conversation": _conversation,
    "grounded-conversation": _conversation,
}


@lru_cache(maxsize=1 << 16)
def positive_findings(labels: str, uncertain: Uncertain) -> tuple[str, ...]:
    """The findings that count as present in this JSON object of labels, in the order of ABNORMALITIES."""
    values: dict[str, int] = loads(labels)
    present = (1, -1) if uncertain == "positive" else (1,)
    return tuple(name for name in ABNORMALITIES if values.get(name) in present)
