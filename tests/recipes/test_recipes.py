"""The built-in recipes are the published tables; a mistake in a user's own is named with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from radvlm_cli.errors import ConfigError
from radvlm_cli.recipes import BUILT_IN, SOURCES_OF_TASK, Component, load_recipe, parse_recipe
from radvlm_cli.sources import SOURCES
from radvlm_cli.stages.datasets import pairs
from radvlm_cli.store import components

PUBLISHED = [
    ("mimic-report", 230_980, 1),
    ("chexpert-plus-report", 186_463, 1),
    ("mimic-classification", 237_912, 1),
    ("chexpert-classification", 191_027, 1),
    ("imagenome-region", 80_000, 1),
    ("vindr-abnormality", 16_089, 3),
    ("vindr-detection", 15_000, 2),
    ("mscxr-phrase", 971, 3),
    ("padchest-gr-phrase", 4_478, 2),
    ("mimic-conversation", 86_155, 1),
    ("mscxr-conversation", 862, 4),
    ("padchest-gr-conversation", 2_225, 4),
]
SMALL = """\
name: mine
seed: 3
components:
  - name: a
    task: report
    source: openi
    split: all
"""


def test_the_default_recipe_is_the_published_table_in_its_order() -> None:
    recipe = load_recipe("radvlm")
    assert [(c.name, c.expected, c.repeat) for c in recipe.components] == PUBLISHED
    assert sum(c.repeat * (c.expected or 0) for c in recipe.components) == 1_115_021


def test_the_default_recipe_trains_on_no_test_split() -> None:
    both = {"mscxr-phrase", "padchest-gr-phrase", "padchest-gr-conversation"}
    for component in load_recipe("radvlm").components:
        assert component.split == (("train", "validation") if component.name in both else ("train",))


def test_the_evaluation_recipe_has_the_published_sizes_and_only_test_splits() -> None:
    recipe = load_recipe("evaluation")
    assert recipe.name == "test"
    assert {c.split for c in recipe.components} == {("test",)}
    assert {c.name: c.expected for c in recipe.components if c.expected} == {
        "mimic-report-test": 3_314,
        "chexpert-classification-test": 518,
        "imagenome-region-test": 2_000,
        "vindr-abnormality-test": 2_108,
        "mscxr-phrase-test": 189,
        "mimic-conversation-test": 500,
        "mscxr-conversation-test": 155,
    }


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_limit_of_a_built_in_recipe_is_the_expected_number(name: str) -> None:
    assert all(c.limit in (None, c.expected) for c in load_recipe(name).components)


def test_recipes_store_and_build_know_the_same_tasks() -> None:
    assert set(SOURCES_OF_TASK) == set(pairs._MAKERS) == set(components._TASKS)


def test_the_sources_of_tasks_are_sources() -> None:
    assert {source for sources in SOURCES_OF_TASK.values() for source in sources} <= set(SOURCES)


def test_a_recipe_of_ones_own_is_read_from_a_file_with_defaults(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(SMALL)
    recipe = load_recipe(str(path))
    assert (recipe.name, recipe.description, recipe.seed) == ("mine", "", 3)
    assert recipe.components == (Component("a", "report", "openi", ("all",)),)


def test_a_split_named_twice_counts_once() -> None:
    assert parse_recipe(SMALL.replace("all", "[train, test, train]"), "r").components[0].split == ("train", "test")


COMPONENT = SMALL.split("components:\n")[1]
MISTAKES = {
    "not YAML": ("name: [", r"r is not valid YAML at line 1, column \d+"),
    "a tab": ("name: a\n\tseed: 1", r"r is not valid YAML at line 2"),
    "a date that is none": (SMALL.replace("name: mine", "name: 2024-13-45"), "r is not valid YAML"),
    "nested without end": ("[" * 5_000, "r is not valid YAML"),
    "a key twice": (SMALL + "    split: test\n", "r is not valid YAML at line 8, column 5: 'split' is given twice"),
    "empty": ("", "r must be a mapping"),
    "a list": ("- a", "r must be a mapping"),
    "unknown key": (SMALL.replace("seed", "sed"), "r: key 'sed' is not known; there are name, description, seed"),
    "a number for a key": (SMALL + "1: 2\n", "r: key 1 is not known"),
    "no components": ("name: a\nseed: 1\n", "r: `components` must be a list with at least one entry"),
    "empty components": ("name: a\ncomponents: []\n", "r: `components` must be a list with at least one entry"),
    "components no list": ("name: a\ncomponents: {a: 1}\n", "r: `components` must be a list"),
    "component no mapping": ("name: a\ncomponents: [b]\n", "r, component 1 must be a mapping"),
    "two of a name": (SMALL + COMPONENT, "r: two components are called 'a'"),
    "no name": (SMALL.replace("name: mine\n", ""), "r: `name` must be letters"),
    "a path for a name": (SMALL.replace("mine", "../mine"), "r: `name` must be letters"),
    "a number for a name": (SMALL.replace("name: a", "name: 7"), "r, component 1: `name` must be letters"),
    "negative seed": (SMALL.replace("seed: 3", "seed: -3"), "r: seed must be a whole number from 0 on"),
    "seed in words": (SMALL.replace("seed: 3", "seed: three"), "r: seed must be a whole number"),
    "unknown component key": (SMALL + "    repeats: 2\n", "r, component 1: key 'repeats' is not known"),
    "unknown task": (SMALL.replace("task: report", "task: repor"), r"component 1 \(a\): task 'repor' is not known"),
    "no task": (SMALL.replace("    task: report\n", ""), r"\(a\): task None is not known; there are report, "),
    "a list of tasks": (SMALL.replace("task: report", "task: [report]"), r"\(a\): task \['report'\] is not known"),
    "unknown source": (SMALL.replace("openi", "mimicc"), r"\(a\): source of task report 'mimicc' is not known"),
    "a source without the task": (SMALL.replace("openi", "vindr"), "'vindr' is not known; there are mimic, chexpert-p"),
    "unknown split": (SMALL.replace("all", "valid"), r"\(a\): split 'valid' is not known; there are train, validation"),
    "no split": (SMALL.replace("    split: all\n", ""), r"\(a\): `split` must be one or more of train"),
    "no split in the list": (SMALL.replace("all", "[]"), r"\(a\): `split` must be one or more of train"),
    "repeat 0": (SMALL + "    repeat: 0\n", r"\(a\): repeat must be a whole number from 1 on; it is 0"),
    "repeat yes": (SMALL + "    repeat: yes\n", r"\(a\): repeat must be a whole number from 1 on; it is True"),
    "half a limit": (SMALL + "    limit: 1.5\n", r"\(a\): limit must be a whole number from 1 on"),
    "expected below 0": (SMALL + "    expected: -1\n", r"\(a\): expected must be a whole number from 0 on"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_its_place(mistake: str) -> None:
    text, complaint = MISTAKES[mistake]
    with pytest.raises(ConfigError, match=complaint):
        parse_recipe(text, "r")


@pytest.mark.parametrize(
    ("wrong", "right"), [("task: repor", "report"), ("split: trian", "train"), ("source: open-i", "openi")]
)
def test_a_slip_of_the_pen_is_answered_with_what_was_meant(wrong: str, right: str) -> None:
    key = wrong.split(":")[0]
    text = "\n".join(f"    {wrong}" if line.strip().startswith(key) else line for line in SMALL.splitlines())
    with pytest.raises(ConfigError) as caught:
        parse_recipe(text, "r")
    assert caught.value.hint == f"did you mean {right!r}?"


def test_a_recipe_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"The recipe radvml does not exist") as caught:
        load_recipe("radvml")
    assert caught.value.hint == "--recipe radvlm or --recipe evaluation, or a YAML file"
    with pytest.raises(ConfigError, match="is a folder"):
        load_recipe(str(tmp_path))


def test_a_recipe_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_recipe(str(path))
