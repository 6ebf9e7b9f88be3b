"""Published figures, from published.yaml, each with its source and what keeps it from being compared with ours."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from radvlm_cli.documents import load_yaml


class Figure(NamedTuple):
    """One published value."""

    model: str
    """As the publication calls it."""
    ours: tuple[str, ...]
    """Names of ours for the same weights."""
    task: str
    test_sets: tuple[str, ...]
    """Our test sets that it may be shown beside."""
    samples: int | None
    """Of the published test set; None: not stated."""
    metric: str
    """Our name of it."""
    value: float
    """On our scale."""
    differs: tuple[str, ...]
    """What is known to differ from how we measure."""
    unsure: str | None
    """What the publication leaves open of this metric."""
    source: str

    def is_of(self, model: str) -> bool:
        """Whether `model`, as a user of ours names it, is the one that was published: `maira2`, `chat:HF_ID`."""
        name = model.casefold()
        return name in self.ours or name.partition(":")[0] in self.ours


@cache
def figures() -> tuple[Figure, ...]:
    """All figures in the order of the file."""
    text = files("radvlm_cli.reporting").joinpath("published.yaml").read_text(encoding="utf-8")
    return tuple(figure for table in load_yaml(text, "published.yaml") for figure in _table(table))


def _table(table: dict[str, Any]) -> Iterator[Figure]:
    ours = {name: tuple(given) for name, given in table.get("ours", {}).items()}
    for model, values in table["models"].items():
        numbers = re.split(r"\s+", str(values).strip())
        for column, number in zip(table["columns"], numbers, strict=True):
            yield Figure(
                model=model,
                ours=ours.get(model, ()),
                task=column.get("task") or table["task"],
                test_sets=tuple(column.get("test_sets") or table["test_sets"]),
                samples=column.get("samples", table.get("samples")),
                metric=column["metric"],
                value=round(float(number) / column.get("scale", 1), 6),
                differs=(*table.get("differs", ()), *column.get("differs", ())),
                unsure=column.get("unsure"),
                source=table["source"],
            )
