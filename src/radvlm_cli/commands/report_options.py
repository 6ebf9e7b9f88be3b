"""Options that the views of `radvlm report` share, and how a view is shown."""

from __future__ import annotations

import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from radvlm_cli.commands.output import takes_colours, terminal_width
from radvlm_cli.config import load_settings
from radvlm_cli.errors import ConfigError, StoreError

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


def form_of(given: Given) -> FormatName:
    return given.form or (FormatName.json if given.as_json else FormatName.table)


def show_view(context: typer.Context, own: Given, make: Callable[[Snapshot], View]) -> None:
    """Open the store for reading, make the view, print it."""
    given = merged(context, own)
    settings = load_settings(data_dir=given.data_dir, store=given.store)
    if not settings.store.exists():
        raise StoreError(f"There is no store at {settings.store}.", "radvlm prepare --source all --data-dir PATH")

    from radvlm_cli.reporting.formats import write_view
    from radvlm_cli.store.snapshot import open_snapshot

    with open_snapshot(settings.store) as snapshot:
        view = make(snapshot)
    if given.table is not None:
        try:
            view = view.only(given.table)
        except KeyError:
            names = ", ".join(table.name for table in view.tables)
            raise ConfigError(f"There is no table {given.table!r} here; there are: {names}.", "--table NAME") from None
    text = write_view(view, form_of(given).value, width=terminal_width(), colours=takes_colours())
    sys.stdout.write(text)


def wanted(models: list[str] | None, test_sets: list[str] | None, tasks: list[str] | None, every: bool) -> Wanted:
    """What was asked for, as the stages have it."""
    from radvlm_cli.stages.reports.selection import Wanted

    return Wanted(tuple(models or ()), tuple(test_sets or ()), tuple(tasks or ()), every)
