"""radvlm report: what a researcher, a supervisor and a reviewer ask of the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from radvlm_cli.commands import options
from radvlm_cli.commands import report_options as given_as
from radvlm_cli.commands import report_page as page
from radvlm_cli.errors import ConfigError

if TYPE_CHECKING:
    from radvlm_cli.reporting.tables import View
    from radvlm_cli.stages.reports.selection import Wanted
    from radvlm_cli.store.snapshot import Snapshot

app = typer.Typer(no_args_is_help=False)


@app.callback(invoke_without_command=True)
def report(
    context: typer.Context,
    form: given_as.Format = None,
    table: given_as.OneTable = None,
    as_json: options.Json = False,
    data_dir: options.DataDir = None,
    store: options.StorePath = None,
    html: page.Html = None,
    checklist: page.Checklist = None,
    public: page.Public = False,
    images: page.Images = 64,
    seed: page.Seed = 0,
    model: given_as.Models = None,
    test_set: given_as.TestSets = None,
    task: given_as.Tasks = None,
) -> None:
    """What is there, what is running, what failed and what mends it; and by view: data, llm, training, eval, compare.

    --html writes one page that needs nothing from anywhere; it holds images and texts, unless --public is said.

    Nothing is written to the store. See docs/report.md. Research use only.

    Examples:

      radvlm report

      radvlm report --html report.html --checklist checklist.md
    """
    context.obj = given_as.Given(form, table, as_json, data_dir, store)
    files = page.Files(html, checklist, public, images, seed, model, test_set, task)
    page.check_files(files, context.invoked_subcommand)
    if files.any:
        page.write_files(files, context.obj)
    elif context.invoked_subcommand is None:
        from radvlm_cli.stages.reports.overview import overview

        given_as.show_view(context, context.obj, lambda snapshot, _: overview(snapshot))


@given_as.view(app)
def data() -> given_as.Make:
    """Images, reports, groundings; datasets with the published counts beside those found; leaks.

    Examples:

      radvlm report data

      radvlm report data --table components --format csv
    """
    from radvlm_cli.stages.reports.data import data_view

    return lambda snapshot, _: data_view(snapshot)


@given_as.view(app)
def llm() -> given_as.Make:
    """Calls to language models: tokens and dollars by prompt and model, quarantined texts, open batches.

    Examples:

      radvlm report llm

      radvlm report llm --format json
    """
    from radvlm_cli.stages.reports.llm import llm_view

    return lambda snapshot, _: llm_view(snapshot)


@given_as.view(app)
def training(
    run: Annotated[int | None, typer.Option("--run", help="One run in detail: its curve and checkpoints.")] = None,
    points: Annotated[int, typer.Option("--points", min=1, help="Points of the curve.")] = 20,
) -> given_as.Make:
    """Training runs: steps, loss, throughput, checkpoints.

    Examples:

      radvlm report training

      radvlm report training --run 12 --points 100 --table steps --format csv
    """
    from radvlm_cli.stages.reports.training import training_view

    return lambda snapshot, _: training_view(snapshot, run, points)


@given_as.view(app, "eval")
def eval_(
    model: given_as.Models = None,
    test_set: given_as.TestSets = None,
    task: given_as.Tasks = None,
    labels: Annotated[bool, typer.Option("--labels", help="Every finding by itself, with its prevalence.")] = False,
    by: Annotated[given_as.By | None, typer.Option("--by", help="The main metrics in groups of patients.")] = None,
    readable: Annotated[
        bool, typer.Option("--readable", help="Also over the answers that could be read only (a survivors' subset).")
    ] = False,
    all_metrics: given_as.AllMetrics = False,
    every: given_as.Every = False,
) -> given_as.Make:
    """Models by metrics, with n, 95 % intervals, coverage and failures; published figures beside ours.

    Examples:

      radvlm report eval

      radvlm report eval --task classification --labels

      radvlm report eval --task phrase --by sex --format md
    """
    if by is not None and (labels or readable or all_metrics):
        raise ConfigError("--by shows the main metrics by group; it goes with no other selection of metrics.", "--by")

    from radvlm_cli.stages.reports.evaluations import Shown, evaluations_view
    from radvlm_cli.stages.reports.subgroups import subgroups_view

    wanted = _wanted(model, test_set, task, every)
    if by is not None:
        return lambda snapshot, _: subgroups_view(snapshot, wanted, by.value)
    return lambda snapshot, _: evaluations_view(snapshot, wanted, Shown(all_metrics, labels, readable))


@given_as.view(app)
def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="Model, or evaluation by number.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Model, or evaluation by number.")],
    test_set: given_as.TestSets = None,
    task: given_as.Tasks = None,
    all_metrics: given_as.AllMetrics = False,
) -> given_as.Make:
    """Is A better than B, and is that real? Paired by sample, resampled by patient, adjusted over metrics.

    Examples:

      radvlm report compare radvlm:models/radvlm-7b chexagent

      radvlm report compare 12 17 --format latex
    """
    from radvlm_cli.stages.reports.comparison import comparison_view

    wanted = _wanted(None, test_set, task, False)
    return lambda snapshot, _: comparison_view(snapshot, first, second, wanted, all_metrics)


@given_as.view(app)
def failures(
    model: given_as.Models = None,
    test_set: given_as.TestSets = None,
    task: given_as.Tasks = None,
    worst: Annotated[int, typer.Option("--worst", min=0, help="Samples of each kind.")] = 10,
    whole: Annotated[bool, typer.Option("--whole", help="Texts as long as they are.")] = False,
    every: given_as.Every = False,
) -> given_as.Make:
    """Answers that count as wrong, by cause; unreadable and worst samples with the raw text.

    Examples:

      radvlm report failures

      radvlm report failures --model chexagent --task phrase --worst 50 --whole --format json
    """
    from radvlm_cli.stages.reports.failures import failures_view

    wanted = _wanted(model, test_set, task, every)
    # Programs get texts whole; people get them cut, unless they ask.
    for_programs = (given_as.FormatName.csv, given_as.FormatName.json)
    return lambda snapshot, form: failures_view(snapshot, wanted, worst=worst, whole=whole or form in for_programs)


@given_as.view(app, one_table=False)
def sql(
    query: Annotated[str, typer.Argument(help="One statement; docs/store.md describes tables and views.")],
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Rows at most.", show_default="1,000 for a table, else all")
    ] = None,
) -> given_as.Make:
    """Ask the store in SQL. It is open for reading only.

    Examples:

      radvlm report sql "SELECT model, test_set, metric, value FROM evaluation_result WHERE part = ''"

      radvlm report sql "SELECT * FROM problem" --format csv
    """
    from radvlm_cli.stages.reports.queries import query_view

    def make(snapshot: Snapshot, form: given_as.FormatName) -> View:
        shown = 1000 if form is given_as.FormatName.table else None
        return query_view(snapshot, query, limit or shown)

    return make


def _wanted(models: list[str] | None, test_sets: list[str] | None, tasks: list[str] | None, every: bool) -> Wanted:
    from radvlm_cli.stages.reports.selection import Wanted

    return Wanted(tuple(models or ()), tuple(test_sets or ()), tuple(tasks or ()), every)
