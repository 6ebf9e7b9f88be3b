"""What `radvlm demo` compares in the end: every component as it was built from texts by rules, and its true number."""

from __future__ import annotations

from typing import Any

import pytest

from radvlm_cli.demo.world import Arrangement, write_world
from radvlm_cli.main import run
from radvlm_cli.recipes import load_recipe
from radvlm_cli.stages.demo import compare_with_truth

_COMPONENTS = [
    (recipe, component.name)
    for recipe, name in (("train", "radvlm"), ("test", "evaluation"))
    for component in load_recipe(name).components
]


@pytest.fixture(scope="module", params=["official", pytest.param("published", marks=pytest.mark.slow)])
def rows(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    arrangement: Arrangement = request.param
    keep = tmp_path_factory.mktemp(arrangement)
    manifest = write_world(keep / "data", seed=3, patients=6, with_generated=False, arrangement=arrangement)
    where = ["--data-dir", str(keep / "data"), "--store", str(keep / "radvlm.db")]
    assert run(["prepare", "--source", "all", *where]) == 4  # some phantom files are damaged
    assert run(["curate", "--source", "all", "--provider", "rules", *where]) == 0
    assert run(["converse", "--source", "all", "--provider", "rules", *where]) == 0
    for recipe, name in (("evaluation", "test"), ("radvlm", "train")):
        assert run(["build", "--recipe", recipe, "--output", str(keep / name), *where]) == 0
    return compare_with_truth(keep, manifest)


def test_every_component_has_its_true_number_and_is_built_so(rows: list[dict[str, Any]]) -> None:
    assert [(row["dataset"], row["component"]) for row in rows] == _COMPONENTS
    assert [(row["component"], row["built"]) for row in rows] == [(row["component"], row["true"]) for row in rows]
    assert all(row["built"] > 0 for row in rows)
