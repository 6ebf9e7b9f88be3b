"""radvlm report eval, compare and calibration: what came of evaluations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from radvlm_cli.commands import options
from radvlm_cli.commands import report_options as given_as
from radvlm_cli.errors import ConfigError

if TYPE_CHECKING:
    from radvlm_cli.reporting.tables import View
    from radvlm_cli.store.snapshot import Snapshot


def eval_(
    context: typer.Context,
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
    form: given_as.Format = None,
    table: given_as.OneTable = None,
    as_json: options.Json = False,
    data_dir: options.DataDir = None,
    store: options.StorePath = None,
) -> None:
    """Models by metrics, with n, 95 % intervals, coverage and failures; published figures beside ours.

    Examples:

      radvlm report eval

      radvlm report eval --task classification --labels

      radvlm report eval --task phrase --by sex --format md
    """
    if by is not None and (labels or readable or all_metrics):
        raise ConfigError("--by shows the main metrics by group; it goes with no other selection of metrics.", "--by")

    def make(snapshot: Snapshot) -> View:
        from radvlm_cli.stages.reports.evaluations import Shown, evaluations_view
        from radvlm_cli.stages.reports.subgroups import subgroups_view

        wanted = given_as.wanted(model, test_set, task, every)
        if by is not None:
            return subgroups_view(snapshot, wanted, by.value)
        return evaluations_view(snapshot, wanted, Shown(all_metrics, labels, readable))

    given_as.show_view(context, given_as.Given(form, table, as_json, data_dir, store), make)


def compare(
    context: typer.Context,
    first: Annotated[str, typer.Argument(metavar="A", help="Model, or evaluation by number.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Model, or evaluation by number.")],
    test_set: given_as.TestSets = None,
    task: given_as.Tasks = None,
    all_metrics: given_as.AllMetrics = False,
    form: given_as.Format = None,
    table: given_as.OneTable = None,
    as_json: options.Json = False,
    data_dir: options.DataDir = None,
    store: options.StorePath = None,
) -> None:
    """Is A better than B, and is that real? Paired by sample, resampled by patient, adjusted over metrics.

    Examples:

      radvlm report compare radvlm:models/radvlm-7b chexagent

      radvlm report compare 12 17 --format latex
    """

    def make(snapshot: Snapshot) -> View:
        from radvlm_cli.stages.reports.comparison import comparison_view

        return comparison_view(snapshot, first, second, given_as.wanted(None, test_set, task, False), all_metrics)

    given_as.show_view(context, given_as.Given(form, table, as_json, data_dir, store), make)


def calibration(
    context: typer.Context,
    model: given_as.Models = None,
    test_set: given_as.TestSets = None,
    every: given_as.Every = False,
    form: given_as.Format = None,
    table: given_as.OneTable = None,
    as_json: options.Json = False,
    data_dir: options.DataDir = None,
    store: options.StorePath = None,
) -> None:
    """Of findings that answers affirm, leave uncertain, do not mention or negate: how many are there?

    Examples:

      radvlm report calibration

      radvlm report calibration --model chexagent --format csv
    """

    def make(snapshot: Snapshot) -> View:
        from radvlm_cli.stages.reports.calibration import calibration_view

        return calibration_view(snapshot, given_as.wanted(model, test_set, None, every))

    given_as.show_view(context, given_as.Given(form, table, as_json, data_dir, store), make)
