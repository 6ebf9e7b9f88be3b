"""The `radvlm` command: stages in the order in which data flows, and the one place where errors become text."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any, NoReturn

import typer
from typer.main import get_command

from radvlm_cli import __version__
from radvlm_cli.commands import (
    build,
    chat,
    converse,
    convert,
    curate,
    db,
    demo,
    doctor,
    eval,
    export,
    prepare,
    report,
    train,
)
from radvlm_cli.errors import Interrupted, RadvlmError

app = typer.Typer(
    name="radvlm",
    help="From chest X-ray datasets to an evaluated vision-language model, over one SQLite store. Research use only.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("prepare")(prepare.prepare)
app.command("curate")(curate.curate)
app.command("converse")(converse.converse)
app.command("build")(build.build)
app.command("train")(train.train)
app.command("convert")(convert.convert)
app.command("eval")(eval.eval_)
app.add_typer(report.app, name="report")
app.command("chat")(chat.chat)
app.add_typer(export.app, name="export")
app.command("demo")(demo.demo)
app.command("doctor")(doctor.doctor)
app.add_typer(db.app, name="db")


def _version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Options before the stage."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 done, 2 usage, 3 user error, 4 finished with failed items, 130 interrupted."""
    sys.exit(run(list(sys.argv[1:] if arguments is None else arguments)))


def run(arguments: list[str]) -> int:
    """Run the command line; return the exit code. Bugs keep their traceback (exit code 1)."""
    try:
        _command()(arguments)
    except SystemExit as ended:  # Typer has said what is wrong with the options, or a command chose its code
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except RadvlmError as error:
        print(f"{'' if isinstance(error, Interrupted) else 'Error: '}{error.message}", file=sys.stderr)
        if error.hint:
            # A hint of several commands has each on a line of its own.
            hint = error.hint.replace("\n", "\n      ")
            print(f"{'Go on' if isinstance(error, Interrupted) else 'Try'}:  {hint}", file=sys.stderr)
        return error.exit_code
    return 0


@cache
def _command() -> Any:
    """What Typer makes of the signatures of all commands: it takes a while, so once a process."""
    return get_command(app)
