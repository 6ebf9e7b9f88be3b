"""radvlm report: what a researcher, a supervisor and a reviewer ask of the store."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from radvlm_cli.commands import options
from radvlm_cli.commands import report_evaluations as evaluations
from radvlm_cli.commands import report_options as given_as
from radvlm_cli.commands import report_page as page

if TYPE_CHECKING:
    from radvlm_cli.reporting.tables import View
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
    """What is there, what is running, what failed and what mends it; by view: data, llm, training, eval, compare ...

    --html writes one page that needs nothing from anywhere; it holds images and texts, unless --public is said.

    Nothing is written to the store. See docs/report.md. Research use only.

    Examples:

      radvlm report

      radvlm report --html report.html --checklist checklist.md
    """
    # Products of so small matrices are done before a second thread is awake, which then spins: 1.4 s of CPU, not 2.4.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
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


given_as.view(app, "eval")(evaluations.eval_)
given_as.view(app)(evaluations.compare)
given_as.view(app)(evaluations.calibration)


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

    wanted = given_as.wanted(model, test_set, task, every)
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
