"""What `radvlm demo` compares: every component as it was built with its true number, the scores of two models."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from radvlm_cli.demo.world import Arrangement, write_world
from radvlm_cli.main import run
from radvlm_cli.recipes import load_recipe, parse_recipe
from radvlm_cli.stages import conversions
from radvlm_cli.stages.demo import RECIPE, compare_models, compare_with_truth
from tests.phantoms import convert_here
from tests.stages.evaluation.evaluating import make_bench, run_eval, script

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
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conversions, "run_pool", convert_here)
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


def test_the_scores_of_two_models_stand_side_by_side(tmp_path: Path) -> None:
    bench = make_bench(tmp_path / "bench", 2)
    run_eval(bench, model="scripted", task=["report"], processes=1)
    answers = {f"reports-i{number}": [f"Report number {number}."] for number in range(2)}
    run_eval(bench, model=script(bench, answers=answers), task=["report"], processes=1)
    compared = {row["metric"]: row for row in compare_models(bench.folder)}
    assert compared["ROUGE-L"] == {
        "test set": "reports",
        "metric": "ROUGE-L",
        "n": 2,
        "scripted": "0.00 [0.00, 0.00]",
        "trained": "1.00 [1.00, 1.00]",
    }
    assert "GREEN" not in compared, "what has no value is left out"


def test_the_recipe_of_the_demo_is_the_published_one_without_dialogues() -> None:
    short = parse_recipe(files("radvlm_cli.demo").joinpath(RECIPE).read_text(encoding="utf-8"), RECIPE)
    published = [each for each in load_recipe("radvlm").components if "conversation" not in each.task]
    assert [(each.name, each.task, each.source, each.split) for each in short.components] == [
        (each.name, each.task, each.source, each.split) for each in published
    ]
