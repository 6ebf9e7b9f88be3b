"""Strict reading of JSON into frozen dataclasses: a mistake is an error that names its field."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, Field, field, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

_T = TypeVar("_T")


class ManifestError(Exception):
    """The manifest is not what it should be: `field` is where (`data.workers`), `reason` what is wrong."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.field = field
        self.reason = reason


def between(least: float, most: float | None = None, *, default: Any = MISSING, above: bool = False) -> Any:
    """A number from `least` on (`above`: not itself) up to `most`, itself included."""
    return field(default=default, metadata={"least": least, "most": most, "above": above})


def structure(kind: type[_T], value: Any, where: str = "") -> _T:
    """A dataclass of `kind` from a JSON object."""
    if not isinstance(value, Mapping):
        raise ManifestError(where, f"must be an object, not {_shown(value)}")
    known = {each.name: each for each in fields(kind)}  # type: ignore[arg-type]
    for key in value:
        if key not in known:
            close = get_close_matches(str(key), known, n=1)
            raise ManifestError(_join(where, str(key)), "is not known" + (f"; is it {close[0]}?" if close else ""))
    hints = get_type_hints(kind)
    parts: dict[str, Any] = {}
    for name, each in known.items():
        if name in value:
            parts[name] = _value(hints[name], value[name], _join(where, name), each)
        elif each.default is MISSING and each.default_factory is MISSING:
            raise ManifestError(_join(where, name), "is missing")
    return kind(**parts)


def _value(kind: Any, value: Any, where: str, each: Field[Any]) -> Any:
    """`value` as `kind`: a dataclass, a Literal, an optional, a tuple, a path, or a plain type."""
    if get_origin(kind) in (Union, UnionType):
        if value is None and NoneType in get_args(kind):
            return None
        kind = next(choice for choice in get_args(kind) if choice is not NoneType)
    if is_dataclass(kind) and isinstance(kind, type):
        return structure(kind, value, where)
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise ManifestError(where, f"is {_shown(value)}; it can be {', '.join(map(str, get_args(kind)))}")
        return value
    if get_origin(kind) is tuple:
        return _items(kind, value, where, each)
    return _plain(kind, value, where, each.metadata)


def _items(kind: Any, value: Any, where: str, each: Field[Any]) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise ManifestError(where, f"must be a list, not {_shown(value)}")
    kinds = get_args(kind)
    if kinds[-1] is Ellipsis:
        kinds = (kinds[0],) * len(value)
    if len(kinds) != len(value):
        raise ManifestError(where, f"must have {len(kinds)} values; it has {len(value)}")
    return tuple(_value(k, v, f"{where}[{n}]", each) for n, (k, v) in enumerate(zip(kinds, value, strict=True)))


def _plain(kind: Any, value: Any, where: str, bounds: Mapping[str, Any]) -> Any:
    if kind is Path and isinstance(value, str | Path) and str(value):
        return Path(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
        names = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", Path: "a path"}
        raise ManifestError(where, f"must be {names[kind]}, not {_shown(value)}")
    if bounds:
        _check_bounds(value, where, bounds)
    return value


def _check_bounds(value: float, where: str, bounds: Mapping[str, Any]) -> None:
    least, most, above = bounds["least"], bounds["most"], bounds["above"]
    # Written so that NaN, which compares as false, is refused.
    if not (value > least if above else value >= least):
        raise ManifestError(where, f"is {value}; it must be {'above' if above else 'at least'} {least:g}")
    if not value <= (float("inf") if most is None else most) or value == float("inf"):
        raise ManifestError(where, f"is {value}; it must be {'finite' if most is None else f'at most {most:g}'}")


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _shown(value: Any) -> str:
    return "null" if value is None else json.dumps(value, default=str)
