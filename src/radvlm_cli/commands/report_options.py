"""Options that the views of `radvlm report` share, and how a view is shown."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from radvlm_cli.commands import options
from radvlm_cli.commands.output import takes_colours, terminal_width
from radvlm_cli.config import existing_settings
from radvlm_cli.errors import ConfigError

if TYPE_CHECKING:
    from radvlm_cli.reporting.tables import View
    from radvlm_cli.stages.reports.selection import Wanted
    from radvlm_cli.store.snapshot import Snapshot


class FormatName(StrEnum):
    """How a view is written."""

    table = "table"
    md = "md"
    csv = "csv"
    json = "json"
    latex = "latex"


class By(StrEnum):
    """What patients are grouped by."""

    sex = "sex"
    age = "age"
    view = "view"


Format = Annotated[FormatName | None, typer.Option("--format", help="Form of the tables.", show_default="table")]
OneTable = Annotated[str | None, typer.Option("--table", help="Only the table of this name (see --format json).")]
Models = Annotated[
    list[str] | None, typer.Option("--model", help="Only this model, or evaluation by number; may be repeated.")
]
TestSets = Annotated[list[str] | None, typer.Option("--test-set", help="Only this test set; may be repeated.")]
Tasks = Annotated[
    list[str] | None,
    typer.Option("--task", help="Only test sets of this task, e.g. report, classification, phrase; may be repeated."),
]
Every = Annotated[bool, typer.Option("--every", help="Older evaluations of the same model on the same test set too.")]
AllMetrics = Annotated[bool, typer.Option("--all-metrics", help="All metrics, not only the main ones of the task.")]


class Given(NamedTuple):
    """What was said before the name of the view; a view's own options count first."""

    form: FormatName | None
    table: str | None
    as_json: bool
    data_dir: Path | None
    store: Path | None


Make = Callable[["Snapshot", FormatName], "View"]
"""Makes a view of the store, which will be written in this form."""


def view(app: typer.Typer, name: str | None = None, *, one_table: bool = True) -> Callable[[Callable[..., Make]], None]:
    """Make a subcommand of a function: the function takes the options of its own, and the options of all views follow.

    It is named as the function is, unless `name` says otherwise; without `one_table` it has no --table.
    """

    def add(function: Callable[..., Make]) -> None:
        def command(context: typer.Context, **values: Any) -> None:
            given = Given(**{field: values.pop(field, None) for field in Given._fields})
            show_view(context, given, function(**values))

        own = inspect.signature(function, eval_str=True).parameters.values()
        shared = inspect.signature(_options_of_all_views, eval_str=True).parameters.values()
        first = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
        parameters = [first, *own, *(each for each in shared if one_table or each.name != "table")]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # what typer reads
        command.__name__, command.__doc__ = function.__name__, function.__doc__
        app.command(name)(command)

    return add


def _options_of_all_views(
    form: Format = None,
    table: OneTable = None,
    as_json: options.Json = False,
    data_dir: options.DataDir = None,
    store: options.StorePath = None,
) -> None: ...


def merged(context: typer.Context, own: Given) -> Given:
    """A view's own options, else those said before its name."""
    before = context.obj if isinstance(context.obj, Given) else own
    return Given(
        own.form or before.form,
        own.table or before.table,
        own.as_json or before.as_json,
        own.data_dir or before.data_dir,
        own.store or before.store,
    )


def show_view(context: typer.Context, own: Given, make: Make) -> None:
    """Open the store for reading, make the view, print it."""
    given = merged(context, own)
    form = given.form or (FormatName.json if given.as_json else FormatName.table)
    settings = existing_settings(data_dir=given.data_dir, store=given.store)

    from radvlm_cli.reporting.formats import write_view
    from radvlm_cli.store.snapshot import open_snapshot

    with open_snapshot(settings.store) as snapshot:
        view = make(snapshot, form)
    if given.table is not None:
        try:
            view = view.only(given.table)
        except KeyError:
            names = ", ".join(table.name for table in view.tables)
            raise ConfigError(f"There is no table {given.table!r} here; there are: {names}.", "--table NAME") from None
    sys.stdout.write(write_view(view, form.value, width=terminal_width(), colours=takes_colours()))


def wanted(
    models: list[str] | None = None,
    test_sets: list[str] | None = None,
    tasks: list[str] | None = None,
    every: bool = False,
) -> Wanted:
    """What was asked for, as the stages have it."""
    from radvlm_cli.stages.reports.selection import Wanted

    return Wanted(tuple(models or ()), tuple(test_sets or ()), tuple(tasks or ()), every)
