"""Anatomical grounding: where a region lies."""

from __future__ import annotations

from collections.abc import Sequence

from radvlm_cli.instructions.boxes import Corners, boxes_text
from radvlm_cli.instructions.wording import choose, fill, variants
from radvlm_cli.records import Turn

_TASK = "anatomical_grounding"
_PAIRED = (
    *("lung", "apical zone", "upper lung zone", "mid lung zone", "lower lung zone", "hilar structures"),
    *("costophrenic angle", "cardiophrenic angle", "hemidiaphragm", "clavicle", "upper abdomen", "cardiac silhouette"),
)
_SINGLE = (
    *("cardiac silhouette", "right atrium", "trachea", "carina", "spine", "mediastinum", "upper mediastinum"),
    *("aortic arch", "descending aorta", "svc", "cavoatrial junction", "abdomen"),
)
REGIONS = frozenset((*_SINGLE, *(f"{side} {part}" for side in ("right", "left") for part in _PAIRED)))
"""The names that Chest ImaGenome has for regions, which are those that the model is trained with."""
_SPELT_OUT = {"svc": "superior vena cava"}


def ask(region: str, number: int) -> Turn:
    """The question about `region`; `number` chooses its wording."""
    name = _SPELT_OUT.get(region, region)
    return Turn("human", fill(choose(variants(_TASK, "question", "region"), number & 0xFFFF), region=name))


def instruct(region: str, boxes: Sequence[Corners], number: int) -> tuple[Turn, Turn]:
    """Question about `region` and an answer with its boxes (at least one).

    The low 16 bits of `number` choose the question, the next 16 the answer.
    """
    name = _SPELT_OUT.get(region, region)
    section = "answer one box" if len(boxes) == 1 else "answer several boxes"
    answer = choose(variants(_TASK, section, "region", "boxes"), number >> 16 & 0xFFFF)
    said = fill(answer, region=name, boxes=boxes_text(boxes))
    return ask(region, number), Turn("gpt", said)
