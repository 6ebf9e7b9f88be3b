"""radvlm eval: have a model answer the test sets, and score the answers."""

from __future__ import annotations

from contextlib import AbstractContextManager
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import typer

from radvlm_cli.commands import eval_dry_run, options
from radvlm_cli.commands import eval_options as given_as
from radvlm_cli.commands.output import print_json, print_table, say
from radvlm_cli.commands.running import DETACHING, stage_run
from radvlm_cli.config import Settings, configured_settings, existing_settings, zero_retention_confirmed
from radvlm_cli.errors import ConfigError

if TYPE_CHECKING:
    from radvlm_cli.stages.evaluation.evaluate import Evaluated
    from radvlm_cli.stages.evaluation.metric_choice import MetricChoice
    from radvlm_cli.stages.evaluation.request import Request
    from radvlm_cli.store.runs import Run

_STOPPING = "Stopping after the batches in hand; once more to stop at once."


def eval_(
    model: given_as.Model = None,
    task: given_as.Tasks = None,
    weights: given_as.Weights = None,
    dataset: given_as.Dataset = None,
    limit: given_as.Limit = None,
    seed: given_as.Seed = None,
    gpus: given_as.Gpus = None,
    processes: given_as.Processes = None,
    data_dir: options.DataDir = None,
    derived_dir: options.DerivedDir = None,
    store: options.StorePath = None,
    batch: given_as.Batch = None,
    dtype: given_as.DTypeName = None,
    attn: given_as.AttentionName = None,
    protocol: given_as.ProtocolName = None,
    base_url: given_as.BaseUrl = None,
    max_new_tokens: given_as.MaxNewTokens = None,
    set: given_as.Settings = None,
    output: given_as.Output = None,
    resume: options.Resume = False,
    run: given_as.RunNumber = None,
    again: given_as.Again = False,
    list_all: given_as.ListAll = False,
    rescore: given_as.Rescore = None,
    follow: given_as.Follow = None,
    chexbert: given_as.CheXbert = None,
    chexbert_tokenizer: given_as.CheXbertTokenizer = None,
    bertscore_distilbert: given_as.DistilBert = None,
    bertscore_distilroberta: given_as.DistilRoberta = None,
    radgraph_annotations: given_as.RadGraphAnnotations = None,
    radgraph_python: given_as.RadGraphPython = None,
    crimson_replies: given_as.CrimsonReplies = None,
    meteor: given_as.Meteor = False,
    compat: given_as.Compat = None,
    uncertain: given_as.UncertainAs = given_as.UncertainName.positive,
    green: given_as.Green = None,
    judge: given_as.Judge = None,
    provider: given_as.Provider = None,
    azure_model: given_as.AzureModel = None,
    concurrency: given_as.Concurrency = 64,
    max_cost: given_as.MaxCost = None,
    price: given_as.Price = None,
    zero_retention: given_as.ZeroRetention = False,
    retry_failed: given_as.RetryFailed = False,
    dry_run: options.DryRun = False,
    nodes: options.Nodes = None,
    slurm: options.Slurm = False,
    profile: options.ProfileFile = None,
    hosts: options.Hosts = None,
    as_json: options.Json = False,
    allow_network_store: options.AllowNetworkStore = False,
) -> None:
    """Have a model answer the test sets of a built dataset, on any number of GPUs, and score the answers.

    Every answer is kept as it comes: run it again after whatever stopped it, and only the rest is asked.
    See docs/eval.md.

    Examples:

      radvlm eval --model chexagent --task grounding --gpus 4

      radvlm eval --model radvlm:models/radvlm-7b --task report --task conversation --gpus 8
    """
    given = dict(locals())
    if list_all:
        _list(given)
        return
    where = existing_settings(data_dir=data_dir, derived_dir=derived_dir, store=store)
    again_at = [name for name in ("rescore", "follow", "green", "judge") if given[name] is not None]
    if len(again_at) > 1:
        raise ConfigError(f"--{again_at[0]} and --{again_at[1]} are two commands.", "Give one of them.")
    if again_at:
        _refuse_what_plays_no_part(again_at[0], given)
        if dry_run and again_at[0] in ("rescore", "follow"):
            raise ConfigError(f"--{again_at[0]} asks nobody anything: there is nothing to try.", "Leave --dry-run out.")
        _AT_A_RUN[again_at[0]](where, given)
        return
    if run is not None and not resume:
        raise ConfigError("--run goes with --resume.", f"radvlm eval --resume --run {run}")
    if again and resume:
        raise ConfigError("--again forgets the answers, --resume goes on with them.", "Leave one of them out.")

    from radvlm_cli.stages.evaluation.request import Asked, make_request

    own = {name: _plain(given[name]) for name in Asked._fields}
    own["zero_retention"] = zero_retention_confirmed(given["zero_retention"]) or None
    request = make_request(where.store, Asked(**own), say=say)
    if dry_run:
        eval_dry_run.of_answers(where, request, as_json=as_json)
    else:
        _evaluate(where, request, given)


