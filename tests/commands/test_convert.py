"""radvlm convert, from its command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from radvlm_cli.hashing import file_sha256
from radvlm_cli.main import run
from radvlm_cli.store.engine import open_store

ORIGINAL = Path(__file__).parents[1] / "data" / "llava_onevision" / "original"


def test_without_a_store_it_converts_verifies_and_says_that_it_is_not_recorded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["convert", str(ORIGINAL), "--output", str(tmp_path / "out")]) == 0
    said = capsys.readouterr()
    assert said.out == f"{tmp_path / 'out'}\n"
    assert (
        "Converted 2 safetensors files, original layout: 69 tensors, 0.57 MB, bfloat16, lm_head of its own" in said.err
    )
    assert "Verified: 69 tensors equal to the source, all finite." in said.err
    assert "Generation: 8 tokens on c" in said.err
    assert "Not recorded: neither a store nor a data folder is set" in said.err


def test_with_a_store_every_file_is_an_artifact_of_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "radvlm.db"
    output = tmp_path / "out"
    command = ["convert", str(ORIGINAL), "--output", str(output), "--no-verify", "--store", str(place), "--json"]
    assert run(command) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["recorded"] is True
    assert told["tensors"] == 69
    assert told["verified"] is None
    with open_store(place) as store:
        rows = list(store.rows("SELECT path, sha256, bytes, kind FROM artifact WHERE root = 'output'"))
        runs = list(store.rows("SELECT command, status FROM run"))
    assert {Path(path).name for path, *_ in rows} == {path.name for path in output.iterdir()} == set(told["files"])
    for path, sha256, size, kind in rows:
        assert (sha256, size, kind) == (file_sha256(Path(path)), Path(path).stat().st_size, "model")
    assert runs == [("convert", "done")]


def test_errors_name_the_thing_and_exit_with_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["convert", str(tmp_path / "nowhere")]) == 3
    assert f"Error: {tmp_path / 'nowhere'} does not exist." in capsys.readouterr().err
    (tmp_path / "out").mkdir()
    assert run(["convert", str(ORIGINAL), "--output", str(tmp_path / "out")]) == 3
    assert "--force" in capsys.readouterr().err


def test_a_failed_run_is_recorded_as_failed(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    assert run(["convert", str(tmp_path / "in"), "--store", str(tmp_path / "radvlm.db")]) == 3
    with open_store(tmp_path / "radvlm.db") as store:
        assert list(store.rows("SELECT status FROM run")) == [("failed",)]


def test_without_torch_it_says_what_to_install(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("radvlm_cli.stages.convert.importlib.util.find_spec", lambda name: None)
    assert run(["convert", str(ORIGINAL), "--output", str(tmp_path / "out")]) == 3
    assert "pip install 'radvlm[models]'" in capsys.readouterr().err
