"""What workers can be set to: answer the samples of test sets, or judge the answers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

from radvlm_cli.stages.answering.job import Ask, check_adapter
from radvlm_cli.store.evaluations import counts, keep_adapter, keep_answers, unanswered
from radvlm_cli.store.judgements import keep_judgements, unjudged
from radvlm_cli.store.runs import Run
from radvlm_cli.store.spool_writer import now


class Work(Protocol):
    """What becomes of the workers' lines."""

    def left(self, asks: Iterable[Ask]) -> list[Ask]:
        """Those that have brought nothing yet."""

    def give_up(self, asks: Sequence[Ask], why: str) -> None:
        """Keep an error for each."""

    def loaded(self, adapter: Mapping[str, Any]) -> None:
        """A worker has loaded the model, which says this of itself. ConfigError where it does not fit what there is."""

    def failed(self) -> int:
        """How many errors there are."""


class Predicting:
    """Answers become predictions."""

    def __init__(self, run: Run, evaluations: Collection[int]) -> None:
        self._run, self._evaluations = run, sorted(evaluations)

    def left(self, asks: Iterable[Ask]) -> list[Ask]:
        """See Work."""
        return unanswered(self._run.store, asks)

    def give_up(self, asks: Sequence[Ask], why: str) -> None:
        """See Work."""
        keep_answers(self._run, (_answer(ask, why) for ask in asks))

    def loaded(self, adapter: Mapping[str, Any]) -> None:
        """See Work: the first that was said counts."""
        for evaluation in self._evaluations:
            check_adapter(keep_adapter(self._run, evaluation, adapter), adapter)

    def failed(self) -> int:
        """See Work."""
        return sum(counts(self._run.store, evaluation).get("error", 0) for evaluation in self._evaluations)


def _answer(ask: Ask, why: str) -> dict[str, Any]:
    return {
        "evaluation_id": ask.evaluation_id,
        "position": ask.position,
        "status": "error",
        "text": "[]" if ask.task == "conversation" else "",
        "prompt": ask.questions[0],
        "worker": "",
        "attempt": ask.attempt,
        "error": why,
        "at": now(),
    }


class Judging:
    """Answers become judgements of a judge that is named."""

    def __init__(self, run: Run, judge: str) -> None:
        self._run, self._judge = run, judge
        self._given_up = 0

    def left(self, asks: Iterable[Ask]) -> list[Ask]:
        """See Work."""
        return unjudged(self._run.store, asks, self._judge)

    def give_up(self, asks: Sequence[Ask], why: str) -> None:
        """See Work."""
        rows = [(ask.evaluation_id, ask.position, "error", why) for ask in asks]
        keep_judgements(self._run, self._judge, rows)
        self._given_up += len(asks)

    def loaded(self, adapter: Mapping[str, Any]) -> None:
        """See Work. What decides a judgement is in the judge's name."""

    def failed(self) -> int:
        """See Work."""
        return self._given_up
