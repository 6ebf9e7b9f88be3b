from __future__ import annotations

from pathlib import Path

import pytest

from radvlm_cli.sources import SOURCES
from radvlm_cli.sources.layout import Layout, locate
from radvlm_cli.sources.published import conversations, filtered_reports
from tests.sources.reading import touch


def _layout(source: str, data: Path) -> Layout:
    return locate(SOURCES[source]().info, data)


def test_curated_reports_of_mimic_are_listed_by_study(tmp_path: Path) -> None:
    for place in ("filtered_reports/53862424.txt", "filtered_reports/s50414267.txt", "filtered_reports_test/5.txt"):
        touch(tmp_path / "MIMIC-CXR-JPG" / place)
    (tmp_path / "MIMIC-CXR-JPG/filtered_reports/53862424.txt").write_text("Clear.")
    files = list(filtered_reports(_layout("mimic", tmp_path)))
    assert [(file.key, file.path, file.bytes) for file in files] == [
        ("53862424", "MIMIC-CXR-JPG/filtered_reports/53862424.txt", 6),
        ("50414267", "MIMIC-CXR-JPG/filtered_reports/s50414267.txt", 0),
        ("5", "MIMIC-CXR-JPG/filtered_reports_test/5.txt", 0),
    ]


def test_curated_reports_of_chexpert_plus_are_listed_by_study_path(tmp_path: Path) -> None:
    touch(tmp_path / "CheXpertPlus/filtered_reports/train_patient42142_study5.txt")
    (file,) = filtered_reports(_layout("chexpert-plus", tmp_path))
    assert (file.key, file.kind, file.split) == ("train/patient42142/study5", "report", None)


def test_files_that_are_no_curated_report_are_passed_over(tmp_path: Path) -> None:
    for name in ("README.txt", "x5.txt", "53862424.json", ".53862424.txt.swp", "train_patient1_study2.txt"):
        touch(tmp_path / "MIMIC-CXR-JPG/filtered_reports" / name)
    for name in ("patient1_study2.txt", "train_patient1.txt", "5.txt"):
        touch(tmp_path / "CheXpertPlus/filtered_reports" / name)
    assert not list(filtered_reports(_layout("mimic", tmp_path)))
    assert not list(filtered_reports(_layout("chexpert-plus", tmp_path)))


@pytest.mark.parametrize("source", ["chexpert", "vindr", "padchest-gr"])
def test_other_sources_have_no_curated_reports(tmp_path: Path, source: str) -> None:
    layout = _layout(source, tmp_path)
    touch(layout.home / "filtered_reports/5.txt")
    assert not list(filtered_reports(_layout(source, tmp_path)))


@pytest.mark.parametrize(
    ("folder", "kind", "split"),
    [
        ("train/standard", "standard", "train"),
        ("train/grounding", "grounded", "train"),
        ("validate/standard", "standard", "validation"),
        ("valid/grounding", "grounded", "validation"),
        ("test/standard", "standard", "test"),
        ("train/padchest", "grounded", "train"),
    ],
)
def test_conversations_are_listed_with_split_and_kind(tmp_path: Path, folder: str, kind: str, split: str) -> None:
    touch(tmp_path / "MIMIC-CXR-JPG/conversations" / folder / "02aa804e-bde0afdd.json")
    touch(tmp_path / "PadChest/conversations" / folder / "123_k6ga29.json")
    (file,) = conversations(_layout("mimic", tmp_path))
    assert (file.key, file.kind, file.split) == ("02aa804e-bde0afdd", kind, split)
    (file,) = conversations(_layout("padchest-gr", tmp_path))
    assert (file.key, file.kind, file.split) == ("123_k6ga29.png", kind, split)
    assert file.path == f"PadChest/conversations/{folder}/123_k6ga29.json"


def test_files_are_listed_by_name_each_once_in_every_folder_of_the_dataset(tmp_path: Path) -> None:
    for place in ("PADCHEST", "physionet.org/files/PadChest-GR"):
        for name in ("b.json", "a.json"):
            touch(tmp_path / place / "conversations/train/grounding" / name)
    keys = [file.path for file in conversations(_layout("padchest-gr", tmp_path))]
    assert keys == [
        "PADCHEST/conversations/train/grounding/a.json",
        "PADCHEST/conversations/train/grounding/b.json",
        "physionet.org/files/PadChest-GR/conversations/train/grounding/a.json",
        "physionet.org/files/PadChest-GR/conversations/train/grounding/b.json",
    ]


def test_a_changed_file_is_known_by_size_and_time(tmp_path: Path) -> None:
    path = tmp_path / "MIMIC-CXR-JPG/filtered_reports/5.txt"
    touch(path)
    (before,) = filtered_reports(_layout("mimic", tmp_path))
    path.write_text("Other.")
    (after,) = filtered_reports(_layout("mimic", tmp_path))
    assert (before.bytes, after.bytes) == (0, 6)
    assert after.mtime_ns == path.stat().st_mtime_ns


def test_paths_are_relative_to_the_data_folder_also_if_that_is_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path / "MIMIC-CXR-JPG/filtered_reports/5.txt")
    monkeypatch.chdir(tmp_path)
    (file,) = filtered_reports(_layout("mimic", Path()))
    assert file.path == "MIMIC-CXR-JPG/filtered_reports/5.txt"


def test_a_link_to_nowhere_and_a_folder_are_listed_for_the_reader_to_fail_on(tmp_path: Path) -> None:
    folder = tmp_path / "MIMIC-CXR-JPG/filtered_reports"
    (folder / "5.txt").mkdir(parents=True)
    (folder / "6.txt").symlink_to(tmp_path / "gone")
    assert [file.key for file in filtered_reports(_layout("mimic", tmp_path))] == ["5", "6"]


def test_a_file_in_place_of_a_folder_holds_nothing(tmp_path: Path) -> None:
    touch(tmp_path / "MIMIC-CXR-JPG/conversations/train/standard")
    touch(tmp_path / "MIMIC-CXR-JPG/filtered_reports")
    assert not list(conversations(_layout("mimic", tmp_path)))
    assert not list(filtered_reports(_layout("mimic", tmp_path)))
