"""Phrase grounding: where what a sentence describes lies."""

from __future__ import annotations

from collections.abc import Sequence

from radvlm_cli.instructions.boxes import Corners, boxes_text
from radvlm_cli.instructions.wording import choose, fill, variants
from radvlm_cli.records import Turn

_TASK = "phrase_grounding"


def ask(phrase: str, number: int) -> Turn:
    """The question about `phrase`; `number` chooses its wording."""
    quoted = " ".join(phrase.split()).rstrip(" .").replace('"', "'")
    return Turn("human", fill(choose(variants(_TASK, "question", "phrase"), number & 0xFFFF), phrase=quoted))


def instruct(phrase: str, boxes: Sequence[Corners], number: int) -> tuple[Turn, Turn]:
    """Question about `phrase` and an answer with its boxes (at least one).

    The low 16 bits of `number` choose the question, the next 16 the answer.
    """
    section = "answer one box" if len(boxes) == 1 else "answer several boxes"
    answer = choose(variants(_TASK, section, "boxes"), number >> 16 & 0xFFFF)
    return ask(phrase, number), Turn("gpt", fill(answer, boxes=boxes_text(boxes)))
