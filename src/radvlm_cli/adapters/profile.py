"""Profiles: what has to be known of a model that its checkpoint does not tell, as data (profiles/*.yaml).

The models of `chat:` and `endpoint:` differ in how they are asked, how they write boxes and what surrounds an answer,
and in nothing else; so they share their code and have a profile each.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from fnmatch import fnmatch
from functools import cache, cached_property
from importlib import resources
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator

from radvlm_cli.adapters.prompts import Prompts, parse_prompts
from radvlm_cli.adapters.protocol import GROUNDING, Asked, Protocols, Task
from radvlm_cli.documents import load_yaml
from radvlm_cli.errors import ConfigError

GENERIC = "generic"


class Pixels(BaseModel):
    """How large a picture the model is shown."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    most: int
    """Width times height."""
    least: int = 1
    multiple: int = 1
    """Of which both sides are multiples."""

    @model_validator(mode="after")
    def _possible(self) -> Pixels:
        if not self.multiple**2 <= self.most or not 1 <= self.least <= self.most:
            raise ValueError("least and multiple leave no size that is at most `most`")
        return self

    def fit(self, size: tuple[int, int]) -> tuple[int, int]:
        """The size, width and height, nearest to `size` in form that the limits allow; a size that fits stays."""
        step = self.multiple
        sides = [max(step, round(side / step) * step) for side in size]
        if math.prod(sides) > self.most:
            shrink = math.sqrt(math.prod(size) / self.most)
            sides = [max(step, math.floor(side / shrink / step) * step) for side in size]
        elif math.prod(sides) < self.least:
            grow = math.sqrt(self.least / math.prod(size))
            sides = [math.ceil(side * grow / step) * step for side in size]
        return sides[0], sides[1]


class Profile(BaseModel):
    """One model or family."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    match: tuple[str, ...] = ()
    """Patterns of Hugging Face ids, served names or folders, in lower case."""
    model_types: tuple[str, ...] = ()
    """`model_type` of a checkpoint whose name matches no profile."""
    licence: str = "unknown"
    note: str = ""
    """How to get the weights, where they are not simply downloaded."""
    revisions: Mapping[str, str] = {}
    """Commit, by Hugging Face id, that the profile was written against."""
    tasks: frozenset[Task]
    codec: str | None = None
    extractor: str = "whole"
    most: Mapping[Task, int] = {}
    """Most new tokens, where the usual number is not right; one number: for all tasks."""
    system: str | None = None
    """System turn; None: whatever the chat template puts."""
    pixels: Pixels | None = None
    """None: as the checkpoint's image processor does it."""
    prompts: Mapping[str, Any]
    """As in prompts/*.yaml (see prompts.py), for every single-turn task."""
    version: int = 1
    """Raise it when prompts or pixels change."""

    @field_validator("most", mode="before")
    @classmethod
    def _for_all_tasks(cls, most: Any) -> Any:
        return dict.fromkeys(get_args(Task), most) if isinstance(most, int) else most

    @model_validator(mode="after")
    def _whole(self) -> Profile:
        single = self.tasks - {"conversation"}
        if self._asks.tasks != single:
            raise ValueError(f"prompts are wanted for exactly {', '.join(sorted(single))}")
        if self.codec is None and (located := single & {*GROUNDING, "detection"}):
            raise ValueError(f"without a codec no boxes can be read for {', '.join(sorted(located))}")
        return self

    @cached_property
    def _asks(self) -> Prompts:
        return parse_prompts(self.prompts, f"The profile of {self.title}")

    @property
    def words(self) -> str:
        """All that its prompts say, in one text."""
        return "\n".join(text for texts in self._asks.texts.values() for text in texts)

    def prompt(self, asked: Asked, protocol: Protocols = "default") -> str:
        """The first user turn of a single-turn task; ConfigError for a task that the model is not asked."""
        return self._asks.prompt(asked, protocol)


@cache
def profiles() -> dict[str, Profile]:
    """All profiles by name."""
    found = {}
    for file in sorted(resources.files("radvlm_cli.adapters").joinpath("profiles").iterdir(), key=lambda f: f.name):
        if file.name.endswith(".yaml"):
            found[file.name.removesuffix(".yaml")] = read_profile(file.read_text("utf-8"), file.name)
    return found


def read_profile(text: str, where: str) -> Profile:
    """A profile from YAML; ConfigError saying what is wrong with it."""
    try:
        return Profile.model_validate(load_yaml(text, where))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ConfigError(f"{where}: {place + ': ' if place else ''}{first['msg']}.") from error


def split_name(rest: str) -> tuple[str, str | None]:
    """A model's name and the profile that follows it after an @, if one does: `org/model@medgemma`, `NAME@FILE.yaml`.

    What follows an @ and is neither a profile nor a YAML file belongs to the name.
    """
    name, _at, wanted = rest.rpartition("@")
    return (name, wanted) if name and (wanted in profiles() or wanted.endswith(".yaml")) else (rest, None)


def choose_profile(model: str, wanted: str | None = None) -> tuple[str, Profile]:
    """Name and content of the profile for a Hugging Face id, a served name or a folder.

    `wanted` is the name of one, or a YAML file. Else: the longest pattern that fits the name, else the folder's
    `model_type`, else the generic one.
    """
    known = profiles()
    if wanted is not None:
        if wanted in known:
            return wanted, known[wanted]
        file = Path(wanted)
        if not file.is_file():
            raise ConfigError(f"There is no profile {wanted}.", f"one of {', '.join(known)}, or a YAML file")
        return file.stem, read_profile(file.read_text("utf-8"), str(file))
    name = known_as(model)
    fitting = [(len(pattern), key) for key, each in known.items() for pattern in each.match if fnmatch(name, pattern)]
    if fitting:
        key = max(fitting)[1]
        return key, known[key]
    kind = _model_type(Path(model))
    key = next((key for key, each in known.items() if kind is not None and kind in each.model_types), GENERIC)
    return key, known[key]


def known_as(model: str) -> str:
    """An id or served name as it is; of a folder its own name, or the id that the Hugging Face cache names it by."""
    if not Path(model).is_dir():
        return model.casefold()
    parts = Path(model).resolve().parts
    cached = next((part for part in reversed(parts) if part.startswith("models--")), None)
    name = cached.removeprefix("models--").replace("--", "/") if cached else parts[-1]
    return name.casefold()


def _model_type(folder: Path) -> str | None:
    try:
        config: Any = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None  # no folder with a checkpoint: loading says so, in full
    return config.get("model_type") if isinstance(config, dict) else None
