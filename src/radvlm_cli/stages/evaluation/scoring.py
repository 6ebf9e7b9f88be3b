"""Scores of an evaluation: read every answer, put it beside what is right, and say each metric with its interval.

Failures stay in every mean: an answer that is empty, cut off, refused, unparsable or missing counts as the empty one.
Beside each metric stands its value over the answers that could be read (`parsed-only`). No model is needed, unless a
metric is one.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from radvlm_cli.adapters import card
from radvlm_cli.errors import ConfigError
from radvlm_cli.hashing import canonical_json
from radvlm_cli.metrics.family import Family, Table
from radvlm_cli.metrics.registry import describe
from radvlm_cli.metrics.statistics import Clusters, Interval, bootstrap, clusters
from radvlm_cli.stages.evaluation.metric_choice import USUAL, MetricChoice, chosen_anew, metric_options
from radvlm_cli.stages.evaluation.reading import Read, reader, references, takes_unfinished
from radvlm_cli.stages.evaluation.score_families import Measured, measures
from radvlm_cli.stages.judging.replies import take_replies
from radvlm_cli.store.evaluations import evaluation_row
from radvlm_cli.store.runs import Run
from radvlm_cli.store.scores import (
    Answered,
    ScoreRow,
    answered,
    forget_scores_but,
    keep_parsed,
    keep_scores,
    score_rows,
    scored_families,
)

PARSED_ONLY = "parsed-only"


class _Scored(NamedTuple):
    """An evaluation's answers as they were read."""

    samples: list[Answered]
    reads: list[Read]
    references: list[Any]
    of: Clusters
    readable: np.ndarray[Any, np.dtype[np.bool_]]


def score(run: Run, evaluation_id: int, choice: MetricChoice = USUAL) -> list[dict[str, Any]]:
    """Read and score an evaluation's answers anew; return its metrics as flat records.

    ConfigError where there is nothing to score.
    """
    store, evaluation = run.store, evaluation_row(run.store, evaluation_id)
    (name, task, choices) = next(
        iter(store.rows("SELECT name, task, options FROM test_set WHERE id = ?", (evaluation.test_set_id,)))
    )
    samples = list(answered(store, evaluation_id))
    if not samples:
        raise ConfigError(f"The test set {name} has no samples.", "radvlm build --recipe evaluation")
    if not any(sample.cluster.startswith("patient ") for sample in samples):
        run.progress.note(f"{name}: the source names no patients; studies or images are drawn for the intervals.")
    unfinished = takes_unfinished(evaluation)
    parse = reader(card(evaluation.identity["model"]), task, json.loads(choices), unfinished=unfinished)
    run.progress.start(f"reading {name}", total=len(samples))
    reads = [parse.read(sample) for sample in samples]
    parsed = [
        (sample.position, parse.parser, read.status, canonical_json(read.content))
        for sample, read in zip(samples, reads, strict=True)
    ]
    as_before = keep_parsed(run, evaluation_id, parsed)
    readable = np.array([read.status == "ok" for read in reads])
    scored = _Scored(samples, reads, references(task, samples), clusters([s.cluster for s in samples]), readable)
    counted = Counter(read.status for read in reads)
    run.tally(f"evaluation {evaluation_id}", {f"answers {status}": n for status, n in sorted(counted.items())})
    texts = {
        sample.sample_id: (read.prediction, sample.reference["text"])
        for sample, read in zip(samples if task == "report" else (), reads, strict=False)
    }
    options = metric_options(run, choice, evaluation.folder, texts)
    if task == "report" and choice.crimson_replies is not None:
        take_replies(run, evaluation_id, "crimson", choice.crimson_replies, samples)
    kept = scored_families(store, evaluation_id) if as_before else {}
    found = list(measures(store, evaluation_id, task, samples, reads, options))
    for measured in found:
        # What is dear, or cannot be computed this time, stays as it was computed from the same answers.
        dear = measured.dear and not chosen_anew(choice, measured.family.name)
        if not ((dear or measured.missing) and kept.get(measured.family.name) == measured.family.version):
            run.progress.start(f"scoring {name}: {measured.family.name}")
            _score_family(run, evaluation_id, measured, scored)
    forget_scores_but(run, evaluation_id, [*kept, *(measured.family.name for measured in found)])
    return [
        {"evaluation": evaluation_id, "test set": name, **row._asdict()} for row in score_rows(store, evaluation_id)
    ]


