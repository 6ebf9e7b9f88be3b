"""Anatomical grounding: where a region lies."""

from __future__ import annotations

from collections.abc import Sequence

from radvlm_cli.instructions.boxes import Corners, boxes_text
from radvlm_cli.instructions.wording import choose, fill, variants
from radvlm_cli.records import Turn

_TASK = "anatomical_grounding"
_SPELT_OUT = {"svc": "superior vena cava"}


def instruct(region: str, boxes: Sequence[Corners], number: int) -> tuple[Turn, Turn]:
    """Question about `region` and an answer with its boxes (at least one).

    The low 16 bits of `number` choose the question, the next 16 the answer.
    """
    name = _SPELT_OUT.get(region, region)
    section = "answer one box" if len(boxes) == 1 else "answer several boxes"
    question = choose(variants(_TASK, "question", "region"), number & 0xFFFF)
    answer = choose(variants(_TASK, section, "region", "boxes"), number >> 16 & 0xFFFF)
    said = fill(answer, region=name, boxes=boxes_text(boxes))
    return Turn("human", fill(question, region=name)), Turn("gpt", said)
