"""What `radvlm eval` would ask, for --dry-run: nothing is sent and nothing is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from radvlm_cli.commands.output import print_json, print_table
from radvlm_cli.config import Settings

if TYPE_CHECKING:
    from radvlm_cli.stages.evaluation.request import Request
    from radvlm_cli.stages.judging.reports import JudgeRequest
    from radvlm_cli.stages.judging.run import Pace


def of_answers(where: Settings, request: Request, *, as_json: bool) -> None:
    """The test sets that a model would be asked, and the script of a SLURM job."""
    from radvlm_cli.stages.evaluation.evaluate import batch_script
    from radvlm_cli.stages.evaluation.plan import plan, plan_rows
    from radvlm_cli.store.engine import open_store

    with open_store(where.store, create=False, allow_network=True) as store:
        rows = plan_rows(store, plan(store, request, data_dir=where.data(), derived_dir=where.derived()))
    script = None if request.profile is None else batch_script(request, 0, request.output / "RUN")
    workers = request.ranks.world
    if as_json:
        print_json({"model": request.model.name, "test_sets": rows, "workers": workers, "script": script})
        return
    title = f"radvlm eval would ask {request.model.name} with {workers} worker{'s'[: workers != 1]}:"
    print_table(rows, title=title, notes="prompt")
    if script is not None:
        print(f"\nand submit this script:\n\n{script}", end="")


def of_reports(where: Settings, run: int, request: JudgeRequest, *, as_json: bool) -> None:
    """The reports that GREEN's model would judge."""
    from radvlm_cli.stages.judging.reports import plan_reports, report_evaluations
    from radvlm_cli.store.engine import open_store

    with open_store(where.store, create=False, allow_network=True) as store:
        rows = plan_reports(store, report_evaluations(store, run), request)
    _print(rows, f"radvlm eval --green {run} would judge:", as_json=as_json)


def of_conversations(where: Settings, run: int, who: Mapping[str, Any], pace: Pace, *, as_json: bool) -> None:
    """The conversations that a judge would grade, and about what that costs."""
    from radvlm_cli.stages.judging.run import plan_judging
    from radvlm_cli.store.engine import open_store

    with open_store(where.store, create=False, allow_network=True) as store:
        plans = plan_judging(store, run, who, pace)
    rows = [{name.replace("_", " "): value for name, value in plan._asdict().items()} for plan in plans]
    _print(rows, f"radvlm eval --judge {run} would grade (cost in dollars, a call each):", as_json=as_json)


def _print(rows: list[dict[str, Any]], title: str, *, as_json: bool) -> None:
    if as_json:
        print_json(rows)
    else:
        print_table(rows, title=title)
