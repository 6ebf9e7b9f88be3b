"""The file of published figures fits our metrics, test sets and models."""

from __future__ import annotations

from radvlm_cli.adapters import card
from radvlm_cli.metrics.registry import MetricOptions, families
from radvlm_cli.recipes import load_recipe
from radvlm_cli.reporting.figures import figures
from radvlm_cli.stages.evaluation.test_sets import TASK_OF


def _metrics(task: str) -> set[str]:
    import numpy as np

    found: set[str] = set()
    for listed in families(task, MetricOptions()):
        found |= listed.family.values(np.ones(len(listed.family.columns))).keys()
    return found


def test_every_figure_is_of_a_metric_that_its_task_has() -> None:
    known = {task: _metrics(task) for task in {figure.task for figure in figures()}}
    assert [figure for figure in figures() if figure.metric not in known[figure.task]] == []


def test_every_figure_is_of_a_test_set_of_the_recipe_and_of_its_published_size() -> None:
    components = {component.name: component for component in load_recipe("evaluation").components}
    for figure in figures():
        for name in figure.test_sets:
            assert TASK_OF[components[name].task] == figure.task
            assert figure.samples in (None, components[name].expected)


def test_shares_are_on_our_scale() -> None:
    assert all(0 < figure.value < 1 for figure in figures() if figure.metric != "radcliq_v1")
    assert {figure.value for figure in figures() if figure.metric == "radcliq_v1" and figure.model == "MAIRA-2"} == {
        1.42
    }


def test_our_names_of_published_models_are_models_that_eval_knows() -> None:
    for name in {name for figure in figures() for name in figure.ours}:
        assert card(name)


def test_a_figure_is_of_a_model_by_name_whatever_its_weights_lie_in() -> None:
    (figure,) = (each for each in figures() if each.model == "RadVLM-7B")
    assert figure.is_of("radvlm:models/mine")
    assert figure.is_of("radvlm")
    assert not figure.is_of("radvlm-other")
    qwen = next(each for each in figures() if each.model == "Qwen3-VL")
    assert qwen.is_of("chat:Qwen/Qwen3-VL-8B-Instruct")
    assert not qwen.is_of("chat:Qwen/Qwen2.5-VL-7B-Instruct")
