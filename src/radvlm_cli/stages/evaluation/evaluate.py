"""eval: have a model answer frozen test sets, whatever is killed on the way, then score the answers.

What decides an answer makes the key of an evaluation; a sample has one row in it. So a rerun asks only what has no
answer yet, with any number of workers. This process alone writes the store; workers write spools (see answering.py).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from radvlm_cli.errors import ConfigError, EvaluationError, Interrupted, StoreError
from radvlm_cli.stages.answering.job import Ask, Job
from radvlm_cli.stages.answering.passes import Answering
from radvlm_cli.stages.answering.watch import Watch
from radvlm_cli.stages.answering.work import Predicting
from radvlm_cli.stages.evaluation import scoring
from radvlm_cli.stages.evaluation.consent import require_consent_to_ask
from radvlm_cli.stages.evaluation.metric_choice import USUAL, MetricChoice
from radvlm_cli.stages.evaluation.models import weights_words
from radvlm_cli.stages.evaluation.plan import Planned, plan
from radvlm_cli.stages.evaluation.request import Request
from radvlm_cli.stages.evaluation.runs import evaluation_line, require_same_conditions
from radvlm_cli.stages.evaluation.test_sets import freeze
from radvlm_cli.store.engine import Store
from radvlm_cli.store.evaluations import (
    ANSWERS,
    EvaluationRow,
    answering_row,
    answering_rows,
    begin_evaluation,
    evaluation_row,
    forget_predictions,
    keep_answering,
    keep_answering_job,
    mark_complete,
    remaining,
)
from radvlm_cli.store.lock import stage_lock
from radvlm_cli.store.runs import Run
from radvlm_cli.store.spool import take_in
from radvlm_cli.store.test_sets import SampleRow
from radvlm_cli.training import slurm

_LOOK_EVERY_S = 1.0
_ASK_SLURM_EVERY_S = 15.0


class Evaluated(NamedTuple):
    """What a run brought."""

    run_id: int
    folder: Path
    lines: list[dict[str, Any]]
    """A row per evaluation: samples, and answers by status."""
    scores: list[dict[str, Any]]
    job_id: str | None = None


class _Begun(NamedTuple):
    planned: Planned
    evaluation: EvaluationRow


@contextmanager
def _held(run: Run, request: Request, data_dir: Path, derived_dir: Path) -> Iterator[tuple[Path, list[_Begun]]]:
    """The run's folder and its evaluations, which nobody else works on meanwhile; what killed runs left is taken in."""
    planned = plan(run.store, request, data_dir=data_dir, derived_dir=derived_dir)
    folder, begun = _begin(run, request, planned)
    with ExitStack() as locks:
        _hold(run, begun, locks)
        _prepare_answers(run, request, begun)
        yield folder, begun


def evaluate(
    run: Run, request: Request, *, data_dir: Path, derived_dir: Path, metrics: MetricChoice = USUAL
) -> Evaluated:
    """Ask what has no answer yet, and score. Interrupted where it was stopped; all answers so far are kept then."""
    with _held(run, request, data_dir, derived_dir) as (folder, begun):
        answering, waiting = _answering(run, request, folder, begun)
        total = sum(len(each.planned.frozen.samples) for each in begun)
        if waiting:
            answering.to_the_end(total - waiting)
        else:
            run.progress.note(f"All {total:,} samples have answers, which are scored again; --again asks anew.")
        return finish(run, folder, [each.evaluation for each in begun], metrics)


def submit(
    run: Run, request: Request, *, data_dir: Path, derived_dir: Path, metrics: MetricChoice = USUAL
) -> Evaluated:
    """Hand the run to SLURM and return; `follow` takes in what the job brings."""
    assert request.profile is not None, "the caller has looked"
    with _held(run, request, data_dir, derived_dir) as (folder, begun):
        answering, waiting = _answering(run, request, folder, begun)
        if not waiting:
            return finish(run, folder, [each.evaluation for each in begun], metrics)
        answering.prepare()
        script = slurm.write_script(folder, batch_script(request, run.id, folder))
        job_id = slurm.submit(script)
        keep_answering_job(run, job_id)
    run.left_to = f"left to SLURM job {job_id}"
    return Evaluated(run.id, folder, [], [], job_id)


