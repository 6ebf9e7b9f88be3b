"""Abnormality classification: which findings are present."""

from __future__ import annotations

from collections.abc import Sequence

from radvlm_cli.instructions.names import listed, within_sentence
from radvlm_cli.instructions.wording import choose, fill, variants
from radvlm_cli.records import Turn

_TASK = "classification"


def instruct(findings: Sequence[str], number: int) -> tuple[Turn, Turn]:
    """Question and the findings that are present (none: an answer that says so).

    The low 16 bits of `number` choose the question, the next 16 the answer.
    """
    question = Turn("human", fill(choose(variants(_TASK, "question"), number & 0xFFFF)))
    if not findings:
        return question, Turn("gpt", fill(choose(variants(_TASK, "answer none"), number >> 16 & 0xFFFF)))
    answer = choose(variants(_TASK, "answer", "findings"), number >> 16 & 0xFFFF)
    return question, Turn("gpt", fill(answer, findings=listed([within_sentence(name) for name in findings])))
