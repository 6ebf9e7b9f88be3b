"""From options to what is evaluated, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from radvlm_cli.adapters import CARDS, card
from radvlm_cli.adapters.protocol import GROUNDING
from radvlm_cli.errors import ConfigError
from radvlm_cli.stages.evaluation.models import find_model, list_models, task_row, wanted_tasks
from radvlm_cli.stages.evaluation.request import Asked, Request, make_request
from radvlm_cli.store.engine import open_store
from radvlm_cli.store.runs import open_run
from tests.stores import empty_store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store without anything."""
    return empty_store(tmp_path / "radvlm.db")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What looks like a model."""
    made = tmp_path / "models" / "mine"
    made.mkdir(parents=True)
    (made / "config.json").write_text("{}")
    (made / "model.safetensors").write_bytes(b"weights")
    return made


def request(path: Path, **asked: Any) -> Request:
    return make_request(path, Asked(**asked), say=lambda _words: None)


def test_a_model_of_a_folder_is_radvlm(path: Path, folder: Path) -> None:
    for name in (str(folder), f"radvlm:{folder}"):
        found = request(path, model=name, gpus=0)
        assert found.model.weights == (folder,)
        assert found.model.card.name == "radvlm"
    assert request(path, model="radvlm", weights=[folder], gpus=0).model.weights == (folder,)


def test_a_model_of_a_training_run_is_its_final_one(path: Path, folder: Path, tmp_path: Path) -> None:
    run_folder = tmp_path / "runs" / "1"
    (run_folder / "checkpoints").mkdir(parents=True)
    (run_folder / "manifest.json").write_text("{}")
    with open_store(path) as store:
        with open_run(store, "train", {}) as run, store.write() as connection:
            row = (run.id, str(run_folder), "tiny", str(folder), "x", 1)
            connection.exec_driver_sql(
                "INSERT INTO training (run_id, folder, recipe, model, data_sha256, pairs) VALUES (?, ?, ?, ?, ?, ?)",
                row,
            )
        with pytest.raises(ConfigError, match="is not done"):
            find_model(store, "radvlm:1")
        folder.rename(run_folder / "final")
        assert find_model(store, "radvlm:1").weights == (run_folder / "final",)
        with pytest.raises(ConfigError, match="no training run 9"):
            find_model(store, "radvlm:9")
        (run_folder / "final" / "adapter_config.json").write_text("{}")
        with pytest.raises(ConfigError, match="an adapter alone") as caught:
            find_model(store, "radvlm:1")
    assert "radvlm convert" in str(caught.value.hint)


def test_identity_is_of_what_decides_and_of_nothing_else(path: Path, folder: Path) -> None:
    def key(**asked: Any) -> str:
        made = request(path, **{"model": str(folder), "gpus": 0, **asked})
        return json.dumps(made.identity("key", "report", "prompts"), sort_keys=True)

    first = key()
    assert first == key(processes=3, gpus=None) == key(limit=5) == key(task=["report"])
    moved = folder.parent / "moved"
    folder.rename(moved)
    assert first == key(model=str(moved))
    changes = ({"dtype": "bfloat16"}, {"attn": "eager"}, {"batch": "4"}, {"protocol": "paper"}, {"max_new_tokens": 9})
    others = [key(model=str(moved), **change) for change in (*changes, {"set": ["max_image_side=9"]})]
    (moved / "model.safetensors").write_bytes(b"other!!")
    others.append(key(model=str(moved)))
    assert len({first, *others}) == 8


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no model": ({}, "No model is named"),
    "an unknown model": ({"model": "radvml"}, "Do you mean radvlm"),
    "a folder that is not there": ({"model": "models/none"}, "no folder models/none"),
    "weights that are not there": ({"model": "llavaov", "weights": [Path("/nowhere")]}, "/nowhere does not exist"),
    "too many weights": ({"model": "llavaov", "weights": [Path("/a"), Path("/b")]}, "from one folder: .* names 2"),
    "weights for a script": ({"model": "scripted", "weights": [Path("/a")]}, "from no weights"),
    "an unknown task": ({"model": "scripted", "task": ["vqa"]}, "no task 'vqa'"),
    "an unknown dtype": ({"model": "scripted", "dtype": "int3"}, "no dtype 'int3'"),
    "a batch of nothing": ({"model": "scripted", "batch": "0"}, "--batch 0"),
    "a batch in words": ({"model": "scripted", "batch": "many"}, "--batch many"),
    "processes and GPUs": ({"model": "scripted", "gpus": 2, "processes": 2}, "--processes is for the CPU"),
    "hosts and SLURM": ({"model": "scripted", "hosts": "a,b", "slurm": True}, "--hosts names the nodes"),
    "a profile without SLURM": ({"model": "scripted", "profile": Path("x.yaml")}, "--profile is for SLURM"),
    "a host that this is not": ({"model": "scripted", "hosts": "nowhere.example"}, "is not among --hosts"),
    "a setting without a value": ({"model": "scripted", "set": ["delay"]}, "is not NAME=VALUE"),
    "a script that is not there": ({"model": "scripted:/nowhere.json"}, "cannot be read"),
    "nothing to resume": ({"resume": True}, "no evaluation run to resume"),
    "a run that is not there": ({"resume": True, "run": 7}, "no evaluation run 7"),
}


@pytest.mark.parametrize(("asked", "message"), WRONG.values(), ids=WRONG)
def test_what_makes_no_sense_is_refused(path: Path, asked: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        request(path, **asked)


def test_weights_that_are_nowhere_are_named_with_the_command_that_gets_them(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(ConfigError, match="llava-hf/llava-onevision-qwen2-7b-si-hf") as caught:
        request(path, model="llavaov", gpus=0)
    assert "hf download" in str(caught.value.hint)


def test_a_task_that_a_model_cannot_do_is_refused_with_its_row() -> None:
    with pytest.raises(ConfigError, match=r"cannot do grounding\. It can do report, conversation; it cannot do"):
        wanted_tasks(card("llavaov"), ["grounding"])
    assert wanted_tasks(card("llavaov"), ["all"]) == ["report", "conversation"]
    assert wanted_tasks(card("radvlm"), ["grounding", "phrase"]) == list(GROUNDING)


def test_a_part_of_grounding_is_done_where_the_rest_cannot_be() -> None:
    from dataclasses import replace

    partial = replace(card("radvlm"), tasks=frozenset({"phrase"}))
    assert wanted_tasks(partial, ["grounding"]) == ["phrase"]
    assert task_row(partial)["grounding"] == "phrase"


def test_the_list_has_a_row_per_model_with_what_it_can_do_and_how_to_get_it() -> None:
    rows = {row["model"]: row for row in list_models()}
    assert set(rows) == set(CARDS)
    assert (rows["llavaov"]["report"], rows["llavaov"]["grounding"]) == ("yes", "no")
    assert all(row["weights"] == "found" or "hf download" in row["how to get them"] for row in rows.values())
