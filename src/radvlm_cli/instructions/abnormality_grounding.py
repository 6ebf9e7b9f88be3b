"""Abnormality grounding: where a named abnormality lies."""

from __future__ import annotations

from collections.abc import Sequence

from radvlm_cli.instructions.boxes import Corners, boxes_text
from radvlm_cli.instructions.names import within_sentence
from radvlm_cli.instructions.wording import choose, fill, variants
from radvlm_cli.records import Turn

_TASK = "abnormality_grounding"


def ask(label: str, number: int) -> Turn:
    """The question about `label`; `number` chooses its wording."""
    name = within_sentence(label)
    return Turn("human", fill(choose(variants(_TASK, "question", "label"), number & 0xFFFF), label=name))


def instruct(label: str, boxes: Sequence[Corners], number: int) -> tuple[Turn, Turn]:
    """Question about `label` and an answer with its boxes (at least one).

    The low 16 bits of `number` choose the question, the next 16 the answer.
    """
    name = within_sentence(label)
    section = "answer one box" if len(boxes) == 1 else "answer several boxes"
    answer = choose(variants(_TASK, section, "label", "boxes"), number >> 16 & 0xFFFF)
    return ask(label, number), Turn("gpt", fill(answer, label=name, boxes=boxes_text(boxes)))
