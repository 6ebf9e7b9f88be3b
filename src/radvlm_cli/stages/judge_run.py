"""Let a language model grade all conversations of an evaluation run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from radvlm_cli.errors import ConfigError
from radvlm_cli.stages.asking import Options
from radvlm_cli.stages.evaluated_models import answer_of
from radvlm_cli.stages.judge import JudgeOptions, choose_judge, judge
from radvlm_cli.stages.writing import Choice, price_of
from radvlm_cli.store.engine import Store
from radvlm_cli.store.evaluations import answering_row
from radvlm_cli.store.judgements import evaluated
from radvlm_cli.store.runs import Run


def judge_run(
    run: Run,
    wanted: int,
    who: Mapping[str, Any],
    *,
    concurrency: int,
    max_cost: float | None,
    price: str | None,
    retry_failed: bool,
    limit: int | None,
) -> dict[str, dict[str, int]]:
    """Grade the conversations of an evaluation run; test set -> how many came out how.

    `who` has provider, model, azure_model, base_url and zero_retention. ConfigError where the run has no conversations.
    """
    numbers = [each for each in answering_row(run.store, wanted).evaluations if _is_of_conversations(run.store, each)]
    if not numbers:
        raise ConfigError(
            f"Run {wanted} has no conversations to grade.", "radvlm eval --task conversation --model MODEL"
        )
    usual = {"temperature": 0.0, "max_tokens": None, "reasoning_effort": None, "batch": False, "batch_retention": False}
    found = {}
    for number in numbers:
        writer = choose_judge(run.store, number, Choice(**{**usual, **who}))
        calls = Options(concurrency=concurrency, max_cost=max_cost, price=price_of(writer, price, max_cost))
        options = JudgeOptions(writer, calls, retry_failed, limit, answer_of(run.store, number))
        found[evaluated(run.store, number).test_set] = judge(run, number, options)
    return found


def _is_of_conversations(store: Store, evaluation_id: int) -> bool:
    return evaluated(store, evaluation_id).task == "conversation"
