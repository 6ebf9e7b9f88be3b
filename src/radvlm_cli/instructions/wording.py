"""The wording of questions and answers: text files with one variant a line, checked when they are loaded.

A file has sections in brackets; lines that begin with # are comments. Placeholders in braces are filled in.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

from radvlm_cli.errors import ConfigError

_PLACEHOLDER = re.compile(r"\{(\w*)\}")
_SECTION = re.compile(r"\[([a-z ]+)\]")

Template = tuple[str, ...]
"""A variant cut at its placeholders, the literal parts at even places: joining is faster than formatting."""


@cache
def variants(task: str, section: str, *placeholders: str) -> tuple[Template, ...]:
    """The variants of a section of wording/<task>.txt, each with exactly these placeholders.

    Raises ConfigError naming file and line where one has others, or where the section is empty.
    """
    return check_variants(_sections(task).get(section, []), task, section, placeholders)


def fill(template: Template, **values: str) -> str:
    """Put values in place of a template's placeholders."""
    if not values:
        return template[0]
    parts = list(template)
    parts[1::2] = [values[name] for name in template[1::2]]
    return "".join(parts)


def choose(among: tuple[Template, ...], number: int) -> Template:
    """The variant that a keyed number stands for."""
    return among[number % len(among)]


def check_variants(
    lines: list[tuple[int, str]], task: str, section: str, placeholders: tuple[str, ...]
) -> tuple[Template, ...]:
    """Cut the lines of a section at their placeholders; ConfigError as `variants` has it."""
    found = []
    for line, text in lines:
        template = tuple(_PLACEHOLDER.split(text))
        stray_brace = any("{" in part or "}" in part for part in template[::2])
        if stray_brace or sorted(template[1::2]) != sorted(placeholders):
            wanted = " and ".join(f"{{{name}}}" for name in placeholders) or "no placeholder"
            raise ConfigError(f"wording/{task}.txt, line {line}: a variant of [{section}] needs {wanted}, each once.")
        found.append(template)
    if not found:
        raise ConfigError(f"wording/{task}.txt: section [{section}] is empty.")
    return tuple(found)


@cache
def _sections(task: str) -> dict[str, list[tuple[int, str]]]:
    return parse_sections(files(__package__).joinpath("wording", f"{task}.txt").read_text(encoding="utf-8"), task)


def parse_sections(text: str, task: str) -> dict[str, list[tuple[int, str]]]:
    """Section -> (line number, variant).

    ConfigError for a variant before the first section or written twice, and for a heading that is none.
    """
    sections: dict[str, list[tuple[int, str]]] = {}
    current: list[tuple[int, str]] | None = None
    for number, line in enumerate(map(str.strip, text.splitlines()), 1):
        if not line or line.startswith("#"):
            continue
        heading = _SECTION.fullmatch(line)
        if heading:
            current = sections.setdefault(heading[1], [])
        elif line.startswith("["):
            raise ConfigError(f"wording/{task}.txt, line {number}: a heading is [lower case words], alone on its line.")
        elif current is None:
            raise ConfigError(f"wording/{task}.txt, line {number}: a variant stands before the first [section].")
        elif any(line == other for _number, other in current):
            raise ConfigError(f"wording/{task}.txt, line {number}: this variant is there already.")
        else:
            current.append((number, line))
    return sections
