"""Time the bootstrap and the permutation test, weights drawn included.

    python benchmarks/bootstrap.py

Peak memory is that of the Python objects and arrays (tracemalloc), above what the table itself takes.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable

import numpy as np

from radvlm_cli.labels import ABNORMALITIES
from radvlm_cli.metrics.average_precision import CocoAveragePrecision, Scored
from radvlm_cli.metrics.family import Table
from radvlm_cli.metrics.labels import LabelScores
from radvlm_cli.metrics.significance import permutation_test
from radvlm_cli.metrics.statistics import (
    Clusters,
    bootstrap,
    bootstrap_difference,
    bootstrap_weighted,
)


def main() -> None:
    """Print seconds and megabytes of each case."""
    family = LabelScores()
    print(f"{len(family.columns)} columns, {len(family.values(np.zeros(len(family.columns))))} values, B = 2,000")
    for patients, images in ((293, 3314), (3000, 3000), (25_000, 25_000)):
        table, of = labels(family, patients, images, seed=0)
        other, _ = labels(family, patients, images, seed=1)
        name = f"{patients:,} patients, {images:,} images"
        measure(f"bootstrap            {name}", lambda t=table, o=of: bootstrap(t, o, family.values))
        measure(
            f"paired difference    {name}",
            lambda t=table, u=other, o=of: bootstrap_difference(t, u, o, family.values),
        )
        measure(f"permutation, 10,000  {name}", lambda t=table, u=other, o=of: permutation_test(t, u, o, family.values))
    measure("COCO AP, 2,108 images, 3 boxes each", lambda: bootstrap_weighted(boxes(2108).values, 2108))


def labels(family: LabelScores, patients: int, images: int, seed: int) -> tuple[Table, Clusters]:
    """Random labels, 15% present, answers right in nine of ten."""
    rng = np.random.default_rng(seed)
    true = rng.random((images, 13)) < 0.15
    said = true ^ (rng.random(true.shape) < 0.1)
    as_labels = [[dict(zip(ABNORMALITIES, map(int, row), strict=True)) for row in table] for table in (said, true)]
    of = np.arange(images) % patients
    return family.per_sample(*as_labels), Clusters(of, patients)


def boxes(images: int) -> CocoAveragePrecision:
    """One label, one true box per image, three predicted."""
    rng = np.random.default_rng(0)
    low = rng.random((images, 2)) * 0.6
    true = np.concatenate([low, low + 0.3], axis=1)
    said = true[:, None, :] + rng.normal(0, 0.05, (images, 3, 4))
    predictions = [{"box": Scored(list(row), list(rng.random(3)))} for row in said.tolist()]
    return CocoAveragePrecision(predictions, [{"box": [row]} for row in true.tolist()])


def measure(name: str, run: Callable[[], object]) -> None:
    """Run twice: once for the time, once for the memory."""
    start, cpu = time.perf_counter(), time.process_time()
    run()
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    tracemalloc.start()
    run()
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    print(f"{name:60} {seconds:7.2f} s  {cpu:7.2f} s CPU  {peak:6.0f} MB")


if __name__ == "__main__":
    main()
