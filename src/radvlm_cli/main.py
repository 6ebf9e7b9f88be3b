"""The `radvlm` command: stages in the order in which data flows, and the one place where errors become text."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Annotated, Any, NoReturn

import typer
from typer.main import get_command

from radvlm_cli import __version__
from radvlm_cli.commands.plain_values import without_validators
from radvlm_cli.errors import Interrupted, RadvlmError

STAGES = {
    "prepare": "prepare",
    "curate": "curate",
    "converse": "converse",
    "build": "build",
    "train": "train",
    "convert": "convert",
    "eval": "eval_",
    "report": "app",
    "serve": "serve",
    "chat": "chat",
    "export": "app",
    "demo": "demo",
    "doctor": "doctor",
    "db": "app",
}
"""What a stage is called in its module of `commands`: a function, or an application of several commands. Modules are
imported when they are asked for, so that a stage does not wait for the others to load."""


def application(stages: Sequence[str] = tuple(STAGES)) -> typer.Typer:
    """The command line with these stages."""
    app = typer.Typer(
        name="radvlm",
        help="From chest X-ray datasets to an evaluated vision-language model, over one SQLite store. "
        "Research use only.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        callback=_root,
    )
    for name, attribute in STAGES.items():
        if name in stages:
            found = getattr(import_module(f"radvlm_cli.commands.{name}"), attribute)
            if isinstance(found, typer.Typer):
                app.add_typer(found, name=name)
            else:
                app.command(name)(found)
    return app


def _version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


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
        _command(_needed(arguments))(arguments)
    except SystemExit as ended:  # Typer has said what is wrong with the options, or a command chose its code
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except KeyboardInterrupt:  # while the command was loading; of a command that runs Typer says the same
        return Interrupted.exit_code
    except RadvlmError as error:
        print(f"{'' if isinstance(error, Interrupted) else 'Error: '}{error.message}", file=sys.stderr)
        if error.hint:
            # A hint of several commands has each on a line of its own.
            hint = error.hint.replace("\n", "\n      ")
            print(f"{'Go on' if isinstance(error, Interrupted) else 'Try'}:  {hint}", file=sys.stderr)
        return error.exit_code
    return 0


def _needed(arguments: Sequence[str]) -> tuple[str, ...]:
    """The stages without which these arguments cannot be understood."""
    if arguments[:1] == ["--version"]:
        return ()
    return (arguments[0],) if arguments and arguments[0] in STAGES else tuple(STAGES)


@cache
def _command(stages: tuple[str, ...]) -> Any:
    """What Typer makes of the signatures of these stages: it takes a while, so once a process."""
    return without_validators(get_command(application(stages)))
