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
from radvlm_cli.stages.dataset_files import Pair
from radvlm_cli.store.components import Candidate, regions
from radvlm_cli.store.engine import Store

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
    store: Store,
    component: Component,
    records: Iterator[Candidate],
    place: ImagePlace,
    *,
    seed: int,
    uncertain: Uncertain,
) -> Iterator[tuple[Pair, Candidate, int | None]]:
    """Put each record into words, as often as the recipe repeats it; yields pair, record, ordinal of the grounding."""
    make = _MAKERS[component.task](store, uncertain)
    name, repeat = component.name, component.repeat
    for record in records:
        image = place.path(record)
        for repetition in range(repeat):
            made = make(record, keyed_number(seed, name, record.key, repetition))
            suffix = f"-{repetition + 1}" if repeat > 1 else ""
            pair = Pair(
                f"{name}-{record.key}{suffix}",
                image,
                made.turns,
                name,
                component.task,
                component.source,
                record.image_id,
                record.patient_id,
                record.study_id,
                record.width,
                record.height,
            )
            yield pair, record, made.grounding


def is_certain(labels: str) -> bool:
    """Whether no finding in this JSON object of labels is uncertain."""
    return -1 not in loads(labels).values()


class _Made(NamedTuple):
    turns: tuple[Turn, ...]
    grounding: int | None = None


_Maker = Callable[[Candidate, int], _Made]


def _report(_store: Store, _uncertain: Uncertain) -> _Maker:
    return lambda record, number: _Made(report_generation.instruct(record.content, number))


def _classification(_store: Store, uncertain: Uncertain) -> _Maker:
    return lambda record, number: _Made(classification.instruct(_positive(record.content, uncertain), number))


def _region(store: Store, _uncertain: Uncertain) -> _Maker:
    def make(record: Candidate, number: int) -> _Made:
        # Looked up for the sampled images only. The high bits choose the region, the low ones the wording.
        found = list(loads(regions(store, record.image)).items())
        place = (number >> 40) % len(found)
        name, boxes = found[place]
        return _Made(anatomical_grounding.instruct(name, boxes, number), place)

    return make


def _abnormality(_store: Store, _uncertain: Uncertain) -> _Maker:
    return lambda record, number: _Made(
        abnormality_grounding.instruct(str(record.name), loads(record.content), number), record.grounding
    )


def _detection(_store: Store, _uncertain: Uncertain) -> _Maker:
    return lambda record, number: _Made(abnormality_detection.instruct(loads(record.content), number))


def _phrase(_store: Store, _uncertain: Uncertain) -> _Maker:
    return lambda record, number: _Made(
        phrase_grounding.instruct(str(record.name), loads(record.content), number), record.grounding
    )


def _conversation(_store: Store, _uncertain: Uncertain) -> _Maker:
    return lambda record, _number: _Made(conversation.decode(record.content))


_MAKERS: dict[str, Callable[[Store, Uncertain], _Maker]] = {
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
def _positive(labels: str, uncertain: Uncertain) -> tuple[str, ...]:
    values: dict[str, int] = loads(labels)
    present = (1, -1) if uncertain == "positive" else (1,)
    return tuple(name for name in ABNORMALITIES if values.get(name) in present)
