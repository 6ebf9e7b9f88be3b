"""Training recipes: what is the same from run to run. Built-in ones lie in finetuning/recipes; a recipe is the part of
a manifest (see finetuning/manifest.py) that names no place, as YAML.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from radvlm_cli.documents import load_yaml
from radvlm_cli.errors import ConfigError
from radvlm_cli.program import program_folder

Values = dict[str, Any]

SECTIONS = (
    *("model", "data", "loss", "packing", "optimization", "parallel", "adapter", "checkpoints", "evaluation"),
    *("stop", "report_to"),
)
_PLACES = {
    "model": {"path": "--model"},
    "data": {
        "table": "--dataset",
        "sha256": "--dataset",
        "pairs": "--dataset",
        "cache": "--output",
        "image_root": "--image-root",
    },
}
"""What a recipe may not say, and the option that does."""


class Recipe(NamedTuple):
    """A recipe as it was read."""

    name: str
    """As the user named it."""
    description: str
    values: Values
    """Sections of the manifest; what they leave out has the program's defaults."""


def built_in() -> list[str]:
    """Names of the built-in recipes."""
    return sorted(path.stem for path in (program_folder() / "recipes").glob("*.yaml"))


def load_recipe(name: str) -> Recipe:
    """Load a built-in recipe by name, or a YAML file by path; ConfigError naming the place of any mistake."""
    path = program_folder() / "recipes" / f"{name}.yaml" if name in built_in() else Path(name)
    if not path.is_file():
        close = get_close_matches(name, built_in(), n=1)
        hint = f"--recipe {close[0]}" if close else f"--recipe {' or '.join(built_in())}, or a YAML file"
        what = "is a folder" if path.is_dir() else "does not exist"
        raise ConfigError(f"The recipe {name} {what}.", hint)
    try:
        value = load_yaml(path.read_text(encoding="utf-8"), name)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The recipe {name} cannot be read: {error}.") from error
    if not isinstance(value, dict):
        raise ConfigError(f"The recipe {name} must be a mapping of {', '.join(SECTIONS)}.")
    description = str(value.pop("description", None) or "")
    _check_sections(value, f"The recipe {name}")
    return Recipe(name, description, _numbers(value))


def _check_sections(values: Values, where: str) -> None:
    for section, content in values.items():
        if section not in SECTIONS:
            close = get_close_matches(str(section), SECTIONS, n=1)
            hint = f"Did you mean {close[0]}?" if close else None
            raise ConfigError(f"{where} has a section {section!r}; there are {', '.join(SECTIONS)}.", hint)
        for key in set(_PLACES.get(section, ())) & set(content if isinstance(content, dict) else ()):
            raise ConfigError(f"{where} names {section}.{key}, which a recipe leaves open.", _PLACES[section][key])


def overlaid(base: Mapping[str, Any], changes: Mapping[str, Any]) -> Values:
    """`base` with `changes` on top, section by section."""
    result = dict(base)
    for key, value in changes.items():
        under = result.get(key)
        both = isinstance(value, Mapping) and isinstance(under, Mapping)
        result[key] = overlaid(under, value) if both else value  # type: ignore[arg-type]
    return result


def nested(settings: Mapping[str, Any]) -> Values:
    """`{"a.b": 1}` as `{"a": {"b": 1}}`."""
    result: Values = {}
    for name, value in settings.items():
        *sections, last = name.split(".")
        inner = result
        for section in sections:
            inner = inner.setdefault(section, {})
        inner[last] = value
    return result


def flat(values: Mapping[str, Any], above: str = "") -> Values:
    """`{"a": {"b": 1}}` as `{"a.b": 1}`."""
    result: Values = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            result |= flat(value, f"{above}{key}.")
        else:
            result[f"{above}{key}"] = value
    return result


def parse_settings(given: Iterable[str]) -> Values:
    """`--set` options, each NAME=VALUE with the value in YAML, by dotted name."""
    settings: Values = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ConfigError(f"--set {text!r} is not NAME=VALUE.", "--set optimization.warmup=0.1")
        settings[name.strip()] = _numbers(load_yaml(value, f"--set {name}"))
    _check_sections(nested(settings), "--set")
    return settings


def _numbers(value: Any) -> Any:
    """YAML 1.1 reads 1e-5 as a text: make it the number that it is, at any depth."""
    if isinstance(value, dict):
        return {key: _numbers(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_numbers(each) for each in value]
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value
