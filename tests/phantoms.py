"""The phantom worlds that tests read from: one in each arrangement, made once for all processes of a test run."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from radvlm_cli.demo.world import Arrangement, write_world
from radvlm_cli.sources import Conversion, Options
from radvlm_cli.sources.dicom import Converted, convert

SEED, PATIENTS = 5, 8


class World(NamedTuple):
    """A phantom world, which is not to be changed."""

    root: Path
    manifest: dict[str, Any]

    def case(self, source: str, name: str) -> str:
        """The item that shows an edge case."""
        return str(self.manifest["cases"][source][name])


def phantom_world(factory: pytest.TempPathFactory, arrangement: Arrangement) -> World:
    """The world of this test run; whoever comes first writes it."""
    base = factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    root = shared / f"phantoms-{arrangement}"
    with (shared / f"{root.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return World(root, write_world(root, seed=SEED, patients=PATIENTS, arrangement=arrangement))


def convert_here(jobs: list[Conversion], options: Options, _workers: int) -> Iterator[tuple[Conversion, Converted]]:
    """In place of `run_pool`: start no processes, which are tested elsewhere and take a second each."""
    for job in jobs:
        yield job, convert(job.source, job.target, size=options.size, square=options.square)
