"""Which evaluations are held against each other, and on which samples."""

from __future__ import annotations

import json
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from radvlm_cli.errors import ConfigError
from radvlm_cli.metrics.statistics import Clusters, clusters
from radvlm_cli.stages.reports.selection import Evaluated, Wanted, select
from radvlm_cli.store.clusters import cluster_of
from radvlm_cli.store.snapshot import Snapshot


class Pair(NamedTuple):
    """Two evaluations on the samples that both have."""

    first: Evaluated
    second: Evaluated
    places: tuple[NDArray[np.intp], NDArray[np.intp]]
    """Positions of the common samples in the test set of each, in the same order."""
    of: Clusters
    """Patients of the common samples."""
    remark: str | None


def pairs_of(store: Snapshot, first: str, second: str, wanted: Wanted) -> list[Pair]:
    """The evaluations of the two models (names, or numbers of evaluations) by test set, on their common samples."""
    sides = [select(store, wanted._replace(models=(name,))).evaluations for name in (first, second)]
    found = []
    for one in sides[0]:
        same = [other for other in sides[1] if other.test_set.id == one.test_set.id and other.id != one.id]
        named = [other for other in sides[1] if other.test_set.name == one.test_set.name and other.id != one.id]
        for other in (same or named)[-1:]:
            pair = pair_of(store, one, other)
            if pair is not None:
                found.append(pair)
    if not found:
        raise ConfigError(f"{first} and {second} were not asked the same samples.", "radvlm report eval")
    return found


def pair_of(store: Snapshot, first: Evaluated, second: Evaluated) -> Pair | None:
    """Match samples by their id; in two test sets also by what is asked and what is right."""
    sql = (
        "SELECT a.position, b.position, a.patient_id, a.study_id, a.image_id, a.sample_id FROM test_sample a "
        "JOIN test_sample b ON b.test_set_id = ? AND b.{} WHERE a.test_set_id = ? ORDER BY a.position"
    )
    ids, remark = (second.test_set.id, first.test_set.id), None
    if first.test_set.id == second.test_set.id:
        rows = list(store.rows(sql.format("position = a.position"), ids))
    else:
        there = {
            (sample, turns, reference): position
            for position, sample, turns, reference in store.rows(
                "SELECT position, sample_id, turns, reference FROM test_sample WHERE test_set_id = ?", ids[:1]
            )
        }
        rows = [
            (position, there[sample, turns, reference], *whose, sample)
            for position, *whose, sample, turns, reference in store.rows(
                "SELECT position, patient_id, study_id, image_id, sample_id, turns, reference FROM test_sample "
                "WHERE test_set_id = ? ORDER BY position",
                ids[1:],
            )
            if (sample, turns, reference) in there
        ]
        remark = (
            f"two test sets of that name: {len(rows):,} samples in common, of {first.test_set.samples:,} and "
            f"{second.test_set.samples:,}"
        )
    if not rows:
        return None
    keys = [cluster_of(*whose) for _a, _b, *whose in rows]
    places = np.array([row[0] for row in rows], dtype=np.intp), np.array([row[1] for row in rows], dtype=np.intp)
    return Pair(first, second, places, clusters(keys), remark)


def conditions_apart(store: Snapshot, pair: Pair) -> str:
    """What of the two identities differs besides the model and its weights."""
    identities = [
        json.loads(store.value("SELECT identity FROM evaluation WHERE id = ?", (one.id,)))
        for one in (pair.first, pair.second)
    ]
    own = {"model", "weights", "test_set", "adapter", "prompts", "prompt"}
    names = sorted({*identities[0], *identities[1]} - own)
    return ", ".join(name for name in names if identities[0].get(name) != identities[1].get(name))
