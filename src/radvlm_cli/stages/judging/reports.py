"""Have GREEN's model judge the reports of a run: workers on any number of GPUs, resumed after anything."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal, NamedTuple

from radvlm_cli.adapters import card, most_tokens
from radvlm_cli.adapters.weights import find_weights
from radvlm_cli.errors import ConfigError
from radvlm_cli.hashing import content_hash
from radvlm_cli.metrics.green import green_prompt
from radvlm_cli.stages.answering.job import Ask, Job
from radvlm_cli.stages.answering.passes import Answering
from radvlm_cli.stages.answering.work import Judging
from radvlm_cli.stages.evaluation.models import Model, answer_of, backend, require_packages, weights_identity
from radvlm_cli.stages.evaluation.reading import takes_unfinished
from radvlm_cli.stages.evaluation.request import Asked, settle_batch, settle_loading, settle_ranks
from radvlm_cli.store.engine import Store
from radvlm_cli.store.evaluations import (
    ANSWERS,
    EvaluationRow,
    answering_row,
    answering_rows,
    evaluation_row,
    keep_answering,
)
from radvlm_cli.store.judgements import forget_judgements, judge_replies, keep_judgements
from radvlm_cli.store.lock import stage_lock
from radvlm_cli.store.runs import Run
from radvlm_cli.store.spool import take_in
from radvlm_cli.store.test_sets import set_row
from radvlm_cli.training.launch import Ranks, node_of_this_host

JUDGE = "green"
Values = dict[str, Any]


class JudgeRequest(NamedTuple):
    """How reports are to be judged."""

    model: Model
    loading: Values
    """Fields of adapters.protocol.Loading, as JSON."""
    batch: int | Literal["auto"]
    ranks: Ranks
    node: int
    output: Path
    """Where the runs' folders are made."""

    @property
    def name(self) -> str:
        """Of the judge, in the store: with a hash of all that decides what it says."""
        decides = {
            "card": self.model.card.version,
            "weights": weights_identity(self.model),
            "backend": backend(self.model),
            "batch": self.batch,
            "most": self.most,
            "prompt": green_prompt("", ""),
            **{name: self.loading[name] for name in ("device", "dtype", "attention", "options")},
        }
        return f"{JUDGE}/{self.model.name}/{content_hash(json.loads(json.dumps(decides)))[:12]}"

    @property
    def most(self) -> int:
        """Most new tokens."""
        return most_tokens(self.model.card, "report")


class _Pair(NamedTuple):
    position: int
    sample_id: str
    reference: str
    candidate: str
    """The answer; empty where there is nothing to judge."""


def make_judge_request(asked: Asked, output: Path) -> JudgeRequest:
    """Settle how reports are judged; RadvlmError where something is missing."""
    judge = card(JUDGE)
    model = Model(JUDGE, judge, find_weights(judge, asked.weights or ()))
    require_packages(model)
    ranks = settle_ranks(asked, model, None)
    loading = settle_loading(asked, model, "cuda" if ranks.gpus else "cpu")
    node = node_of_this_host(ranks.hosts) if ranks.hosts else 0
    return JudgeRequest(model, loading, settle_batch(asked.batch or "auto"), ranks, node, output)


def report_evaluations(store: Store, wanted: int) -> list[EvaluationRow]:
    """The evaluations of reports of a run; ConfigError where it has none."""
    found = [evaluation_row(store, number) for number in answering_row(store, wanted).evaluations]
    reports = [row for row in found if set_row(store, row.test_set_id).task == "report"]
    if not reports:
        raise ConfigError(f"Run {wanted} has no reports to judge.", "radvlm eval --task report --model MODEL")
    return reports


def judge_reports(
    run: Run, evaluations: Sequence[EvaluationRow], request: JudgeRequest, *, resume: str
) -> dict[str, int]:
    """Judge what has not been judged; returns judgements by status. `resume` is the command that goes on.

    Reports that are empty, refused, cut off or have an error are worth nothing and are not asked about. Judgements that
    failed are asked again. Interrupted where it was stopped; all judgements so far are kept then.
    """
    judge, numbers = request.name, [each.id for each in evaluations]
    with ExitStack() as locks:
        for number in numbers:
            locks.enter_context(stage_lock(run.store.path, f"judging-{number}"))
        for row in answering_rows(run.store):
            if set(numbers) & set(row.evaluations):
                take_in(run.store, row.run_id, row.folder, ANSWERS)
        folder = _folder(run, request.output)
        keep_answering(run, folder, numbers)
        asks = [ask for each in evaluations for ask in _asks(run, each, judge, request.most)]
        if asks:
            answering = Answering(
                *(run, folder, Judging(run, judge), _job(run, request, judge)),
                ranks=request.ranks,
                node=request.node,
                asks=asks,
                sizes={ask.key: len(ask.questions[0]) for ask in asks},
                resume=resume,
            )
            answering.to_the_end(0)
        return _outcome(run, numbers, judge)


