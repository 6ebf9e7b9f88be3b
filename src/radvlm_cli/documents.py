"""YAML that people write: safe, and strict where YAML is not."""

from __future__ import annotations

from typing import Any

import yaml

from radvlm_cli.errors import ConfigError


class _Loader(yaml.SafeLoader):
    """Safe YAML in which a key given twice is a mistake, not a silent choice of the second."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _value in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} is given twice", key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def load_yaml(text: str, where: str) -> Any:
    """Parse YAML; ConfigError with line and column where it is none. `where` is what messages call the text."""
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(f"{where} is not valid YAML{place}: {getattr(error, 'problem', error)}.") from error
