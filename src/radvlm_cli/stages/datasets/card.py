"""The dataset card: what is in the dataset, from where, under which licences, and how to make it again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from radvlm_cli import __version__
from radvlm_cli.files import atomic_write
from radvlm_cli.recipes import Component, Recipe
from radvlm_cli.sources import SOURCES


class Line(NamedTuple):
    """One component of a built dataset, expected beside found."""

    component: Component
    found: int
    """Records in the store that qualify."""
    unusable: int
    """Of these, how many have a missing or unreadable image."""
    leaked: int
    """Of the usable, how many share a patient, study or image with an evaluation set."""
    removed: int
    """Of these, how many were left out."""
    pairs: int
    """Pairs written: records used x repeat."""
    remark: str
    """Why found is what it is, where the store knows."""

    def row(self) -> dict[str, Any]:
        """The line as a flat record, for tables and JSON."""
        component = self.component
        return {
            "component": component.name,
            "task": component.task,
            "source": component.source,
            "expected": component.expected,
            "found": self.found,
            "used": self.pairs // component.repeat,
            "repeat": component.repeat,
            "pairs": self.pairs,
            "leaked": self.leaked,
            "remark": self.remark,
        }


def write_card(path: Path, recipe: Recipe, options: Any, lines: Sequence[Line], hashes: dict[str, str]) -> Path:
    """Write the card as Markdown; it holds no time and no path, so the same build gives the same card."""
    with atomic_write(path) as stream:
        stream.write("\n".join(_card(recipe, options, lines, hashes)) + "\n")
    return path


def _card(recipe: Recipe, options: Any, lines: Sequence[Line], hashes: dict[str, str]) -> list[str]:
    pairs = sum(line.pairs for line in lines)
    expected = sum((line.component.expected or 0) * line.component.repeat for line in lines)
    text = [
        f"# Dataset `{recipe.name}`",
        "",
        recipe.description.strip(),
        "",
        f"{pairs:,} image-instruction pairs; the published dataset has {expected:,} in these components.",
        "",
        "| component | task | source | expected records | found | used | repeat | pairs | remark |",
        "|---|---|---|--:|--:|--:|--:|--:|---|",
    ]
    for line in lines:
        row = line.row()
        published = "" if row["expected"] is None else f"{row['expected']:,}"
        text.append(
            f"| {row['component']} | {row['task']} | {row['source']} | {published} | {row['found']:,} | "
            f"{row['used']:,} | {row['repeat']} | {row['pairs']:,} | {row['remark']} |"
        )
    text += ["", "## How it was made", ""]
    text += [f"- radvlm {__version__}, seed {options.seed}, protocol `{options.protocol}`"]
    text += [f"- uncertain findings count as: {options.uncertain}"]
    text += [f"- leakage check: {options.leakage}; {sum(line.leaked for line in lines):,} records found"]
    if options.protocol == "paper":
        text += ["- **Protocol `paper`: chosen as the published code does, leaks into the evaluation sets included.**"]
    text += ["", "## Licences", "", "The data keep the licences of their sources:", ""]
    text += [f"- {info.title}: {info.licence} ({info.obtain})" for info in _infos(lines)]
    text += ["", "## Files", "", "| file | SHA-256 |", "|---|---|"]
    text += [f"| {name} | `{digest}` |" for name, digest in hashes.items()]
    text += ["", "For research use only; not for clinical use."]
    return text


def _infos(lines: Sequence[Line]) -> list[Any]:
    used = {line.component.source for line in lines if line.pairs}
    used |= {needed for name in used for needed in SOURCES[name]().info.needs}
    return [SOURCES[name]().info for name in SOURCES if name in used]
