"""What is there, what is running, and what failed with the command that mends it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from radvlm_cli.reporting.overview import AtWork, Holding, ToMend, at_work_table, holdings_table, to_mend_table
from radvlm_cli.reporting.tables import View, cell_text
from radvlm_cli.store.snapshot import Snapshot

_DEAD_AFTER_S = 60
"""A run writes a heartbeat every ten seconds; without one for a minute it is dead."""
_SIDE_BY_SIDE = ("train", "eval")
"""Commands of which several runs may be waiting to be resumed, each by its number."""
_SHOWN = 12
_CALLS = (
    "SELECT count(*) FROM prompt CROSS JOIN llm_call INDEXED BY ix_llm_call_report ON llm_call.prompt_id = prompt.id"
)
"""Prompt by prompt, as the index has them, so that with a bound on the status only such calls are read."""
ABSENT = "status IN ('missing','failed')"
"""As the partial index of images has it."""


class _Run(NamedTuple):
    id: int
    command: str
    arguments: dict[str, Any]
    status: str
    started: str
    heartbeat_s: float
    host: str
    message: str | None


def overview(store: Snapshot) -> View:
    """The whole store on one screen."""
    runs = _unfinished(store)
    alive = [run for run in runs if run.status == "running" and run.heartbeat_s <= _DEAD_AFTER_S]
    mend = [*_broken_runs(store, [run for run in runs if run not in alive]), *_unfinished_things(store, bool(alive))]
    notes = (
        []
        if len(mend) <= _SHOWN
        else [f"{len(mend) - _SHOWN} more are not shown: radvlm db status, radvlm db problems"]
    )
    tables = (
        holdings_table(holdings(store)),
        at_work_table([_at_work(store, run) for run in alive]),
        to_mend_table(mend[:_SHOWN]),
    )
    size = cell_text(store.path.stat().st_size, "bytes")
    return View("overview", f"{store.path} ({size})", tables, tuple(notes))


def holdings(store: Snapshot) -> list[Holding]:
    """How much of everything there is, in the order in which data flow."""
    last = {
        command: short_time(started)
        for command, started in store.rows("SELECT command, max(started_at) FROM run GROUP BY command")
    }
    rows = [*_prepared(store), *_generated(store), *_built(store), *_trained(store), *_evaluated(store)]
    return [
        Holding(stage, what, n, bad or None, remark, last.get(stage))
        for stage, what, n, bad, remark in rows
        if n or bad
    ]


_Count = tuple[str, str, int, int, str | None]
"""Stage, what, how many, how many are wanting, remark."""


def _prepared(store: Snapshot) -> Iterator[_Count]:
    wanting = dict(store.rows(f"SELECT status, count(*) FROM image WHERE {ABSENT} GROUP BY status"))
    said = ", ".join(f"{number:,} {name}" for name, number in sorted(wanting.items()))
    remark = f"of {_sources(store)} sources" + (f"; {said}" if said else "")
    yield "prepare", "images", store.value("SELECT count(*) FROM image"), sum(wanting.values()), remark
    yield "prepare", "reports", store.value("SELECT count(*) FROM report"), 0, None
    yield "prepare", "groundings", store.value("SELECT count(*) FROM grounding"), 0, None


def _sources(store: Snapshot) -> int:
    """Different sources of images, by jumping from one to the next in the index."""
    return int(
        store.value(
            "WITH RECURSIVE found(source) AS (SELECT min(source) FROM image UNION ALL SELECT (SELECT min(source) "
            "FROM image WHERE source > found.source) FROM found WHERE found.source IS NOT NULL) "
            "SELECT count(source) FROM found"
        )
    )


def _generated(store: Snapshot) -> Iterator[_Count]:
    held = dict(store.rows("SELECT stage, count(*) FROM quarantine GROUP BY stage"))
    for stage, what, table in (
        ("curate", "curated texts", "curated_text"),
        ("converse", "conversations", "conversation"),
    ):
        bad = held.get(stage, 0)
        yield stage, what, store.value(f"SELECT count(*) FROM {table}"), bad, f"{bad:,} quarantined" if bad else None
    calls = store.value("SELECT count(*) FROM llm_call")
    failed = sum(store.value(f"{_CALLS} AND llm_call.status {beside} 'ok'") for beside in "<>")
    dollars = store.value("SELECT sum(cost) FROM llm_call INDEXED BY ix_llm_call_report")
    remark = None if dollars is None else f"{cell_text(dollars, 'dollars')} in all"
    yield "llm", "calls", calls, failed, remark


def _built(store: Snapshot) -> Iterator[_Count]:
    complete = building = pairs = 0
    for status, number, written in store.rows("SELECT status, count(*), sum(pairs) FROM dataset GROUP BY status"):
        if status == "complete":
            complete, pairs = number, written or 0
        else:
            building = number
    yield "build", "datasets", complete, building, f"{pairs:,} pairs" if pairs else None


def _trained(store: Snapshot) -> Iterator[_Count]:
    sql = "SELECT count(*), sum(run.status IN ('failed','interrupted')) FROM training JOIN run ON run.id = run_id"
    runs, bad = next(store.rows(sql))
    number, size = next(store.rows("SELECT count(*), sum(bytes) FROM checkpoint WHERE status = 'complete'"))
    kept = f"{number:,} checkpoint{'s' if number > 1 else ''}, {cell_text(size or 0, 'bytes')}" if number else None
    yield "train", "runs", runs, bad or 0, kept


def _evaluated(store: Snapshot) -> Iterator[_Count]:
    count, building = next(store.rows("SELECT count(*), sum(status = 'building') FROM evaluation"))
    models, sets = next(store.rows("SELECT count(DISTINCT model), count(DISTINCT test_set_id) FROM evaluation"))
    yield "eval", "evaluations", count, building or 0, f"{models} models on {sets} test sets" if count else None
    bad = dict(
        store.rows(
            "SELECT status, count(*) FROM prediction "
            "WHERE status IN ('empty','unparsable','truncated','error','refused') GROUP BY status"
        )
    )
    said = ", ".join(f"{number:,} {status}" for status, number in bad.items())
    yield "eval", "answers", store.value("SELECT count(*) FROM prediction"), sum(bad.values()), said or None


# Runs


def _unfinished(store: Snapshot) -> list[_Run]:
    """Runs that are at work or stopped half way, newest first; of most commands those that none followed to the end."""
    now = datetime.now(UTC)
    rows = store.rows(
        "SELECT id, command, arguments, status, started_at, heartbeat_at, host, message FROM run "
        "WHERE status IN ('running','failed','interrupted','partial') AND (status = 'running' "
        "OR command IN ('train','eval') OR id > coalesce((SELECT max(later.id) FROM run AS later "
        "WHERE later.command = run.command AND later.status = 'done'), 0)) ORDER BY id DESC"
    )
    found = []
    for run_id, command, arguments, status, started, heartbeat, host, message in rows:
        silent = max(0.0, (now - datetime.fromisoformat(heartbeat)).total_seconds())
        options = json.loads(arguments)
        found.append(_Run(run_id, command, options, status, short_time(started) or "", silent, host, message))
    return found


def _at_work(store: Snapshot, run: _Run) -> AtWork:
    return AtWork(run.id, run.command, run.started, round(run.heartbeat_s, 1), run.host, _progress(store, run))


def _progress(store: Snapshot, run: _Run) -> str | None:
    if run.command == "train":
        step = last_event(store, run.id, "step") or {}
        started = last_event(store, run.id, "started") or {}
        if step.get("step") is not None:
            return f"step {step['step']:,} of {started.get('steps') or 0:,}, loss {step.get('loss') or 0:.4f}"
    if run.command == "eval":
        answered = store.value(
            "SELECT sum((SELECT count(*) FROM prediction p WHERE p.evaluation_id = each.value)) "
            "FROM answering, json_each(evaluations) AS each WHERE run_id = ?",
            (run.id,),
        )
        asked = store.value(
            "SELECT sum(test_set.samples) FROM answering, json_each(evaluations) AS each "
            "JOIN evaluation ON evaluation.id = each.value JOIN test_set ON test_set.id = test_set_id "
            "WHERE answering.run_id = ?",
            (run.id,),
        )
        if asked:
            return f"{answered or 0:,} of {asked:,} samples answered"
    return None


def last_event(store: Snapshot, run_id: int, kind: str) -> dict[str, Any] | None:
    """The body of the newest event of a kind that rank 0 wrote."""
    body = store.value(
        "SELECT body FROM event WHERE run_id = ? AND kind = ? AND file = 'rank0.spool.jsonl' "
        "ORDER BY offset DESC LIMIT 1",
        (run_id, kind),
    )
    return None if body is None else dict(json.loads(body))


def _broken_runs(store: Snapshot, runs: list[_Run]) -> Iterator[ToMend]:
    seen = set()
    for run in runs:
        if run.status == "partial":
            if run.command not in seen:
                yield _partial(run)
        elif run.command in _SIDE_BY_SIDE or run.command not in seen:
            why = run.message
            if run.status == "running":
                why = f"no sign of life for {cell_text(run.heartbeat_s, 'seconds')}"
            yield ToMend(
                f"run {run.id}, {run.command}: {_state(run)}", run.started, why, resume_command(run.command, run)
            )
        seen.add(run.command)


def _state(run: _Run) -> str:
    return "dead" if run.status == "running" else run.status


def _partial(run: _Run) -> ToMend:
    texts = run.command in ("curate", "converse")
    sources = _repeated("--source", run.arguments.get("source"))
    command = shlex.join(["radvlm", run.command, *sources, "--show", "failed"]) if texts else "radvlm db problems"
    return ToMend(f"run {run.id}, {run.command}: finished with failed items", run.started, run.message, command)


def resume_command(command: str, run: _Run) -> str:
    """The command that goes on with a run; where its options cannot be told, in words."""
    options = run.arguments
    if command in _SIDE_BY_SIDE:
        words = ["radvlm", command, "--resume", "--run", str(run.id)]
    elif command == "prepare":
        words = ["radvlm", command, *_repeated("--source", options.get("source")), "--resume"]
        words[-1:-1] = ["--data-dir", str(options["data_dir"])] if options.get("data_dir") else []
    elif command == "build" and options.get("recipe") and options.get("output"):
        words = ["radvlm", command, "--recipe", str(options["recipe"]), "--output", str(options["output"]), "--resume"]
    elif command in ("curate", "converse"):
        sources, splits = _repeated("--source", options.get("source")), _repeated("--split", options.get("split"))
        words = ["radvlm", command, *sources, *splits, "--resume"]
        return f"{shlex.join(words)}, with the provider that it had"
    else:
        return f"radvlm {command}, with the options that it had"
    return shlex.join(words)


def _repeated(option: str, values: Any) -> list[str]:
    listed = values if isinstance(values, list) else [values] if values else []
    return [word for value in listed for word in (option, str(value))]


# Things that are half there


def _unfinished_things(store: Snapshot, at_work: bool) -> Iterator[ToMend]:
    for stage, source, number in store.rows(
        "SELECT stage, subject, count(*) FROM quarantine GROUP BY stage, subject ORDER BY stage, subject"
    ):
        what = f"{number:,} texts of {source} did not pass the checks of {stage}"
        yield ToMend(what, None, "quarantined", f"radvlm {stage} --source {source} --show failed")
    if at_work:
        return  # what is half there may be in the hands of the runs that are at work
    for name, output in store.rows("SELECT name, output FROM dataset WHERE status = 'building' ORDER BY id"):
        command = shlex.join(["radvlm", "build", "--recipe", name, "--output", output])
        yield ToMend(f"dataset {name} is half built", None, "the run that built it ended", command)
    yield from _evaluations_to_mend(store)


def _evaluations_to_mend(store: Snapshot) -> Iterator[ToMend]:
    unscored = "NOT EXISTS (SELECT 1 FROM score WHERE score.evaluation_id = evaluation.id)"
    rows = store.rows(
        "SELECT evaluation.run_id, count(*), min(evaluation.created_at) FROM evaluation "
        f"WHERE evaluation.status = 'complete' AND {unscored} GROUP BY evaluation.run_id ORDER BY evaluation.run_id"
    )
    for run_id, number, since in rows:
        what = f"{number:,} evaluations of run {run_id} have no scores"
        yield ToMend(what, short_time(since), "the run ended before scoring", f"radvlm eval --rescore {run_id}")
    wrong = "SELECT count(*), count(DISTINCT evaluation_id) FROM prediction WHERE status = 'error'"
    errors, evaluations = next(store.rows(wrong))
    if errors:
        what = f"{errors:,} answers of {evaluations} evaluations are errors"
        yield ToMend(what, None, "see radvlm report failures", "radvlm eval, with the same options, asks them again")


def short_time(at: str | None) -> str | None:
    """A time of the store to the minute."""
    return None if at is None else at[:16].replace("T", " ")