def follow(run: Run, metrics: MetricChoice = USUAL) -> Evaluated:
    """Take in what a SLURM job brings until it is over, then score. Ctrl-C ends only the watching."""
    row = answering_row(run.store, run.id)
    watch = Watch(run, row.folder, Predicting(run, row.evaluations))
    evaluations = [evaluation_row(run.store, number) for number in row.evaluations]
    waiting = sum(len(remaining(run.store, each)) for each in evaluations)
    watch.begin(waiting)
    run.progress.start("asking", total=waiting)
    asked, state = float("-inf"), None
    while True:
        if time.monotonic() - asked >= _ASK_SLURM_EVERY_S:
            asked, state = time.monotonic(), slurm.job_state(row.job_id) if row.job_id else None
        watch.look()
        if state is None or not any(remaining(run.store, each) for each in evaluations):
            break
        if run.stop.requested:
            raise Interrupted(f"Run {run.id} goes on without being watched.", f"radvlm eval --follow {run.id}")
        time.sleep(_LOOK_EVERY_S)
    done = finish(run, row.folder, evaluations, metrics)
    if any(line["answered"] < line["samples"] for line in done.lines):
        raise EvaluationError(
            *(watch.failure or (f"The job of run {run.id} is over before all samples were asked.", None))[:1],
            f"See {row.folder}/slurm-*.log; go on: {resume_words(run.id)} --slurm ...",
        )
    return done


def rescore(run: Run, wanted: int, metrics: MetricChoice = USUAL) -> Evaluated:
    """Score the answers of a run anew, without asking anything."""
    row = answering_row(run.store, wanted)
    take_in(run.store, wanted, row.folder, ANSWERS)
    return finish(run, row.folder, [evaluation_row(run.store, number) for number in row.evaluations], metrics)


def batch_script(request: Request, run_id: int, folder: Path) -> str:
    """The SLURM script of a run."""
    assert request.profile is not None, "the caller has looked"
    template = files("radvlm_cli.stages.answering").joinpath("slurm.sh").read_text(encoding="utf-8")
    return slurm.render(request.profile, run_id=run_id, folder=folder, ranks=request.ranks, template=template)


def finish(run: Run, folder: Path, evaluations: Sequence[EvaluationRow], metrics: MetricChoice) -> Evaluated:
    """Score what is complete; errors among the answers make the run partial."""
    lines, scores = [], []
    for evaluation in evaluations:
        if mark_complete(run, evaluation):
            scores += scoring.score(run, evaluation.id, metrics)
        line = evaluation_line(run.store, evaluation.id)
        statuses = {
            name: line[name] for name in ("samples", "answered", "ok", "empty", "truncated", "refused", "error")
        }
        run.tally(str(line["test set"]), statuses)
        run.failed_items += int(line["error"])
        lines.append(line)
    return Evaluated(run.id, folder, lines, scores)


def _begin(run: Run, request: Request, planned: Sequence[Planned]) -> tuple[Path, list[_Begun]]:
    """Folder and rows; written before anything is asked. ConfigError where the samples may not be sent to the model, or
    a resumed run would be another."""
    require_consent_to_ask(request, [each.frozen.source for each in planned])
    if request.run_id is not None:
        require_same_conditions(run.store, run.id, {each.frozen.name: each.identity for each in planned})
    folder = _folder(run, request)
    begun = []
    for each in planned:
        evaluation = begin_evaluation(
            run,
            test_set_id=freeze(run, each.frozen),
            model=request.model.name,
            weights=weights_words(request.model, request.loading["base_url"]),
            identity=each.identity,
            folder=folder,
        )
        begun.append(_Begun(each, evaluation))
    folder.mkdir(parents=True, exist_ok=True)
    return folder, begun


