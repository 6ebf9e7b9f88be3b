"""Conversations as a judging language model grades them: what it is told, what it has to answer, and the metric.

The judge's prompt is `llm/prompts/judge-conversation.md`; a judge is a model and a hash of that prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from radvlm_cli.errors import DataError
from radvlm_cli.hashing import canonical_json
from radvlm_cli.metrics.family import Need, Table
from radvlm_cli.metrics.json_reply import sole_object
from radvlm_cli.metrics.ratios import ratio
from radvlm_cli.records import Box, JudgeReply

PROMPT = "judge-conversation"
HIGHEST = 10
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "rounds": {
            "type": "array",
            "items": {
                "type": "object",
                # The reason first: a model that has to give the score beforehand then defends it.
                "properties": {
                    "round": {"type": "integer"},
                    "reason": {"type": "string"},
                    "score": {"type": "number"},
                },
                "required": ["round", "reason", "score"],
                "additionalProperties": False,
            },
        },
        "reason": {"type": "string"},
        "overall": {"type": "number"},
    },
    "required": ["rounds", "reason", "overall"],
    "additionalProperties": False,
}


class Round(NamedTuple):
    """A question with the answer that is right and the one that was given."""

    question: str
    reference: str
    answer: str


class Scores(NamedTuple):
    """A judge's grades, 0-10."""

    overall: float
    rounds: tuple[float, ...]
    reason: str
    reasons: tuple[str, ...]
    """By round."""


def tell(rounds: Sequence[Round], located: Mapping[str, Sequence[Box]] | None = None) -> str:
    """What the judge is told of a conversation: JSON, so that no answer can pass for anything else.

    `located`: findings with their boxes, where the conversation is about an image with such.
    """
    told: dict[str, Any] = {"rounds": [{**one._asdict(), "answer": one.answer.strip()} for one in rounds]}
    if located:
        told["located"] = [
            {"finding": name, "boxes": [[round(value, 2) for value in box] for box in boxes]}
            for name, boxes in located.items()
        ]
    return canonical_json(told)


def parse_scores(text: str, rounds: int) -> Scores:
    """Read the grades of a conversation of so many rounds.

    Raises DataError with the reason, and none of its words, where the reply is not exactly one result of the form.
    """
    document = sole_object(text, "rounds", "overall")
    if document is None:
        raise DataError("the reply is not exactly one JSON object with `rounds` and `overall`")
    listed = document["rounds"]
    if not isinstance(listed, list) or len(listed) != rounds:
        raise DataError(f"`rounds` does not grade each of the {rounds} rounds once")
    for number, entry in enumerate(listed, start=1):
        if not isinstance(entry, dict) or entry.get("round") != number:
            raise DataError("the rounds are not numbered from 1 in order")
    return Scores(
        overall=_score(document["overall"]),
        rounds=tuple(_score(entry.get("score")) for entry in listed),
        reason=_reason(document.get("reason")),
        reasons=tuple(_reason(entry.get("reason")) for entry in listed),
    )


def _score(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DataError("a score is not a number")
    if not 0 <= value <= HIGHEST:  # nor is NaN
        raise DataError(f"a score is not between 0 and {HIGHEST}")
    return float(value)


def _reason(value: Any) -> str:
    if not isinstance(value, str):
        raise DataError("a reason is missing")
    return value


class Judged(NamedTuple):
    """A conversation with the judge's reply about it."""

    reply: JudgeReply
    rounds: int


class ConversationJudge:
    """Mean grades of conversations, 0-10. See metrics.family.Family.

    `judge_overall` is over all conversations: one without answers, and one that the judge failed at, counts as 0.
    `judge_overall_judged` leaves out what the judge failed at; `judge_coverage` tells how much that is.
    """

    name = "judge"
    version = 1
    columns = ("overall", "round_scores", "rounds", "scored", "samples")

    def missing(self) -> tuple[Need, ...]:
        """Nothing: the judge was asked elsewhere."""
        return ()

    def per_sample(self, predictions: Sequence[Judged | None], references: Sequence[object]) -> Table:
        """Shape (samples, 5): overall grade, sum of the rounds' grades and how many, whether there is a grade, 1.

        None: the judge has not been asked.
        """
        table = np.zeros((len(predictions), len(self.columns)))
        table[:, -1] = 1
        for row, (judged, _reference) in enumerate(zip(predictions, references, strict=True)):
            if judged is None:
                continue
            scores = _read(judged)
            if scores is not None:
                table[row, :-1] = (scores.overall, sum(scores.rounds), len(scores.rounds), 1)
            elif judged.reply.status == "empty":
                table[row, :-1] = (0, 0, judged.rounds, 1)
        return table

    def values(self, sums: Table) -> dict[str, Table]:
        """Means over all conversations, over graded ones, over graded rounds, and the share that is graded."""
        overall, round_scores, rounds, scored, samples = np.moveaxis(sums, -1, 0)
        return {
            "judge_overall": ratio(overall, samples),
            "judge_overall_judged": ratio(overall, scored),
            "judge_round": ratio(round_scores, rounds),
            "judge_coverage": ratio(scored, samples),
        }


def _read(judged: Judged) -> Scores | None:
    if judged.reply.status != "ok":
        return None
    try:
        return parse_scores(judged.reply.text, judged.rounds)
    except DataError:
        return None  # counted: it lowers the coverage
