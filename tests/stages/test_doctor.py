"""doctor tells what is complete, what is missing, and what is simply not there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from radvlm_cli.errors import DataError
from radvlm_cli.main import run
from radvlm_cli.stages.doctor import Finding, examine, require_datasets
from tests.phantoms import phantom_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return phantom_world(tmp_path_factory, "official").root


@pytest.fixture
def data(world: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(world, tmp_path / "data"))


def _states(data: Path) -> dict[str, Finding]:
    return {finding.what: finding for finding in examine(data, None, data / "radvlm.db")}


def test_complete_datasets_are_ok_with_the_command_that_reads_them(world: Path) -> None:
    finding = _states(world)["MIMIC-CXR"]
    assert (finding.mark, finding.state) == ("ok", "complete in MIMIC-CXR-JPG")
    assert finding.remedy == "radvlm prepare --source mimic"


def test_a_missing_file_is_named_with_where_it_is_obtained(data: Path) -> None:
    next((data / "MIMIC-CXR-JPG").glob("*split.csv*")).unlink()
    finding = _states(data)["MIMIC-CXR"]
    assert finding.mark == "bad"
    assert "mimic-cxr-2.0.0-split.csv" in finding.state
    assert "https://physionet.org/" in finding.remedy


def test_a_dataset_of_a_shared_folder_is_not_there_rather_than_damaged(data: Path) -> None:
    (data / "CheXpert" / "df_chexpert_plus_240401.csv").unlink()
    assert _states(data)["CheXpert Plus"].mark == "note"


def test_boxes_without_their_images_are_told(data: Path) -> None:
    shutil.rmtree(data / "MIMIC-CXR-JPG")
    finding = _states(data)["MS-CXR"]
    assert (finding.mark, finding.state) == ("bad", "complete in MS-CXR, but of no use without mimic")


def test_a_dataset_folder_in_place_of_the_data_folder_is_recognised(world: Path) -> None:
    with pytest.raises(DataError, match="the data folder is the one that holds it") as caught:
        require_datasets(["all"], world / "VinDr-CXR")
    assert caught.value.hint == f"radvlm prepare --source all --data-dir {world}"
    assert _states(world / "VinDr-CXR")["data folder"].mark == "bad"


def test_prepare_leaves_no_store_in_a_folder_without_datasets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["prepare", "--source", "all", "--data-dir", str(tmp_path)]) == 3
    assert "No dataset was found" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_doctor_needs_no_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATA_DIR", raising=False)
    monkeypatch.delenv("RADVLM_STORE", raising=False)
    assert run(["doctor", "--json"]) == 4
    findings = {finding["what"]: finding for finding in json.loads(capsys.readouterr().out)}
    assert findings["Python"]["mark"] == "ok"
    assert findings["settings"]["mark"] == "bad"
