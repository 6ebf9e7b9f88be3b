"""Report generation: the curated report answers a question for one."""

from __future__ import annotations

from radvlm_cli.instructions.wording import choose, fill, variants
from radvlm_cli.records import Turn


def ask(number: int) -> Turn:
    """The question; `number` chooses its wording."""
    return Turn("human", fill(choose(variants("report_generation", "question"), number)))


def instruct(report: str, number: int) -> tuple[Turn, Turn]:
    """Question and report; `number` (64 bits) chooses the question."""
    return ask(number), Turn("gpt", report)
