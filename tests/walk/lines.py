"""Command lines of `radvlm` in pages and blocks, held against the options that the program has, without running it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from typing import Any

import typer
from typer.main import get_command

from radvlm_cli.main import application

_SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_PLACEHOLDER = re.compile(r"^[A-Z][A-Z_]*$|\.\.\.|…")


@cache
def _root() -> Any:
    return get_command(application())


def invocations(command: str) -> Iterator[list[str]]:
    """The arguments of each call of `radvlm` in a command of the shell, pipes and lists taken apart."""
    lexer = shlex.shlex(command.replace("\\\n", " "), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    part: list[str] = []
    for token in [*lexer, ";"]:
        if set(token) <= set("();<>|&"):
            if ">" in token and part and part[-1].isdigit():
                part.pop()  # the 2 of 2>
            if "radvlm" in part:
                yield part[part.index("radvlm") + 1 :]
            part = []
        else:
            part.append(token)


def fault_of(arguments: list[str]) -> str | None:
    """What the program would say is wrong with its arguments; None where nothing is."""
    command, parent, name = _root(), None, "radvlm"
    try:
        while True:
            context = command.make_context(name, list(arguments), parent=parent)
            rest = [*getattr(context, "_protected_args", []), *context.args]
            if not isinstance(command, typer.core.TyperGroup) or not rest:
                return None
            name, command, arguments = command.resolve_command(context, rest)  # type: ignore[assignment]
            parent = context
    except typer.TyperException as error:
        return error.format_message() if hasattr(error, "format_message") else str(error)
    except typer.Exit:  # --help, --version
        return None


def spans_of(text: str) -> list[str]:
    """What stands in single backquotes outside of fenced blocks."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    return [" ".join(match[1].split()) for match in _SPAN.finditer(prose)]


def span_fault(span: str) -> str | None:
    """What is wrong with a mention such as `radvlm report --html FILE`: a command or option that does not exist."""
    tokens = iter(re.split(r"[ =]", span.partition(" | ")[0])[1:])
    command: Any = _root()
    for token in tokens:
        below = getattr(command, "commands", None)
        if _PLACEHOLDER.search(token):
            continue
        if token.startswith("-"):
            if token != "--" and token not in _options(command):
                return f"`{span}`: no option {token}"
            if token in _with_value(command):
                next(tokens, None)
        elif below is not None and token in below:
            command = below[token]
        elif below is not None:
            return f"`{span}`: no command {token}"
    return None


def all_options() -> set[str]:
    """Every option of every command."""

    def below(command: Any) -> Iterator[str]:
        yield from _options(command)
        for each in getattr(command, "commands", {}).values():
            yield from below(each)

    return set(below(_root()))


def _options(command: Any) -> set[str]:
    return {"-h", "--help"} | {name for each in command.params for name in (*each.opts, *each.secondary_opts)}


def _with_value(command: Any) -> set[str]:
    return {name for each in command.params if not getattr(each, "is_flag", False) for name in each.opts}