def _refuse_what_plays_no_part(command: str, given: dict[str, Any]) -> None:
    """ConfigError for an option that would be passed over: who limits a judge to 10 is not to pay for 3,000."""
    from radvlm_cli.stages.evaluation.request import Asked

    for name in (*Asked._fields, *_OF_JUDGES):
        if given[name] not in (None, False) and name not in ("resume", "output", *_PLAYS_A_PART[command]):
            words = "confirm-zero-retention" if name == "zero_retention" else name.replace("_", "-")
            raise ConfigError(f"--{words} plays no part in --{command}.", f"radvlm eval --{command} {given[command]}")


_OF_JUDGES = ("provider", "azure_model", "max_cost", "price", "zero_retention", "retry_failed")
_PLAYS_A_PART: dict[str, tuple[str, ...]] = {
    "rescore": (),
    "follow": (),
    "green": ("weights", "gpus", "processes", "batch", "dtype", "attn", "set", "nodes", "hosts"),
    "judge": ("model", "base_url", "limit", *_OF_JUDGES),
}


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, StrEnum) else value


def _evaluate(where: Settings, request: Request, given: dict[str, Any]) -> None:
    from radvlm_cli.stages.evaluation.evaluate import evaluate, submit
    from radvlm_cli.stages.evaluation.request import MAY_CHANGE

    stage = evaluate if request.profile is None else submit
    with stage_run(
        "eval",
        request.arguments,
        where,
        resume=request.run_id is not None,
        allow_network=given["allow_network_store"],
        stopping=_STOPPING,
        side_by_side=True,
        run_id=request.run_id,
        may_change=MAY_CHANGE,
    ) as run:
        metrics = _metrics(given)
        done = stage(run, request, data_dir=where.data(), derived_dir=where.derived(), metrics=metrics)
    _print(done, given["as_json"])


def _follow(where: Settings, given: dict[str, Any]) -> None:
    from radvlm_cli.stages.evaluation.evaluate import follow
    from radvlm_cli.stages.evaluation.runs import arguments_of_run
    from radvlm_cli.store.engine import open_store
    from radvlm_cli.store.evaluations import answering_row

    network, run_id = given["allow_network_store"], given["follow"]
    with open_store(where.store, create=False, allow_network=network) as store:
        answering_row(store, run_id)
        arguments = arguments_of_run(store, run_id)
    choice: dict[str, Any] = {"side_by_side": True, "run_id": run_id, "stopping": DETACHING}
    with stage_run("eval", arguments, where, resume=True, allow_network=network, **choice) as run:
        done = follow(run, _metrics(given))
    _print(done, given["as_json"])


def _rescore(where: Settings, given: dict[str, Any]) -> None:
    from radvlm_cli.stages.evaluation.evaluate import rescore

    with _at_run("rescore", where, given) as run:
        done = rescore(run, given["rescore"], _metrics(given))
    _print(done, given["as_json"])


def _green(where: Settings, given: dict[str, Any]) -> None:
    from radvlm_cli.stages.evaluation.evaluate import rescore
    from radvlm_cli.stages.evaluation.request import Asked
    from radvlm_cli.stages.judging.reports import judge_reports, make_judge_request, report_evaluations

    output = (given["output"] or where.store.parent / "evaluations").absolute()
    own = {name: _plain(given[name]) for name in Asked._fields}
    request = make_judge_request(Asked(**own), output)
    if given["dry_run"]:
        eval_dry_run.of_reports(where, given["green"], request, as_json=given["as_json"])
        return
    with _at_run("green", where, given) as run:
        evaluations = report_evaluations(run.store, given["green"])
        found = judge_reports(run, evaluations, request, resume=f"radvlm eval --green {given['green']}")
        say(f"Judged: {_counted(found)}.")
        done = rescore(run, given["green"], _metrics(given))
    _print(done, given["as_json"])


