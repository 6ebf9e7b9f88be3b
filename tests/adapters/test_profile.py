"""Profiles: chosen by name, whole, and with limits of pixels that a Qwen-VL leaves alone."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

from radvlm_cli.adapters.boxes import CODECS
from radvlm_cli.adapters.profile import Pixels, Profile, choose_profile, profiles, read_profile, split_name
from radvlm_cli.adapters.protocol import Asked
from radvlm_cli.errors import ConfigError

MINIMAL = "title: A\ntasks: [report]\nprompts: {report: Describe it}\n"


@pytest.mark.parametrize(
    ("model", "profile"),
    [
        ("google/medgemma-4b-it", "medgemma"),
        ("google/medgemma-27b-it", "medgemma"),
        ("google/medgemma-1.5-4b-it", "medgemma15"),
        ("Qwen/Qwen2.5-VL-7B-Instruct", "qwen25vl"),
        ("Qwen/Qwen3-VL-8B-Instruct", "qwen3vl"),
        ("Qwen/Qwen3-VL-8B-Thinking", "qwen3vl_thinking"),
        ("OpenGVLab/InternVL3_5-8B-HF", "internvl"),
        ("lingshu-medical-mllm/Lingshu-7B", "lingshu"),
        ("nvidia/NV-Reason-CXR-3B", "nv_reason"),
        ("StanfordAIMI/CheXOne", "chexone"),
        ("KrauthammerLab/RadVLM", "radvlm"),
        ("radvlm-grpo", "radvlm_rl"),
        ("RadVLM-Thinking-RL", "radvlm_rl_thinking"),
        ("org/of-this-year", "generic"),
    ],
)
def test_a_profile_is_chosen_by_the_models_name(model: str, profile: str) -> None:
    assert choose_profile(model)[0] == profile


def test_a_folder_is_known_by_its_own_name_not_by_those_above(tmp_path: Path) -> None:
    cached = tmp_path / "models--Qwen--Qwen3-VL-8B-Instruct" / "snapshots" / "abc"
    other = tmp_path / "radvlm" / "of-this-year"
    for folder in (cached, other):
        folder.mkdir(parents=True)

    assert choose_profile(str(cached))[0] == "qwen3vl"
    assert choose_profile(str(other))[0] == "generic"
    (other / "config.json").write_text(json.dumps({"model_type": "qwen2_5_vl"}))
    assert choose_profile(str(other))[0] == "qwen25vl"


def test_a_profile_can_be_named_and_be_a_file(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(MINIMAL)

    assert split_name("org/model@qwen3vl") == ("org/model", "qwen3vl")
    assert split_name("model@2025-01") == ("model@2025-01", None)
    assert choose_profile("model", "qwen3vl")[0] == "qwen3vl"
    name, profile = choose_profile(*split_name(f"Qwen/Qwen3-VL-8B@{own}"))
    assert (name, profile.title) == ("own", "A")
    with pytest.raises(ConfigError, match="no profile qwen"):
        choose_profile("model", "qwen")


@pytest.mark.parametrize("name", profiles())
def test_every_profile_asks_everything_that_it_says_it_can(name: str) -> None:
    profile = profiles()[name]
    for task in profile.tasks - {"conversation"}:
        prompt = profile.prompt(Asked(task, "right lung", "Where is the right lung?", ("Edema", "Fracture")))
        told = {"classification": "Edema, Fracture", "detection": "Edema, Fracture", "report": ""}
        assert told.get(task, "right lung") in prompt or prompt.startswith("Where is the right lung?")
        assert not {"{subject}", "{options}", "{question}"} & set(prompt.split())

    assert profile.codec is None or profile.codec in CODECS


def test_a_task_that_a_model_cannot_do_has_no_prompt() -> None:
    with pytest.raises(ConfigError, match="no prompt for the task region"):
        profiles()["medgemma"].prompt(Asked("region", "right lung", "Where?"))


@pytest.mark.parametrize("multiple", [28, 32])
def test_a_fitted_picture_is_one_that_qwen_leaves_alone(multiple: int) -> None:
    pixels = Pixels(least=56 * 56, most=1280 * multiple**2, multiple=multiple)
    chance = random.Random(0)
    for _ in range(500):
        size = (chance.randrange(20, 4000), chance.randrange(20, 4000))
        fitted = pixels.fit(size)
        its_own = smart_resize(size[1], size[0], multiple, pixels.least, pixels.most)
        assert fitted == its_own[::-1]
        assert pixels.least <= fitted[0] * fitted[1] <= pixels.most
        assert (
            smart_resize(fitted[1], fitted[0], multiple, pixels.least, pixels.most)[::-1]
            == pixels.fit(fitted)
            == fitted
        )


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("prompts: {}", "prompts are wanted for exactly report"),
        ("prompts: {report: a, region: b}", "prompts are wanted for exactly report"),
        ("prompts: {report: 'a {patient}'}", "placeholder 'patient'"),
        ("tasks: [report, region]\nprompts: {report: a, region: b}", "without a codec"),
        ("tasks: [summary]", "tasks"),
        ("pixels: {most: 100, multiple: 28}", "no size"),
        ("colour: red", "colour"),
    ],
)
def test_a_profile_that_makes_no_sense_is_refused(change: str, complaint: str) -> None:
    changed = {line.partition(":")[0] for line in change.splitlines()}
    kept = [line for line in MINIMAL.splitlines() if line.partition(":")[0] not in changed]
    with pytest.raises(ConfigError, match=complaint):
        read_profile("\n".join([*kept, change]), "own.yaml")


def test_one_number_of_tokens_is_for_all_tasks() -> None:
    profile: Profile = read_profile(MINIMAL + "most: 99\n", "own.yaml")

    assert profile.most["report"] == profile.most["conversation"] == 99
