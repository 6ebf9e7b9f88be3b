"""Abnormality detection: all abnormalities of an image, each with its boxes."""

from __future__ import annotations

from collections.abc import Sequence

from radvlm_cli.instructions.boxes import Corners, boxes_text
from radvlm_cli.instructions.names import within_sentence
from radvlm_cli.instructions.wording import choose, fill, variants
from radvlm_cli.records import Turn

_TASK = "abnormality_detection"


def instruct(found: Sequence[tuple[str, Sequence[Corners]]], number: int) -> tuple[Turn, Turn]:
    """Question and an answer with every (label, boxes) of the image (none: an answer that says so).

    The low 16 bits of `number` choose the question, the next 16 the answer.
    """
    question = Turn("human", fill(choose(variants(_TASK, "question"), number & 0xFFFF)))
    if not found:
        return question, Turn("gpt", fill(choose(variants(_TASK, "answer none"), number >> 16 & 0xFFFF)))
    (one,) = variants(_TASK, "one label", "label", "boxes")
    said = "; ".join(fill(one, label=within_sentence(label), boxes=boxes_text(boxes)) for label, boxes in found)
    answer = choose(variants(_TASK, "answer", "found"), number >> 16 & 0xFFFF)
    return question, Turn("gpt", fill(answer, found=said))
