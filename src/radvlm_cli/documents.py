"""Documents that people and models write: YAML, safe and strict where YAML is not, and JSON amid a model's words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from radvlm_cli.errors import ConfigError

if TYPE_CHECKING:
    import yaml

_OBJECTS_TRIED = 50
_NO_CHARACTER = re.compile("[\ud800-\udfff\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
"""Halves of characters, which no file or store takes, and control characters."""


@cache
def _loader() -> type[yaml.SafeLoader]:
    """The loader, made when it is first needed: most who read JSON here have no YAML to read."""
    import yaml

    class Loader(yaml.SafeLoader):
        """Safe YAML in which a key given twice is a mistake, not a silent choice of the second."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            seen = set()
            for key, _value in node.value:
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} is given twice", key.start_mark)
                seen.add(str(key.value))
            return super().construct_mapping(node, deep)

    return Loader


def load_yaml(text: str, where: str) -> Any:
    """Parse YAML; ConfigError with line and column where it is none. `where` is what messages call the text."""
    import yaml

    try:
        return yaml.load(text, _loader())
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(f"{where} is not valid YAML{place}: {getattr(error, 'problem', error)}.") from error


def json_objects(text: str, *, unique: bool = False) -> Iterator[dict[str, Any]]:
    """The whole JSON objects in a text, from the left, none within another, with or without words around them.

    `unique`: an object that gives a key twice is none.
    """
    decoder = json.JSONDecoder(strict=False, object_pairs_hook=_unique if unique else None)
    start = 0
    for _ in range(_OBJECTS_TRIED):
        start = text.find("{", start)
        if start < 0:
            return
        try:
            found, end = decoder.raw_decode(text, start)
            document = _readable_in(found)  # goes deeper than the decoder did
        except (ValueError, RecursionError):
            start += 1
            continue
        start = end
        yield cast(dict[str, Any], document)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is given twice")
    return found


def readable(text: str) -> str:
    """A model's text with spaces for what is no character, so that it can be kept."""
    return _NO_CHARACTER.sub(" ", text)


def _readable_in(value: Any) -> Any:
    if isinstance(value, str):
        return readable(value)
    if isinstance(value, list):
        return [_readable_in(one) for one in value]
    if isinstance(value, dict):
        return {readable(name): _readable_in(one) for name, one in value.items()}
    return value
