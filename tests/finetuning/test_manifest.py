"""The manifest is read strictly, and a mistake is told by its field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from finetuning.manifest import ManifestError, manifest_json, parse_manifest, read_manifest


def least() -> dict[str, Any]:
    """The shortest manifest."""
    return {
        "format": 1,
        "run": {"id": 3, "folder": "/runs/3"},
        "model": {"path": "/models/tiny"},
        "data": {"table": "/data/train.parquet", "sha256": "0" * 64, "pairs": 10, "cache": "/data/cache"},
    }


def test_what_is_left_out_is_the_published_recipe() -> None:
    manifest = parse_manifest(least())
    assert manifest.optimization.learning_rate == 1e-5
    assert manifest.optimization.vision_learning_rate == 2e-6
    assert manifest.optimization.global_batch == 256
    assert manifest.loss.norm == "sample"
    assert manifest.parallel.strategy == "zero2"
    assert manifest.adapter is None
    assert manifest.packing.tokens is None


def test_a_manifest_written_is_read_back_equal(tmp_path: Path) -> None:
    value = least()
    value["adapter"] = {"kind": "lora", "rank": 8}
    value["optimization"] = {"betas": [0.9, 0.95], "max_steps": 7}
    value["report_to"] = ["tensorboard"]
    manifest = parse_manifest(value)
    path = tmp_path / "manifest.json"
    path.write_text(manifest_json(manifest))
    assert read_manifest(path) == manifest


@pytest.mark.parametrize(
    ("place", "value", "field", "reason"),
    [
        (("optimization", "learning_rat"), 1e-4, "optimization.learning_rat", "is it learning_rate?"),
        (("optimization", "learning_rate"), "1e-5", "optimization.learning_rate", 'a number, not "1e-5"'),
        (("optimization", "learning_rate"), float("nan"), "optimization.learning_rate", "at least 0"),
        (("optimization", "learning_rate"), 3, "optimization.learning_rate", "above 1"),
        (("optimization", "weight_decay"), float("inf"), "optimization.weight_decay", "finite"),
        (("optimization", "epochs"), 0, "optimization.epochs", "above 0"),
        (("optimization", "warmup"), 1.5, "optimization.warmup", "at most 1"),
        (("optimization", "betas"), [0.9], "optimization.betas", "must have 2 values"),
        (("optimization", "betas"), [0.9, 1.0], "optimization.betas", "below 1"),
        (("optimization", "global_batch"), True, "optimization.global_batch", "a whole number, not true"),
        (("optimization", "global_batch"), 1.5, "optimization.global_batch", "a whole number"),
        (("parallel", "strategy"), "zero4", "parallel.strategy", "it can be ddp, zero2, zero3, zero3-offload"),
        (("checkpoints", "keep"), 1, "checkpoints.keep", "at least 2"),
        (("checkpoints", "every_minutes"), None, "checkpoints", "either every_steps or every_minutes"),
        (("packing", "tokens"), 4096, "packing.tokens", "may not fit"),
        (("resume", "allow_changed"), ["model"], "resume.allow_changed[0]", "it can be data, global_batch"),
        (("report_to",), "wandb", "report_to", "must be a list"),
        (("data", "held_out"), 3, "data.held_out", "must be an object"),
        (("model", "path"), "", "model.path", "a path"),
        (("format",), 2, "format", "reads format 1"),
    ],
)
def test_a_mistake_is_told_by_its_field(place: tuple[str, ...], value: Any, field: str, reason: str) -> None:
    manifest = least()
    inner = manifest
    for name in place[:-1]:
        inner = inner.setdefault(name, {})
    inner[place[-1]] = value
    with pytest.raises(ManifestError) as caught:
        parse_manifest(manifest)
    assert caught.value.field == field
    assert reason in caught.value.reason


@pytest.mark.parametrize("field", ["run.folder", "model.path", "data.table", "data.sha256", "data.pairs"])
def test_what_has_no_default_must_be_given(field: str) -> None:
    manifest = least()
    part, name = field.split(".")
    del manifest[part][name]
    with pytest.raises(ManifestError, match="is missing") as caught:
        parse_manifest(manifest)
    assert caught.value.field == field


def test_qlora_is_not_for_zero3() -> None:
    manifest = least() | {"adapter": {"kind": "qlora"}, "parallel": {"strategy": "zero3"}}
    with pytest.raises(ManifestError, match="4-bit"):
        parse_manifest(manifest)


def test_a_file_that_is_no_json_is_told(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    with pytest.raises(ManifestError, match="cannot be read"):
        read_manifest(path)
    path.write_text(json.dumps(least())[:-5])
    with pytest.raises(ManifestError, match="not JSON"):
        read_manifest(path)


def test_the_global_batch_is_dealt_to_ranks_without_rest() -> None:
    manifest = parse_manifest(least() | {"optimization": {"global_batch": 24, "micro_batch": 2}})
    assert [manifest.accumulation(ranks) for ranks in (1, 2, 4, 12)] == [12, 6, 3, 1]
    with pytest.raises(ManifestError, match="multiple of 10"):
        manifest.accumulation(5)
    packed = parse_manifest(least() | {"data": least()["data"] | {"max_length": 500}, "packing": {"tokens": 500}})
    assert packed.accumulation(5) == 52, "packs are planned over the whole batch of 256, which need not divide"
