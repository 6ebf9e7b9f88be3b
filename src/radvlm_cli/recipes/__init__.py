"""Recipes: which components a dataset is made of. `radvlm.yaml` is the published training set, `evaluation.yaml`
the sets that it is tested on; users write their own in the same form."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any

from radvlm_cli.documents import load_yaml
from radvlm_cli.errors import ConfigError

BUILT_IN = ("radvlm", "evaluation")
SPLITS = ("train", "validation", "test", "all")
"""Of the official release; `all` takes every record, also those of a source without splits (Open-i)."""
SOURCES_OF_TASK = {
    "report": ("mimic", "chexpert-plus", "openi"),
    "classification": ("mimic", "chexpert", "chexpert-plus", "padchest"),
    "region-grounding": ("imagenome",),
    "abnormality-grounding": ("vindr",),
    "abnormality-detection": ("vindr",),
    "phrase-grounding": ("mscxr", "padchest-gr"),
    "conversation": ("mimic",),
    "grounded-conversation": ("mscxr", "padchest-gr"),
}
"""The tasks, and the sources that have what each needs."""
_HINT = "Mend it there; the built-in recipes show the form: radvlm_cli/recipes/*.yaml"


@dataclass(frozen=True)
class Component:
    """One line of a recipe."""

    name: str
    """First part of its pairs' ids."""
    task: str
    source: str
    split: tuple[str, ...]
    repeat: int = 1
    """How often each record is used, each time in other words."""
    limit: int | None = None
    """Records at most, sampled by keyed hash."""
    expected: int | None = None
    """Records in the published dataset, before repetition."""


@dataclass(frozen=True)
class Recipe:
    """A dataset to build."""

    name: str
    """Stem of its files."""
    description: str
    seed: int
    components: tuple[Component, ...]


def load_recipe(name: str) -> Recipe:
    """Load a built-in recipe by name, or a YAML file by path; ConfigError naming the place of any mistake."""
    if name in BUILT_IN:
        return parse_recipe(files(__package__).joinpath(f"{name}.yaml").read_text(encoding="utf-8"), name)
    path = Path(name)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise ConfigError(f"The recipe {name} {what}.", f"--recipe {' or --recipe '.join(BUILT_IN)}, or a YAML file")
    try:
        return parse_recipe(path.read_text(encoding="utf-8"), name)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The recipe {name} cannot be read: {error}.", _HINT) from error
    except ConfigError as error:
        raise ConfigError(error.message, error.hint or _HINT) from error


def parse_recipe(text: str, where: str) -> Recipe:
    """Parse the YAML of a recipe; `where` is what messages call it."""
    checked = _mapping(load_yaml(text, where), where, Recipe)
    entries = checked.get("components")
    if not isinstance(entries, list) or not entries:
        raise ConfigError(f"{where}: `components` must be a list with at least one entry.")
    components = tuple(_component(entry, f"{where}, component {n}") for n, entry in enumerate(entries, 1))
    names = [component.name for component in components]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"{where}: two components are called {twice!r}; pairs' ids need different names.")
    return Recipe(
        _name(checked.get("name"), where),
        str(checked.get("description") or ""),
        _whole(checked.get("seed", 0), f"{where}: seed", least=0),
        components,
    )


def _component(entry: Any, where: str) -> Component:
    checked = _mapping(entry, where, Component)
    name = _name(checked.get("name"), where)
    where = f"{where} ({name})"
    task = _one_of(checked.get("task"), SOURCES_OF_TASK, f"{where}: task")
    sources = SOURCES_OF_TASK[task]
    source = _one_of(checked.get("source"), sources, f"{where}: source of task {task}")
    splits = checked.get("split")
    if isinstance(splits, str):
        splits = [splits]
    if not isinstance(splits, list) or not splits:
        raise ConfigError(f"{where}: `split` must be one or more of {', '.join(SPLITS)}.")
    split = tuple(dict.fromkeys(_one_of(value, SPLITS, f"{where}: split") for value in splits))
    limit, expected = checked.get("limit"), checked.get("expected")
    return Component(
        name,
        task,
        source,
        split,
        _whole(checked.get("repeat", 1), f"{where}: repeat", least=1),
        None if limit is None else _whole(limit, f"{where}: limit", least=1),
        None if expected is None else _whole(expected, f"{where}: expected", least=0),
    )


def _mapping(value: Any, where: str, kind: type[Recipe] | type[Component]) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{where} must be a mapping with name, {', '.join(f.name for f in fields(kind)[1:])}.")
    for key in value:
        _one_of(key, [field.name for field in fields(kind)], f"{where}: key")
    return value


def _one_of(value: Any, known: Collection[str], where: str) -> str:
    if isinstance(value, str) and value in known:
        return value
    close = get_close_matches(str(value), list(known), n=1)
    hint = f"did you mean {close[0]!r}?" if close else None
    raise ConfigError(f"{where} {value!r} is not known; there are {', '.join(known)}.", hint)


def _name(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value or not value.replace("-", "").replace("_", "").isalnum():
        raise ConfigError(f"{where}: `name` must be letters, digits, - and _; it is {value!r}.")
    return value


def _whole(value: Any, where: str, *, least: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigError(f"{where} must be a whole number from {least} on; it is {value!r}.")
    return value
