import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from finetuning.continuity import model_fingerprint, refuse_changes, settings_of
from finetuning.errors import CheckpointError
from finetuning.manifest import read_manifest
from tests.finetuning.test_checkpoints import FACTS


@pytest.mark.parametrize(
    ("change", "allowed", "words"),
    [
        ({"data_sha256": "ff" * 32}, (), "other data: da7ada7ada7a..., now ffffffffffff..."),
        ({"global_batch": 8}, ("data",), "another global batch: 4, now 8"),
        ({"model": "ff" * 32}, ("data", "global_batch", "model"), "another model or adapter"),
        ({"seed": 1}, ("seed",), "another seed"),
        ({"strategy": "zero3"}, (), "zero2, now zero3"),
        ({"settings": {"loss.norm": "token"}}, ("settings",), "loss.norm = None, now token"),
    ],
)
def test_changes_that_would_make_it_another_training_are_refused(
    change: dict[str, object], allowed: tuple[str, ...], words: str
) -> None:
    with pytest.raises(CheckpointError, match=words) as told:
        refuse_changes(FACTS, replace(FACTS, **change), allowed)  # type: ignore[arg-type]
    assert told.value.hint is not None


def test_what_may_change_is_remarked(tmp_path: Path) -> None:
    assert refuse_changes(FACTS, replace(FACTS, world_size=8, micro_batch=2, accumulation=1)) == []
    now = replace(FACTS, global_batch=8, versions={"torch": "2.14.0", "peft": "1"})
    remarks = refuse_changes(FACTS, now, ["global_batch"])
    assert remarks == [
        "checkpoint-0 was made with another global batch: 4, now 8 (allowed).",
        "checkpoint-0 was made with torch 2.13.0, now 2.14.0.",
    ]


def test_the_settings_are_all_that_decides_the_result_and_come_back_from_json_as_they_were(tmp_path: Path) -> None:
    document: dict[str, Any] = {
        "format": 1,
        "run": {"id": 1, "folder": str(tmp_path)},
        "model": {"path": str(tmp_path)},
        "data": {"table": "t.parquet", "sha256": "ab" * 32, "cache": str(tmp_path), "pairs": 9},
    }
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(document))
    settings = settings_of(read_manifest(path))
    assert json.loads(json.dumps(settings)) == settings
    assert settings["optimization.learning_rate"] == 1e-5
    assert "optimization.seed" not in settings, "a fact of its own"
    longer = refuse_changes(
        replace(FACTS, settings=settings), replace(FACTS, settings=settings | {"optimization.epochs": 2.0})
    )
    assert [remark for remark in longer if "another schedule" in remark] == longer != []
    path.write_text(json.dumps(document | {"optimization": {"learning_rate": 2e-5}}))
    with pytest.raises(CheckpointError, match=r"optimization.learning_rate = 1e-05, now 2e-05"):
        refuse_changes(replace(FACTS, settings=settings), replace(FACTS, settings=settings_of(read_manifest(path))))


def test_the_fingerprint_of_a_model_knows_its_weights_and_adapter(tmp_path: Path) -> None:
    def model(name: str, last: bytes) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(bytes(3 << 20) + last)
        return folder

    first = model_fingerprint(model("a", b"1"))
    assert model_fingerprint(model("elsewhere", b"1")) == first
    assert model_fingerprint(model("b", b"2")) != first
    assert model_fingerprint(tmp_path / "a", {"kind": "lora", "rank": 8}) != first
