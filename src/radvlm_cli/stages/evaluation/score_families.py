"""What an evaluation's answers are measured by, and what each metric is told of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from radvlm_cli.language.label_answers import substring_labels
from radvlm_cli.metrics import registry
from radvlm_cli.metrics.family import Family, Need
from radvlm_cli.metrics.judge import Judged
from radvlm_cli.metrics.registry import MetricOptions, OfJudge, Reads
from radvlm_cli.records import JudgeReply
from radvlm_cli.stages.evaluation.reading import Read
from radvlm_cli.store.engine import Store
from radvlm_cli.store.evaluations import evaluation_row
from radvlm_cli.store.judgements import judge_replies, judges
from radvlm_cli.store.scores import Answered


class Measured(NamedTuple):
    """A family of metrics with its view of the answers."""

    family: Family
    missing: tuple[Need, ...]
    """Why it cannot be computed."""
    predictions: Callable[[], list[Any]]
    dear: bool = False
    """Whether it runs a model over every answer."""


def measures(
    store: Store,
    evaluation_id: int,
    task: str,
    samples: Sequence[Answered],
    reads: Sequence[Read],
    options: MetricOptions,
) -> Iterator[Measured]:
    """The metrics of a task, in the order of the report; those that are judges once per judge."""
    known = judges(store, evaluation_id)
    for listed in registry.families(task, options):
        kind = _JUDGES.get(listed.reads)
        if kind is None:
            view = _view(listed.reads, samples, reads)
            yield Measured(listed.family, listed.family.missing(), view, listed.models)
            continue
        own = [name for name in known if name.partition("/")[0] == kind.prefix]
        if not own:
            need = Need(
                f"{kind.what}, which is not there yet",
                kind.command.format(run=evaluation_row(store, evaluation_id).run_id),
            )
            yield Measured(listed.family, (need,), list)
        for name in own:
            family = listed.family if len(own) == 1 else OfJudge(listed.family, name)
            yield Measured(family, (), _judged(store, evaluation_id, name, listed.reads, samples, reads))


class _Judge(NamedTuple):
    """A kind of judge: where its judgements are found, and how they are had."""

    prefix: str
    """Of its name in the store, up to the first stroke."""
    what: str
    command: str


_JUDGES: dict[Reads, _Judge] = {
    "judge": _Judge("judge-conversation", "a judge's grades", "radvlm eval --judge {run} --base-url URL"),
    "green": _Judge("green", "GREEN's analysis", "radvlm eval --green {run}"),
    "crimson": _Judge("crimson", "CRIMSON's analysis", "radvlm eval --rescore {run} --crimson-replies FILE.json"),
}


_NOTHING_SAID = JudgeReply("empty", "")


def _view(reads_as: Reads, samples: Sequence[Answered], reads: Sequence[Read]) -> Callable[[], list[Any]]:
    if reads_as == "substring labels":
        # As published: whatever the text, whole, with refusals and denials.
        return lambda: [substring_labels(sample.text) for sample in samples]
    return lambda: [read.prediction for read in reads]


def _judged(
    store: Store, evaluation_id: int, judge: str, reads_as: Reads, samples: Sequence[Answered], reads: Sequence[Read]
) -> Callable[[], list[Any]]:
    def replies() -> list[Any]:
        known = judge_replies(store, evaluation_id, judge)
        found = [known.get(sample.position) for sample in samples]
        if reads_as != "judge":
            # A report that counts as wrong is worth nothing, whatever a judge has said of its text.
            return [reply if read.status == "ok" else _NOTHING_SAID for reply, read in zip(found, reads, strict=True)]
        rounds = [len(sample.reference["turns"]) // 2 for sample in samples]
        return [None if reply is None else Judged(reply, n) for reply, n in zip(found, rounds, strict=True)]

    return replies
