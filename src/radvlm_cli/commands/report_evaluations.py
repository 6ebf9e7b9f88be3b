"""radvlm report eval, compare and calibration: what came of evaluations."""

from __future__ import annotations

from typing import Annotated

import typer

from radvlm_cli.commands import report_options as given_as
from radvlm_cli.errors import ConfigError


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

    wanted = given_as.wanted(model, test_set, task, every)
    if by is not None:
        return lambda snapshot, _: subgroups_view(snapshot, wanted, by.value)
    return lambda snapshot, _: evaluations_view(snapshot, wanted, Shown(all_metrics, labels, readable))


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

    wanted = given_as.wanted(test_sets=test_set, tasks=task)
    return lambda snapshot, _: comparison_view(snapshot, first, second, wanted, all_metrics)


def calibration(
    model: given_as.Models = None,
    test_set: given_as.TestSets = None,
    every: given_as.Every = False,
) -> given_as.Make:
    """Of findings that answers affirm, leave uncertain, do not mention or negate: how many are there?

    Examples:

      radvlm report calibration

      radvlm report calibration --model chexagent --format csv
    """
    from radvlm_cli.stages.reports.calibration import calibration_view

    wanted = given_as.wanted(model, test_set, every=every)
    return lambda snapshot, _: calibration_view(snapshot, wanted)
