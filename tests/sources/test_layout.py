from __future__ import annotations

import os
from pathlib import Path

import pytest

from radvlm_cli.errors import DataError
from radvlm_cli.sources import SOURCES
from radvlm_cli.sources.layout import Info, Requirement, locate
from tests.sources.reading import touch

INFO = Info(
    name="some",
    title="Some Dataset",
    folders=("Some-Data", "some_data"),
    obtain="https://example.org/some",
    licence="open",
    credentialed=False,
    requirements=(
        Requirement("labels", ("tables/labels.csv", "labels.csv"), "label table"),
        Requirement("parts", ("parts_*.json",), "parts", needed=False),
        Requirement("images", ("images",), "image folder", needed=False),
    ),
)


def _found(data: Path, name: str = "labels") -> str:
    layout = locate(INFO, data)
    return layout.relative(layout.path(name))


@pytest.mark.parametrize(
    "place",
    [
        "Some-Data/tables/labels.csv",
        "Some-Data/labels.csv",
        "Some-Data/labels.csv.gz",
        "some_data/labels.csv",
        "SOME-DATA/labels.csv",
        "Some-Data/1.0.0/labels.csv",
        "Some-Data/v2.1/tables/labels.csv.gz",
        "physionet.org/files/some-data/1.0.0/labels.csv",
    ],
)
def test_a_table_is_found_wherever_a_download_puts_it(tmp_path: Path, place: str) -> None:
    touch(tmp_path / place)
    assert _found(tmp_path) == place


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ("Some-Data/tables/labels.csv", "Some-Data/labels.csv"),
        ("Some-Data/labels.csv", "Some-Data/labels.csv.gz"),
        ("Some-Data/labels.csv", "some_data/labels.csv"),
        ("Some-Data/labels.csv", "SOME-DATA/labels.csv"),
        ("Some-Data/labels.csv", "Some-Data/1.0.0/labels.csv"),
        ("Some-Data/1.10.0/labels.csv", "Some-Data/1.9.0/labels.csv"),
        ("some_data/labels.csv", "physionet.org/files/Some-Data/labels.csv"),
    ],
)
def test_of_two_copies_the_same_one_is_taken_always(tmp_path: Path, better: str, worse: str) -> None:
    touch(tmp_path / worse)
    touch(tmp_path / better)
    assert _found(tmp_path) == better


def test_a_folder_is_listed_once_however_many_names_it_matches(tmp_path: Path) -> None:
    for info in [make().info for make in SOURCES.values()]:
        for name in info.folders:
            (tmp_path / name).mkdir(exist_ok=True)
        folders = locate(info, tmp_path).folders
        assert len(folders) == len(set(folders))
        assert {folder.name for folder in folders} >= set(info.folders)


def test_a_glob_takes_the_first_by_name(tmp_path: Path) -> None:
    touch(tmp_path / "Some-Data/parts_2.json")
    touch(tmp_path / "Some-Data/parts_1.json")
    assert _found(tmp_path, "parts") == "Some-Data/parts_1.json"


def test_what_is_not_there_is_listed_and_only_the_needed_is_required(tmp_path: Path) -> None:
    touch(tmp_path / "Some-Data/labels.csv")
    layout = locate(INFO, tmp_path)
    assert [requirement.name for requirement in layout.missing] == ["parts", "images"]
    assert layout.absent == ()
    layout.require()


@pytest.mark.parametrize("folder", ["Some-Data", "elsewhere"])
def test_a_missing_needed_file_is_named_with_all_its_places_and_its_origin(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir()
    with pytest.raises(DataError) as raised:
        locate(INFO, tmp_path).require()
    assert "Some Dataset: label table not found" in raised.value.message
    assert "Some-Data/tables/labels.csv or Some-Data/labels.csv (or .gz)" in raised.value.message
    assert raised.value.hint == "Obtain it from https://example.org/some, then: radvlm prepare --source some"


def test_a_file_in_place_of_the_dataset_folder_is_no_dataset(tmp_path: Path) -> None:
    touch(tmp_path / "Some-Data")
    assert locate(INFO, tmp_path).folders == ()


def test_a_link_to_nowhere_is_missing(tmp_path: Path) -> None:
    (tmp_path / "Some-Data").mkdir()
    (tmp_path / "Some-Data/labels.csv").symlink_to(tmp_path / "gone.csv")
    assert locate(INFO, tmp_path).absent == INFO.requirements[:1]


def test_a_data_folder_that_does_not_exist_holds_nothing(tmp_path: Path) -> None:
    assert locate(INFO, tmp_path / "none").absent == INFO.requirements[:1]


def test_derived_files_go_below_the_derived_folder_under_the_same_name(tmp_path: Path) -> None:
    touch(tmp_path / "data/some_data/labels.csv")
    assert locate(INFO, tmp_path / "data").derived == tmp_path / "data/some_data"
    layout = locate(INFO, tmp_path / "data", tmp_path / "made")
    assert layout.derived == tmp_path / "made/some_data"
    assert layout.relative_derived(layout.derived / "x.jpg") == "some_data/x.jpg"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list everything")
def test_a_folder_that_may_not_be_listed_is_a_clear_error(tmp_path: Path) -> None:
    touch(tmp_path / "Some-Data/1.0/labels.csv")
    (tmp_path / "Some-Data").chmod(0)
    try:
        with pytest.raises(DataError, match="permission denied"):
            locate(INFO, tmp_path)
    finally:
        (tmp_path / "Some-Data").chmod(0o755)


def test_every_source_says_what_it_needs_and_where_that_is_obtained() -> None:
    for name, make in SOURCES.items():
        info = make().info
        assert info.name == name
        assert info.obtain.startswith("https://")
        assert info.licence
        assert any(requirement.needed for requirement in info.requirements)
        assert set(info.needs) < set(SOURCES)
        assert list(SOURCES).index(name) > max((list(SOURCES).index(needed) for needed in info.needs), default=-1)