def _folder(run: Run, output: Path) -> Path:
    names = (f"{run.id}{suffix}" for suffix in ("", *(f"-{n}" for n in range(2, 10_000))))
    folder = next(output / name for name in names if not (output / name).exists())
    folder.mkdir(parents=True)
    return folder


def _job(run: Run, request: JudgeRequest, judge: str) -> Job:
    return Job(
        run_id=run.id,
        model=request.model.card.name,
        loading=request.loading,
        batch=request.batch,
        workers=request.ranks.world,
        per_node=request.ranks.per_node,
        asks="asks.jsonl",
        judge=judge,
    )


class _Waiting(NamedTuple):
    """What is to be done about the reports of an evaluation."""

    reports: int
    asks: list[Ask]
    again: list[tuple[int, int]]
    """Places, among those of `asks`, that have a judgement which does not count."""
    nothing: list[tuple[int, int, str, str]]
    """Judgements of reports that there is nothing to judge about."""


def _waiting(store: Store, evaluation: EvaluationRow, judge: str, most: int) -> _Waiting:
    known = judge_replies(store, evaluation.id, judge)
    found = _Waiting(set_row(store, evaluation.test_set_id).samples, [], [], [])
    for pair in _pairs(store, evaluation):
        before = known.get(pair.position)
        if not pair.candidate:
            if before is None:
                found.nothing.append((evaluation.id, pair.position, "empty", ""))
            continue
        if before is not None and before.status not in ("error", "empty"):
            continue
        if before is not None:
            found.again.append((evaluation.id, pair.position))
        prompt = green_prompt(pair.reference, pair.candidate)
        found.asks.append(Ask(evaluation.id, pair.position, 1, pair.sample_id, "", (prompt,), "report", most))
    return found


def _asks(run: Run, evaluation: EvaluationRow, judge: str, most: int) -> list[Ask]:
    """What is to be judged now; takes note of what there is nothing to judge about."""
    waiting = _waiting(run.store, evaluation, judge, most)
    keep_judgements(run, judge, waiting.nothing)
    forget_judgements(run, judge, waiting.again)
    return waiting.asks


def plan_reports(store: Store, evaluations: Sequence[EvaluationRow], request: JudgeRequest) -> list[Values]:
    """What `judge_reports` would ask, a row per test set; nothing is written."""
    rows = []
    for each in evaluations:
        waiting = _waiting(store, each, request.name, request.most)
        name = set_row(store, each.test_set_id).name
        rows.append(
            {
                "test set": name,
                "judge": request.name,
                "reports": waiting.reports,
                "to judge": len(waiting.asks),
                "workers": request.ranks.world,
            }
        )
    return rows


def _pairs(store: Store, evaluation: EvaluationRow) -> Iterator[_Pair]:
    """Reference and answer of each sample that has an answer, or failed to get one."""
    answer = answer_of(store, evaluation.id)
    wrong = {"error", "refused"} if takes_unfinished(evaluation) else {"error", "refused", "truncated"}
    rows = store.rows(
        "SELECT s.position, s.sample_id, s.reference, p.status, p.text FROM prediction p JOIN test_sample s "
        "ON s.test_set_id = ? AND s.position = p.position WHERE p.evaluation_id = ? ORDER BY s.position",
        (evaluation.test_set_id, evaluation.id),
    )
    for position, sample_id, reference, status, text in rows:
        candidate = "" if status in wrong else answer(text, status == "truncated").strip()
        yield _Pair(position, sample_id, str(json.loads(reference)["text"]), candidate)


def _outcome(run: Run, numbers: Sequence[int], judge: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for number in numbers:
        for reply in judge_replies(run.store, number, judge).values():
            found[reply.status] = found.get(reply.status, 0) + 1
    run.tally(judge, found)
    run.failed_items += found.get("error", 0)
    return found
