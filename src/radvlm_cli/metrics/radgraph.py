"""RadGraph F1: do two reports name the same findings and anatomy, related in the same way?

The graphs come from elsewhere (radgraph_annotations): the model's package does not run beside current transformers.
Here are the published rewards of two graphs, and the entity and relation F1 that RadCliQ is made of.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from hashlib import sha256
from typing import Literal, NamedTuple

import numpy as np

from radvlm_cli.metrics.family import Need, Table
from radvlm_cli.metrics.ratios import ratio

Compat = Literal["", "0.1.18"]
"""`0.1.18` counts as that release of the package does: case matters, save in the complete reward's related entities."""


class Entity(NamedTuple):
    """A span of a report."""

    tokens: str
    label: str
    """E.g. `OBS-DP` (observed, definitely present) or `Observation::definitely absent`."""
    relations: tuple[tuple[str, int], ...]
    """Kind, and place in the graph of the entity that it leads to."""


Graph = tuple[Entity, ...]


class Rewards(NamedTuple):
    """F1 of two graphs, 0-1."""

    simple: float
    """Of entities (tokens, label)."""
    partial: float
    """The same, where having a relation or none is part of an entity."""
    complete: float
    """Of relations with both ends' tokens; an entity without one counts as it is."""
    entity: float
    relation: float
    """Both ends with their labels, 0 where either graph has none."""

    @property
    def combined(self) -> float:
        """What RadCliQ takes."""
        return (self.entity + self.relation) / 2


NOTHING = Rewards(0.0, 0.0, 0.0, 0.0, 0.0)


def text_key(text: str) -> str:
    """What a text's graph is kept under: SHA-256 (hex) of its UTF-8, character for character."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def rewards(candidate: Graph, reference: Graph, compat: Compat = "") -> Rewards:
    """The rewards of a candidate's graph; a graph without entities, on either side, is worth 0."""
    if not candidate or not reference:
        return NOTHING
    plain = str if compat else str.lower
    related = str.lower

    def f1(facts: Callable[[Graph], set[Hashable]]) -> float:
        return _f1(facts(candidate), facts(reference))

    return Rewards(
        simple=f1(lambda graph: {(plain(e.tokens), e.label) for e in graph}),
        partial=f1(lambda graph: {(plain(e.tokens), e.label, bool(e.relations)) for e in graph}),
        complete=f1(lambda graph: _complete(graph, plain, related)),
        entity=f1(lambda graph: {(plain(e.tokens), e.label) for e in graph}),
        relation=f1(lambda graph: _relations(graph, plain)),
    )


class RadGraph:
    """Mean rewards over reports. See metrics.family.Family.

    An empty prediction is worth 0; a text without a graph is not scored, and lowers `radgraph_coverage`.
    """

    name = "radgraph"
    version = 1
    columns = (*Rewards._fields, "scored", "samples")

    def __init__(self, graphs: Mapping[str, Graph] | None = None, compat: Compat = "") -> None:
        self._graphs = graphs
        """By text_key."""
        self._compat: Compat = compat

    def missing(self) -> tuple[Need, ...]:
        """Graphs, where none were given."""
        if self._graphs is not None:
            return ()
        return (
            Need(
                "graphs of the reports (the radgraph package runs in an environment of its own: transformers < 5)",
                "--radgraph-python /path/to/that/environment/bin/python, or --radgraph-annotations FILE.json",
            ),
        )

    def per_sample(self, predictions: Sequence[str], references: Sequence[str]) -> Table:
        """Shape (samples, 7): the rewards, whether both graphs are there, 1."""
        table = np.zeros((len(predictions), len(self.columns)))
        table[:, -1] = 1
        for row, (prediction, reference) in enumerate(zip(predictions, references, strict=True)):
            found = self._rewards(prediction, reference)
            if found is not None:
                table[row, :-1] = (*found, 1)
        return table

    def _rewards(self, prediction: str, reference: str) -> Rewards | None:
        if not prediction.strip() or not reference.strip():
            return NOTHING
        graphs = self._graphs or {}
        candidate, truth = graphs.get(text_key(prediction)), graphs.get(text_key(reference))
        if candidate is None or truth is None:
            return None
        return rewards(candidate, truth, self._compat)

    def values(self, sums: Table) -> dict[str, Table]:
        """Means over the reports that are scored."""
        *totals, scored, samples = np.moveaxis(sums, -1, 0)
        means = {f"radgraph_{name}": ratio(total, scored) for name, total in zip(Rewards._fields, totals, strict=True)}
        combined = (means["radgraph_entity"] + means["radgraph_relation"]) / 2
        return means | {"radgraph_combined": combined, "radgraph_coverage": ratio(scored, samples)}


def _complete(graph: Graph, plain: Callable[[str], str], related: Callable[[str], str]) -> set[Hashable]:
    facts: set[Hashable] = set()
    for entity in graph:
        if not entity.relations:
            facts.add((plain(entity.tokens), entity.label))
        for kind, target in entity.relations:
            facts.add((related(entity.tokens), entity.label, kind, related(graph[target].tokens)))
    return facts


def _relations(graph: Graph, plain: Callable[[str], str]) -> set[Hashable]:
    return {
        (plain(e.tokens), e.label, kind, plain(graph[target].tokens), graph[target].label)
        for e in graph
        for kind, target in e.relations
    }


def _f1(candidate: set[Hashable], reference: set[Hashable]) -> float:
    """Of two sets; 0 where either is empty."""
    return 2 * len(candidate & reference) / (len(candidate) + len(reference)) if candidate and reference else 0.0