def _judge(where: Settings, given: dict[str, Any]) -> None:
    from radvlm_cli.stages.evaluation.evaluate import rescore
    from radvlm_cli.stages.judging.run import Pace, judge_run

    choice = {name: _plain(given[name]) for name in ("provider", "model", "azure_model", "base_url")}
    choice["zero_retention"] = zero_retention_confirmed(given["zero_retention"])
    pace = Pace(**{name: given[name] for name in Pace._fields})
    if given["dry_run"]:
        eval_dry_run.of_conversations(where, given["judge"], choice, pace, as_json=given["as_json"])
        return
    with _at_run("judge", where, given) as run:
        for name, found in judge_run(run, given["judge"], choice, pace).items():
            say(f"{name}: {_counted(found)}.")
        done = rescore(run, given["judge"], _metrics(given))
    _print(done, given["as_json"])


def _metrics(given: dict[str, Any]) -> MetricChoice:
    from radvlm_cli.stages.evaluation.metric_choice import MetricChoice

    chosen = {name: _plain(given[name]) for name in MetricChoice._fields if name in given}
    return MetricChoice(**chosen, published=given["compat"] is not None)


def _counted(found: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in found.items() if count) or "nothing"


def _at_run(command: str, where: Settings, given: dict[str, Any]) -> AbstractContextManager[Run]:
    """A run of its own about the answers of another."""
    network = given["allow_network_store"]
    return stage_run(command, {"run": given[command]}, where, resume=False, allow_network=network)


_AT_A_RUN = {"rescore": _rescore, "follow": _follow, "green": _green, "judge": _judge}
"""Options that name a run, and what they do."""


def _print(done: Evaluated, as_json: bool) -> None:
    if as_json:
        print_json({**done._asdict(), "folder": str(done.folder)})
    elif done.job_id is not None:
        say(f"Run {done.run_id} waits in SLURM as job {done.job_id}: radvlm eval --follow {done.run_id}")
        print(done.job_id)
    else:
        print_table(done.lines, title=f"Run {done.run_id}:", spare=("run", "patients", "status"))
        _print_scores(done.scores)
    failed = sum(line["error"] for line in done.lines)
    if failed:
        say(f"{failed:,} samples have an error for an answer; running it again asks them again.")
        raise typer.Exit(4)


def _print_scores(scores: list[dict[str, Any]]) -> None:
    """The main metrics; why one has no value, once for all that lack the same."""
    from radvlm_cli.stages.evaluation.scoring import main_rows

    rows = main_rows(scores)
    lacking: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if (why := row.pop("why")) is not None:
            lacking.setdefault((row["test set"], why), []).append(row["metric"])
    if rows:
        print()
        print_table(rows, title="Scores (failed answers count as wrong; all of them: radvlm report eval):")
    for (test_set, why), names in lacking.items():
        say(f"{test_set}: {', '.join(names)}: {why}")


def _list(given: dict[str, Any]) -> None:
    from radvlm_cli.stages.evaluation.models import list_models, other_kinds
    from radvlm_cli.stages.evaluation.runs import list_evaluations
    from radvlm_cli.store.engine import open_store

    where = configured_settings(data_dir=given["data_dir"], store=given["store"])
    evaluations = []
    if where is not None and where.store.exists():
        with open_store(where.store, create=False, allow_network=True) as store:
            evaluations = list_evaluations(store)
    models = list_models()
    if given["as_json"]:
        print_json({"models": models, "kinds": other_kinds(), "evaluations": evaluations})
        return
    print_table(models, title="Models:", notes="how to get them")
    print(f"\nAnd by kind: {', '.join(f'{kind}:NAME' for kind in other_kinds())}; see docs/eval.md.")
    if evaluations:
        print()
        print_table(evaluations, title="Evaluations:", spare=("patients", "run"))
