"""Report generation: the curated report answers a question for one."""

from __future__ import annotations

from radvlm_cli.instructions.wording import choose, fill, variants
from radvlm_cli.records import Turn


def instruct(report: str, number: int) -> tuple[Turn, Turn]:
    """Question and report; `number` (64 bits) chooses the question."""
    question = choose(variants("report_generation", "question"), number)
    return Turn("human", fill(question)), Turn("gpt", report)