def _folder(run: Run, request: Request) -> Path:
    """The run's own folder, or a new one: EVALUATIONS/ID, another name where a run of another store has that."""
    for row in answering_rows(run.store):
        if row.run_id == run.id:
            return row.folder
    names = (f"{run.id}{suffix}" for suffix in ("", *(f"-{n}" for n in range(2, 10_000))))
    return next(request.output / name for name in names if not (request.output / name).exists())


def _hold(run: Run, begun: Sequence[_Begun], locks: ExitStack) -> None:
    """Keep other runs away from these evaluations: here by a lock, in SLURM by asking for the job."""
    mine = {each.evaluation.id for each in begun}
    for number in sorted(mine):
        try:
            locks.enter_context(stage_lock(run.store.path, f"evaluation-{number}"))
        except StoreError as error:
            raise StoreError(*_who_is_at_work(run, number)) from error
    for row in answering_rows(run.store):
        if row.job_id is not None and mine & set(row.evaluations) and slurm.job_state(row.job_id):
            raise ConfigError(
                f"SLURM job {row.job_id} is at work on the same evaluation (run {row.run_id}).",
                f"Wait for it: radvlm eval --follow {row.run_id}; or: scancel {row.job_id}",
            )


def _who_is_at_work(run: Run, number: int) -> tuple[str, str]:
    """That an evaluation is held by another process, and what to do."""
    line = evaluation_line(run.store, number)
    runs = [row.run_id for row in answering_rows(run.store) if number in row.evaluations and row.status == "running"]
    who = f"Run {runs[-1]}" if runs else "Another run"
    what = f"{who} is at work on {line['test set']} with {line['model']}"
    return (
        f"{what}: {line['answered']:,} of {line['samples']:,} are answered.",
        "Wait for it (radvlm eval --list shows how far it is), then run this again",
    )


def _prepare_answers(run: Run, request: Request, begun: Sequence[_Begun]) -> None:
    """Take in what killed runs left in their spools, then forget it all where it is to begin anew."""
    mine = [each.evaluation.id for each in begun]
    for row in answering_rows(run.store):
        if set(mine) & set(row.evaluations):
            take_in(run.store, row.run_id, row.folder, ANSWERS)
    if request.again:
        for number in mine:
            forget_predictions(run, number)


def _answering(run: Run, request: Request, folder: Path, begun: Sequence[_Begun]) -> tuple[Answering, int]:
    """What is to be asked, and how many samples that is."""
    asks = [ask for each in begun for ask in _asks(run.store, request, each)]
    keep_answering(run, folder, [each.evaluation.id for each in begun])
    adapters = [each.evaluation.adapter for each in begun if each.evaluation.adapter is not None]
    job = Job(
        run_id=run.id,
        model=request.model.card.name,
        loading=request.loading,
        batch=request.batch,
        workers=request.ranks.world,
        per_node=request.ranks.per_node,
        asks="asks.jsonl",
        adapter=None if request.again or not adapters else adapters[0],
    )
    sizes = {sample.sample_id: _size(sample) for each in begun for sample in each.planned.frozen.samples}
    answering = Answering(
        *(run, folder, Predicting(run, [each.evaluation.id for each in begun]), job),
        ranks=request.ranks,
        node=request.node,
        asks=asks,
        sizes=sizes,
        resume=resume_words(run.id),
    )
    return answering, len(asks)


def _asks(store: Store, request: Request, begun: _Begun) -> Iterator[Ask]:
    frozen = begun.planned.frozen
    for position, attempt in remaining(store, begun.evaluation):
        sample = frozen.samples[position]
        yield Ask(
            evaluation_id=begun.evaluation.id,
            position=position,
            attempt=attempt,
            key=sample.sample_id,
            image=str(sample.path),
            questions=begun.planned.questions[position],
            task=frozen.task,
            most=request.most(frozen.task),
        )


def _size(sample: SampleRow) -> float:
    """About how much work a sample is: its pixels, once per round."""
    return (sample.width or 0) * (sample.height or 0) * len(sample.turns)


def resume_words(run_id: int) -> str:
    """The command that goes on with a run."""
    return f"radvlm eval --resume --run {run_id}"