def main_rows(scores: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of what `score` gives, the metrics of a report's table as text, each beside its value over what was parsed."""
    parsed = {(row["evaluation"], row["metric"]): row for row in scores if row["part"] == PARSED_ONLY}
    rows = []
    for row in scores:
        metric = describe(row["metric"])
        if row["part"] or not metric.main:
            continue
        beside = parsed.get((row["evaluation"], row["metric"]))
        rows.append(
            {
                "test set": row["test set"],
                "metric": metric.title,
                "value [95% interval]": _shown(row),
                "parsed only": "" if beside is None else f"{_shown(beside)}, n = {beside['n']:,}",
                "n": row["n"],
                "patients": row["clusters"],
                "why": row["remark"] if row["value"] is None else None,
            }
        )
    return rows


def _shown(row: dict[str, Any]) -> str:
    value, low, high = row["value"], row["low"], row["high"]
    if value is None:
        return "\N{EN DASH}"
    return f"{value:.3f}" if low is None else f"{value:.3f} [{low:.3f}, {high:.3f}]"


def _score_family(run: Run, evaluation_id: int, measured: Measured, scored: _Scored) -> None:
    family = measured.family
    if measured.missing:
        remark = "; ".join(f"needs {need.what}: {need.command}" for need in measured.missing)
        names = family.values(np.zeros(len(family.columns)))
        rows = [_unavailable(metric, family, scored, remark) for metric in names]
        keep_scores(run, evaluation_id, family.name, family.version, (), rows)
        return
    table = family.per_sample(measured.predictions(), scored.references)
    numbers = (
        (sample.position, read.status, canonical_json([None if math.isnan(x) else x for x in row]))
        for sample, read, row in zip(scored.samples, scored.reads, table.tolist(), strict=True)
    )
    keep_scores(run, evaluation_id, family.name, family.version, numbers, _rows(family, table, scored))


def _rows(family: Family, table: Table, scored: _Scored) -> list[ScoreRow]:
    """Every metric over all samples, and over those that could be read where that is not all."""
    rows = _values(family, table, scored.of, "", float(scored.readable.mean()))
    if not scored.readable.all() and scored.readable.any():
        kept = [sample.cluster for sample, readable in zip(scored.samples, scored.readable, strict=True) if readable]
        rows += _values(family, table[scored.readable], clusters(kept), PARSED_ONLY, 1.0)
    return rows


def _values(family: Family, table: Table, of: Clusters, part: str, coverage: float) -> list[ScoreRow]:
    return [
        _row(metric, part, interval, len(table), of.number, coverage, family)
        for metric, interval in bootstrap(table, of, family.values).items()
    ]


def _row(metric: str, part: str, interval: Interval, n: int, count: int, coverage: float, family: Family) -> ScoreRow:
    """A metric of a label has the label as its part: `f1/Edema` is the metric f1 of the part Edema."""
    metric, _, label = metric.partition("/")
    part = "/".join(each for each in (label, part) if each)
    value, low, high = (None if math.isnan(x) else x for x in (interval.value, interval.low, interval.high))
    remark = "not defined: there is nothing to divide by" if value is None else None
    if value is not None and interval.undefined > 0:
        remark = f"not defined in {interval.undefined:.1%} of the draws, which are left out"
    return ScoreRow(metric, part, value, low, high, n, count, coverage, family.name, family.version, remark)


def _unavailable(metric: str, family: Family, scored: _Scored, remark: str) -> ScoreRow:
    name, _, label = metric.partition("/")
    n, count = len(scored.samples), scored.of.number
    return ScoreRow(name, label, None, None, None, n, count, None, family.name, family.version, remark)
