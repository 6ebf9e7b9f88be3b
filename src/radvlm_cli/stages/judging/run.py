"""Let a language model grade all conversations of an evaluation run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from radvlm_cli.errors import ConfigError
from radvlm_cli.stages.evaluation.models import answer_of
from radvlm_cli.stages.judging.judge import GradingPlan, JudgeOptions, choose_judge, judge, plan_grading
from radvlm_cli.stages.texts.asking import Options
from radvlm_cli.stages.texts.writing import Choice, price_of
from radvlm_cli.store.engine import Store
from radvlm_cli.store.evaluations import answering_row
from radvlm_cli.store.judgements import evaluated
from radvlm_cli.store.runs import Run


class Pace(NamedTuple):
    """How many are asked, how fast, and for how much."""

    concurrency: int
    max_cost: float | None
    price: str | None
    retry_failed: bool
    limit: int | None


def judge_run(run: Run, wanted: int, who: Mapping[str, Any], pace: Pace) -> dict[str, dict[str, int]]:
    """Grade the conversations of an evaluation run; test set -> how many came out how.

    `who` has provider, model, azure_model, base_url and zero_retention. ConfigError where the run has no conversations.
    """
    return {
        evaluated(run.store, number).test_set: judge(run, number, options)
        for number, options in _chosen(run.store, wanted, who, pace)
    }


def plan_judging(store: Store, wanted: int, who: Mapping[str, Any], pace: Pace) -> list[GradingPlan]:
    """What `judge_run` would do; ConfigError where it would refuse."""
    return [plan_grading(store, number, options) for number, options in _chosen(store, wanted, who, pace)]


def _chosen(store: Store, wanted: int, who: Mapping[str, Any], pace: Pace) -> Iterator[tuple[int, JudgeOptions]]:
    """The evaluations of conversations of a run, each with its judge."""
    numbers = [each for each in answering_row(store, wanted).evaluations if _is_of_conversations(store, each)]
    if not numbers:
        raise ConfigError(
            f"Run {wanted} has no conversations to grade.", "radvlm eval --task conversation --model MODEL"
        )
    usual = {"temperature": 0.0, "max_tokens": None, "reasoning_effort": None, "batch": False, "batch_retention": False}
    for number in numbers:
        writer = choose_judge(store, number, Choice(**{**usual, **who}))
        price = price_of(writer, pace.price, pace.max_cost)
        calls = Options(concurrency=pace.concurrency, max_cost=pace.max_cost, price=price)
        yield number, JudgeOptions(writer, calls, pace.retry_failed, pace.limit, answer_of(store, number))


def _is_of_conversations(store: Store, evaluation_id: int) -> bool:
    return evaluated(store, evaluation_id).task == "conversation"
