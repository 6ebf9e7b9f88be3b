"""The checklist: items of reporting guidelines, beside what the store knows of each."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from radvlm_cli.documents import load_yaml
from radvlm_cli.reporting.markdown import escape

TO_COMPLETE = "author to complete"


class Item(NamedTuple):
    """What a guideline asks for."""

    number: str
    what: str
    fact: str | None
    """Name of what the store can say of it."""


class Guideline(NamedTuple):
    """A guideline with its items in order."""

    name: str
    items: tuple[Item, ...]


@cache
def guidelines() -> tuple[Guideline, ...]:
    """The guidelines of checklist.yaml."""
    text = files("radvlm_cli.reporting").joinpath("checklist.yaml").read_text(encoding="utf-8")
    return tuple(
        Guideline(
            each["guideline"],
            tuple(Item(str(item["number"]), item["what"], item.get("fact")) for item in each["items"]),
        )
        for each in load_yaml(text, "checklist.yaml")
    )


def write_checklist(facts: Mapping[str, str], made: str) -> str:
    """Markdown with a table for each guideline; `facts` by name, those that are not known left out."""
    lines = [
        "# Checklist for the paper",
        "",
        escape(made),
        "",
        "Items in our own words, numbered as in the guidelines as far as we know: hold them against the official forms "
        f"before you submit. What the store knows is filled in; *{TO_COMPLETE}* marks what it cannot know.",
        "",
    ]
    for guideline in guidelines():
        known = sum(item.fact in facts for item in guideline.items)
        lines += [
            f"## {guideline.name}",
            "",
            f"{known} of {len(guideline.items)} items filled from the store.",
            "",
            "| item | what is asked | here |",
            "|---|---|---|",
        ]
        for item in guideline.items:
            said = facts.get(item.fact or "")
            here = f"*{TO_COMPLETE}*" if said is None else escape(said)
            lines.append(f"| {item.number} | {escape(item.what)} | {here} |")
        lines.append("")
    return "\n".join(lines)
