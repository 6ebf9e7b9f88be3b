"""Options, recipes and settings that make no sense: what is wrong and what to do, before anything is written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.bad_input.conftest import Begin
from tests.bad_input.damage import half, raw
from tests.bad_input.trial import said
from tests.stores import empty_store

COMPONENT = "{name: a, task: classification, source: chexpert, split: train}"
RECIPES: dict[str, tuple[str | bytes, str]] = {
    "no YAML": ("components: [", "is not valid YAML at line"),
    "bytes": (b"\xff\xfe\x00", "cannot be read"),
    "empty": ("", "must be a mapping"),
    "a list": ("[1, 2]", "must be a mapping"),
    "too deep": ("[" * 5000 + "]" * 5000, "is not valid YAML"),
    "a key twice": (f"name: x\nname: y\ncomponents: [{COMPONENT}]", "'name' is given twice"),
    "no components": ("name: x\ncomponents: []", "at least one entry"),
    "an unknown task": ("name: x\ncomponents: [{name: a, task: clasification, source: mimic, split: train}]", "task"),
    "an unknown source": ("name: x\ncomponents: [{name: a, task: report, source: mimik, split: train}]", "source"),
    "an unknown split": ("name: x\ncomponents: [{name: a, task: report, source: mimic, split: trian}]", "split"),
    "an unknown key": (f"name: x\nrepeats: 3\ncomponents: [{COMPONENT}]", "repeats"),
    "a negative limit": (f"name: x\ncomponents: [{COMPONENT[:-1]}, limit: -1}}]", "limit"),
    "no repetition": (f"name: x\ncomponents: [{COMPONENT[:-1]}, repeat: 0}}]", "repeat"),
    "a name that is a path": (f"name: ../../x\ncomponents: [{COMPONENT}]", "must be letters"),
    "two components of a name": (f"name: x\ncomponents: [{COMPONENT}, {COMPONENT}]", "two components are called"),
}

SETTINGS: dict[str, tuple[str | bytes, str]] = {
    "no TOML": ("data_dir = ", "is not valid TOML"),
    "bytes": (b"\xff\xfe", "is not valid TOML"),
    "an unknown setting": ("datadir = '/x'", "unknown setting 'datadir'"),
    "a number": ("data_dir = 5", "does not exist"),
}

WRONG_USE = {
    "an unknown option": ("prepare", "--source", "chexpert", "--sise", "512"),
    "a size of 0": ("prepare", "--source", "chexpert", "--size", "0"),
    "a negative size": ("prepare", "--source", "chexpert", "--size", "-512"),
    "a size in words": ("prepare", "--source", "chexpert", "--size", "large"),
    "no workers": ("prepare", "--source", "chexpert", "--workers", "0"),
    "no source": ("prepare",),
    "no output": ("build",),
    "an unknown format": ("build", "--output", "x", "--format", "csv"),
    "an unknown policy": ("build", "--output", "x", "--uncertain", "maybe"),
    "an unknown command": ("prepair",),
}


def _write(path: Path, content: str | bytes) -> None:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.mark.parametrize(("content", "message"), RECIPES.values(), ids=RECIPES)
def test_a_bad_recipe_is_one_clear_error(begin: Begin, tmp_path: Path, content: str | bytes, message: str) -> None:
    trial, _ = begin("chexpert")
    trial.prepare("chexpert")
    _write(tmp_path / "recipe.yaml", content)
    ended = trial.build("--recipe", str(tmp_path / "recipe.yaml"))
    assert re.search(message, said(ended)), ended.err
    assert not (trial.home / "train").exists()


@pytest.mark.parametrize(("name", "message"), [("nowhere.yaml", "does not exist"), ("folder", "is a folder")])
def test_a_recipe_that_is_no_file_is_one_clear_error(begin: Begin, tmp_path: Path, name: str, message: str) -> None:
    trial, _ = begin("chexpert")
    (tmp_path / "folder").mkdir()
    assert message in said(trial.build("--recipe", str(tmp_path / name)))


@pytest.mark.parametrize(("content", "message"), SETTINGS.values(), ids=SETTINGS)
def test_a_bad_settings_file_is_one_clear_error(begin: Begin, content: str | bytes, message: str) -> None:
    trial, _ = begin("chexpert")
    _write(Path("radvlm.toml"), content)
    assert message in said(trial.run("db", "status"))


@pytest.mark.parametrize("words", WRONG_USE.values(), ids=WRONG_USE)
def test_wrong_use_ends_with_code_2_and_touches_nothing(begin: Begin, words: tuple[str, ...]) -> None:
    trial, _ = begin("chexpert")
    before = sorted(trial.home.rglob("*"))
    assert trial.run(*words).code == 2
    assert sorted(trial.home.rglob("*")) == before


def test_an_unknown_source_names_the_one_that_was_meant(begin: Begin) -> None:
    trial, _ = begin("chexpert")
    ended = trial.prepare("chexprt")
    assert "Unknown source 'chexprt'" in said(ended)
    assert "radvlm prepare --source chexpert" in ended.err


def test_a_data_folder_that_is_not_there_is_one_clear_error(begin: Begin, tmp_path: Path) -> None:
    trial, _ = begin("chexpert")
    missing = str(tmp_path / "nowhere")
    assert "does not exist" in said(trial.run("prepare", "--source", "all", "--data-dir", missing))
    assert "does not exist" in said(
        trial.run("prepare", "--source", "all", "--data-dir", missing, "--store", str(trial.store))
    )


def test_a_data_folder_that_is_a_file_is_one_clear_error(begin: Begin, tmp_path: Path) -> None:
    trial, _ = begin("chexpert")
    (tmp_path / "file").write_text("")
    place = ("--data-dir", str(tmp_path / "file"))
    said(trial.run("prepare", "--source", "all", *place))
    store = ("--store", str(trial.store))
    assert "is not a folder" in said(trial.run("prepare", "--source", "all", *place, *store))
    said(trial.run("build", "--output", "x", *place, *store))


def test_no_data_folder_at_all_is_one_clear_error(begin: Begin) -> None:
    trial, _ = begin("chexpert")
    assert "set" in said(trial.run("prepare", "--source", "all"))


def test_a_folder_without_datasets_is_one_clear_error(begin: Begin, tmp_path: Path) -> None:
    trial, _ = begin("chexpert")
    (tmp_path / "empty").mkdir()
    ended = trial.run("prepare", "--source", "all", "--data-dir", str(tmp_path / "empty"))
    assert "No dataset was found in" in said(ended)


def test_an_annotation_source_before_its_images_is_one_clear_error(begin: Begin) -> None:
    trial, _ = begin("mscxr")
    empty_store(trial.store)
    ended = trial.prepare("mscxr")
    assert "mimic, whose images it describes, is not prepared" in said(ended)
    assert "radvlm prepare --source mimic" in ended.err


@pytest.mark.parametrize("option", ["--output", "--derived-dir"])
def test_a_file_in_place_of_an_output_folder_is_one_clear_error(begin: Begin, tmp_path: Path, option: str) -> None:
    trial, _ = begin("mimic")
    (tmp_path / "file").write_text("mine")
    if option == "--output":
        trial.prepare("mimic")
        said(trial.build("--output", str(tmp_path / "file")))
    else:
        said(trial.prepare("mimic", more=("--derived-dir", str(tmp_path / "file"))))
    assert (tmp_path / "file").read_text() == "mine"


def test_an_image_root_that_is_not_above_the_images_is_one_clear_error(begin: Begin, tmp_path: Path) -> None:
    trial, _ = begin("chexpert")
    trial.prepare("chexpert")
    assert "not below the image root" in said(trial.build("--image-root", str(tmp_path / "elsewhere")))


def test_a_build_before_any_prepare_says_that_there_is_nothing(begin: Begin) -> None:
    trial, _ = begin("chexpert")
    ended = trial.build()
    assert "holds none of the records" in said(ended)
    assert "radvlm prepare" in ended.err
    assert not list((trial.home / "train").glob("*"))


def test_resuming_with_other_options_says_which(begin: Begin) -> None:
    trial, _ = begin("chexpert")
    raw("CheXpert/train.csv", half)(trial.data)
    said(trial.prepare("chexpert"))
    trial.mend()
    error = said(trial.prepare("chexpert", more=("--resume", "--tables-only")))
    assert "tables_only: was False, now True" in error
    assert trial.prepare("chexpert", more=("--resume",)).code == 0
