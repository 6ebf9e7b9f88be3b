"""Values of options as they stand on the command line, converted without a validator for each.

Typer makes a pydantic validator for every option, given or not, and pydantic takes longer to load than the store takes
to be asked. So what is surely a value of the option is converted here; all else is Typer's, and so is every message
about what is wrong. A Typer that goes about it otherwise is left alone.
"""

from __future__ import annotations

import os
import re
import stat
from enum import Enum
from pathlib import Path
from typing import Any, get_args, get_origin

_WHOLE = re.compile(r"-?[0-9]{1,15}")
_DECIMAL = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,15})?")


class NotPlain(Exception):
    """Only Typer can say whether this is a value of the option."""


def without_validators(command: Any) -> Any:
    """The command (of Typer), its options and those of all commands below it converting plain values by themselves."""
    for parameter in command.params:
        _convert_plainly(parameter)
    typers_own = command.get_help_option

    def help_option(ctx: Any) -> Any:
        return _convert_plainly(typers_own(ctx))  # Typer makes it when it reads the command line

    command.get_help_option = help_option
    for below in getattr(command, "commands", {}).values():
        without_validators(below)
    return command


def _convert_plainly(parameter: Any) -> Any:
    if getattr(parameter, "_runtime_param", 0) is None and hasattr(parameter, "get_runtime_param"):
        parameter._runtime_param = _Plain()
    return parameter


class _Plain:
    """Stands where Typer keeps the validator of one option."""

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """The value for the command; Typer's own conversion takes this place as soon as it is needed."""
        if value is None:
            return () if param.multiple or param.nargs == -1 else None
        try:
            return plain_value(value, param.type_descriptor.annotation, param.type_descriptor.parameter_info)
        except NotPlain:
            param._runtime_param = None
            return param.get_runtime_param().coerce(value, param=param, ctx=ctx)


def plain_value(value: Any, annotation: Any, info: Any) -> Any:
    """A text of the command line, or a default, as the type that the command asks for; `info` is Typer's of the option.

    NotPlain where the text might not be taken, or would be taken in another way.
    """
    if get_origin(annotation) is list and isinstance(value, list | tuple):
        return [plain_value(each, get_args(annotation)[0], info) for each in value]
    if not isinstance(annotation, type) or info.parser is not None or info.clamp:
        raise NotPlain
    if annotation in (str, bool):
        if type(value) is annotation:
            return value
    elif annotation in (int, float):
        return _number(value, annotation, info)
    elif issubclass(annotation, Enum):
        return _choice(value, annotation)
    elif annotation is Path:
        return _path(value, info)
    raise NotPlain


def _number(value: Any, kind: type, info: Any) -> Any:
    form = _WHOLE if kind is int else _DECIMAL
    if type(value) is not kind and not (isinstance(value, str) and form.fullmatch(value)):
        raise NotPlain
    number = kind(value)
    if (info.min is not None and number < info.min) or (info.max is not None and number > info.max):
        raise NotPlain
    return number


def _choice(value: Any, choices: type[Enum]) -> Enum:
    for choice in choices:
        if value is choice or (type(value) is str and value == choice.value):
            return choice
    raise NotPlain


def _path(value: Any, info: Any) -> Path:
    if not isinstance(value, str | Path) or info.exists or info.writable or info.resolve_path or info.allow_dash:
        raise NotPlain
    path = Path(value)
    try:
        kind = os.stat(path).st_mode
    except OSError:
        return path
    except ValueError as error:
        raise NotPlain from error
    wrong = (stat.S_ISREG(kind) and not info.file_okay) or (stat.S_ISDIR(kind) and not info.dir_okay)
    if wrong or info.path_type is not None or (info.readable and not os.access(path, os.R_OK)):
        raise NotPlain
    return path
