"""The words that models are asked in, as data: prompts/<model>.yaml, one entry per task.

    report:
      default: Describe this chest X-ray.
      paper: Write a report.
    region: Where is the {subject}?
    classification:
      default:
        - 'The study was made for: {indication}. Which of these are present: {options}?'
        - 'Which of these are present: {options}?'

A plain text is for both protocols, and so is `default` where there is no `paper`. Of a list the first prompt counts of
which everything is known. Placeholders: {subject}, {options} (joined by ", "), {question}, {indication}; other braces
are text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple, get_args

from radvlm_cli.adapters.protocol import Asked, Protocols, Task
from radvlm_cli.documents import load_yaml
from radvlm_cli.errors import ConfigError

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_KNOWN = ("subject", "options", "question", "indication")


class Prompts(NamedTuple):
    """The prompts of one model."""

    where: str
    """What messages call the file."""
    texts: Mapping[tuple[str, str], tuple[str, ...]]
    """(task, protocol) -> prompts, the preferred first."""

    @property
    def tasks(self) -> frozenset[str]:
        """Tasks that there is a prompt for."""
        return frozenset(task for task, _protocol in self.texts)

    def prompt(self, asked: Asked, protocol: Protocols = "default") -> str:
        """The prompt for what is asked. ConfigError: none for that task, or none of which everything is known."""
        texts = self.texts.get((asked.task, protocol))
        if texts is None:
            raise ConfigError(f"{self.where} has no prompt for the task {asked.task}.", "radvlm eval --list")
        options = ", ".join(asked.options) or None
        known = dict(zip(_KNOWN, (asked.subject, options, asked.question, asked.indication), strict=True))
        for text in texts:
            if all(known[name] for name in _PLACEHOLDER.findall(text)):
                # In one pass: braces in a value are never taken for a placeholder.
                return _PLACEHOLDER.sub(lambda found: str(known[found[1]]), text)
        wanted = ", ".join(name for name in _PLACEHOLDER.findall(texts[-1]) if not known[name])
        raise ConfigError(f"{self.where}: the prompt for {asked.task} needs {wanted}, which is not known.")


@cache
def load_prompts(model: str) -> Prompts:
    """The prompts of prompts/<model>.yaml. ConfigError where the file does not make sense."""
    file = files(__package__).joinpath("prompts", f"{model}.yaml")
    where = f"prompts/{model}.yaml"
    return parse_prompts(load_yaml(file.read_text(encoding="utf-8"), where), where)


def prompter(model: str) -> Callable[[Asked, Protocols], str]:
    """What a card has as `prompt`: asks in the words of prompts/<model>.yaml, which is read when first needed."""
    return lambda asked, protocol: load_prompts(model).prompt(asked, protocol)


def parse_prompts(document: Any, where: str) -> Prompts:
    """Prompts from a mapping of task to prompts, checked whole. ConfigError naming the entry."""
    if not isinstance(document, Mapping):
        raise ConfigError(f"{where} is no mapping of task to prompts.")
    texts: dict[tuple[str, str], tuple[str, ...]] = {}
    for task, entry in document.items():
        _check_known(task, get_args(Task), f"{where}: task")
        by_protocol = entry if isinstance(entry, Mapping) else {"default": entry}
        for protocol in by_protocol:
            _check_known(protocol, get_args(Protocols), f"{where}, {task}: protocol")
        if "default" not in by_protocol:
            raise ConfigError(f"{where}, {task}: there is no default prompt.")
        for protocol in get_args(Protocols):
            chosen = by_protocol.get(protocol, by_protocol["default"])
            texts[task, protocol] = _alternatives(chosen, f"{where}, {task}")
    return Prompts(where, texts)


def _alternatives(chosen: Any, where: str) -> tuple[str, ...]:
    texts = tuple(chosen) if isinstance(chosen, list) else (chosen,)
    if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise ConfigError(f"{where}: a prompt is a text or a list of texts.")
    for text in texts:
        for name in _PLACEHOLDER.findall(text):
            _check_known(name, _KNOWN, f"{where}: placeholder")
    return texts


def _check_known(name: Any, known: Iterable[str], what: str) -> None:
    if name not in known:
        raise ConfigError(f"{what} {name!r} is not known; known are {', '.join(known)}.")
