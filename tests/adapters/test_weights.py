"""Weights found on this machine, and what they are known by."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from radvlm_cli.adapters import CARDS
from radvlm_cli.adapters.protocol import Adapter, Card, Loading, WeightsNeed
from radvlm_cli.adapters.weights import find_weights, identify_weights, lacking_files
from radvlm_cli.errors import ConfigError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def load_nothing(loading: Loading) -> Adapter:
    raise AssertionError


def card_of(*needs: WeightsNeed) -> Card:
    return Card("two", "Two Parts", frozenset({"report"}), needs, load_nothing, lambda asked, protocol: "")


BASE = WeightsNeed("org/base", COMMIT, "MIT")
TOP = WeightsNeed("org/top", None, "gated", "accept its terms first")


def cached(cache: Path, need: WeightsNeed, commit: str, *files: str) -> Path:
    """A repository as the Hub's client keeps it."""
    home = cache / f"models--{need.hub_id.replace('/', '--')}"
    snapshot = home / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (home / "refs").mkdir(exist_ok=True)
    (home / "refs" / "main").write_text(commit)
    for name in files:
        (snapshot / name).write_text("{}")
    return snapshot


def test_folders_that_are_given_are_taken(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    for folder, file in ((first, "model.safetensors"), (second, "pytorch_model.bin")):
        folder.mkdir()
        (folder / file).touch()
    assert find_weights(card_of(BASE, TOP), [first, first / ".." / "b"]) == (first, second)


@pytest.mark.parametrize(
    ("given", "message", "hint"),
    [
        (["whole"], "2 folders, in this order: org/base, org/top. --weights names 1.", "--weights models/base --w"),
        (["whole", "nowhere"], "nowhere does not exist.", "hf download org/top --local-dir models/top"),
        (["whole/model.safetensors", "whole"], "is a file; --weights takes the folder", "/whole"),
        (
            ["whole", "empty"],
            r"empty does not hold the weights of org/top: \*.safetensors lacking",
            "hf download org/top",
        ),
        (
            ["half", "whole"],
            "half does not hold the weights of org/base: 2.safetensors lacking",
            "hf download org/base",
        ),
    ],
)
def test_folders_that_cannot_be_what_is_wanted_are_refused_before_anything_is_loaded(
    tmp_path: Path, given: list[str], message: str, hint: str
) -> None:
    for name in ("whole", "empty", "half"):
        (tmp_path / name).mkdir()
    (tmp_path / "whole" / "model.safetensors").touch()
    (tmp_path / "half" / "1.safetensors").touch()
    index = {"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}
    (tmp_path / "half" / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ConfigError, match=message) as refused:
        find_weights(card_of(BASE, TOP), [tmp_path / name for name in given])
    assert hint in (refused.value.hint or "")


def test_the_cache_is_looked_through_for_what_is_not_given(tmp_path: Path) -> None:
    model = card_of(BASE, TOP)
    base = cached(tmp_path, BASE, COMMIT, "config.json", "model.safetensors")
    top = cached(tmp_path, TOP, "f" * 40, "config.json", "pytorch_model.bin")
    assert find_weights(model, cache=tmp_path) == (base, top)


def test_another_revision_than_the_known_one_will_do(tmp_path: Path) -> None:
    other = cached(tmp_path, BASE, "e" * 40, "model.safetensors")
    assert find_weights(card_of(BASE), cache=tmp_path) == (other,)
    known = cached(tmp_path, BASE, COMMIT, "model.safetensors")
    assert find_weights(card_of(BASE), cache=tmp_path) == (known,)


def test_what_is_not_there_is_named_with_its_licence_and_the_command_that_gets_it(tmp_path: Path) -> None:
    base = cached(tmp_path, BASE, COMMIT, "model.safetensors")
    with pytest.raises(ConfigError) as raised:
        find_weights(card_of(BASE, TOP), cache=tmp_path)
    assert "org/top (licence: gated)" in raised.value.message
    assert "org/base" not in raised.value.message
    assert raised.value.hint == (
        "hf download org/top --local-dir models/top  # accept its terms first\n"
        f"then add --weights {base} --weights models/top"
    )
    with pytest.raises(ConfigError) as raised:
        find_weights(card_of(BASE), cache=tmp_path / "empty")
    assert f"hf download org/base --revision {COMMIT} --local-dir models/base" in str(raised.value.hint)


def test_half_a_download_is_not_taken(tmp_path: Path) -> None:
    snapshot = cached(tmp_path, BASE, COMMIT, "config.json")
    with pytest.raises(ConfigError):
        find_weights(card_of(BASE), cache=tmp_path)
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (snapshot / "model.safetensors.index.json").write_text(json.dumps(index))
    (snapshot / "model-1.safetensors").touch()
    (snapshot / "model-2.safetensors").symlink_to(tmp_path / "blob-that-is-not-there")
    assert lacking_files(snapshot) == ["model-2.safetensors"]
    with pytest.raises(ConfigError):
        find_weights(card_of(BASE), cache=tmp_path)
    (tmp_path / "blob-that-is-not-there").touch()
    # The other form is named, too, and need not be there.
    (snapshot / "pytorch_model.bin.index.json").write_text('{"weight_map": {"a": "pytorch_model.bin"}}')
    assert find_weights(card_of(BASE), cache=tmp_path) == (snapshot,)


def test_weights_are_known_by_what_is_in_them_not_by_where_they_are(tmp_path: Path) -> None:
    cache = tmp_path / "hashes.json"
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(b"weights")
        (tmp_path / name / "config.json").write_text("{}")
        (tmp_path / name / "README.md").write_text(name)
    first, second = (identify_weights([tmp_path / name], cache=cache) for name in ("a", "b"))
    assert first == second
    assert sorted(first.files) == ["0/config.json", "0/model.safetensors"]
    (tmp_path / "b" / "config.json").write_text('{"rope": 2}')
    assert identify_weights([tmp_path / "b"], cache=cache).sha256 != first.sha256
    both = identify_weights([tmp_path / "a", tmp_path / "b"], cache=cache)
    assert both.sha256 != identify_weights([tmp_path / "b", tmp_path / "a"], cache=cache).sha256


def test_bytes_are_hashed_once_and_again_when_they_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, file = tmp_path / "new" / "hashes.json", tmp_path / "m" / "model.safetensors"
    file.parent.mkdir()
    file.write_bytes(b"weights")
    said: list[str] = []
    first = identify_weights([file.parent], cache=cache, say=said.append)
    assert said == ["Hashing the weights (kept for the next time)."]
    assert identify_weights([file.parent], cache=cache, say=said.append) == first
    assert len(said) == 1, "what is known is not announced"
    monkeypatch.setattr("radvlm_cli.adapters.weights.file_sha256", lambda path: "hashed again")
    assert identify_weights([file.parent], cache=cache) == first
    file.write_bytes(b"WEIGHTS")
    os.utime(file, ns=(1, 1))
    assert identify_weights([file.parent], cache=cache).files == {"0/model.safetensors": "hashed again"}
    cache.write_text("[torn")
    assert identify_weights([file.parent], cache=cache).files == {"0/model.safetensors": "hashed again"}


@pytest.mark.parametrize(
    ("model", "kind", "hint"),
    [
        ("radvlm", "maira2", "hf download KrauthammerLab/RadVLM"),
        ("radvlm", "llava_qwen", "radvlm convert {folder} --output {folder}_hf"),
        ("maira2", "llava_onevision", "hf download microsoft/maira-2"),
        ("chexagent", "phi", "hf download StanfordAIMI/CheXagent-2-3b"),
    ],
)
def test_another_models_folder_is_refused_before_anything_is_started(
    tmp_path: Path, model: str, kind: str, hint: str
) -> None:
    (tmp_path / "model.safetensors").touch()
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    with pytest.raises(ConfigError, match=f"holds a model of type {kind}; ") as caught:
        find_weights(CARDS[model], [tmp_path])
    assert str(caught.value.hint).startswith(hint.format(folder=tmp_path))


def test_a_cache_that_cannot_be_written_costs_another_reading_only(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "no folder").write_text("")
    found = [identify_weights([tmp_path / "m"], cache=tmp_path / name / "hashes.json") for name in ("no folder", "new")]
    assert found[0] == found[1]
