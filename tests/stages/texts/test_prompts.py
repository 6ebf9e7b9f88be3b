"""Our prompts: long enough to be cached, and each worked example passes the checks that its answers must pass."""

from __future__ import annotations

import json
import re

import pytest

from radvlm_cli.instructions.conversation import parse
from radvlm_cli.language import Located, Scene
from radvlm_cli.language.dialogue_checks import dialogue_faults
from radvlm_cli.language.report_checks import has_content, report_faults, unsupported
from radvlm_cli.language.rewrite import without_comparisons
from radvlm_cli.language.temporal import comparisons
from radvlm_cli.llm.prompting import find_object, load_messages
from radvlm_cli.llm.tokens import PER_REPLY, message_tokens
from radvlm_cli.metrics.judge import SCHEMA, Round, parse_scores, tell
from radvlm_cli.records import Box
from radvlm_cli.stages.texts.converse import _told, _turns
from radvlm_cli.stages.texts.curate import Curation

CURATE = ("curate-dictated", "curate-raw")
CONVERSE = ("converse-standard", "converse-grounded")
JUDGE = "judge-conversation"
OTHER_REPORT = "Large right effusion. Moderate cardiomegaly. Clear left lung."


def examples(*names: str) -> list[object]:
    """Each question of a worked example, with its answer."""
    found = []
    for name in names:
        _system, *said = load_messages(name)
        for number, (asked, answered) in enumerate(zip(said[::2], said[1::2], strict=True)):
            found.append(pytest.param(asked["content"], answered["content"], id=f"{name}-{number}"))
    return found


def scene_of(message: str) -> Scene:
    """What a message of `converse` tells of an image."""
    lines = dict(re.findall(r"^([A-Z][a-z ]+): (.+)$", message, re.MULTILINE))
    labels = {
        name: value
        for key, value in (("Labelled present", 1), ("Labelled uncertain", -1), ("Labelled absent", 0))
        for name in filter(None, lines.get(key, "").split(", "))
    }
    located = [
        Located(phrase, tuple(Box(*json.loads(box)) for box in re.findall(r"\[.*?\]", boxes)))
        for phrase, boxes in re.findall(r"^- (.+?) (\[.+\])$", message, re.MULTILINE)
    ]
    sex = {"female": "F", "male": "M"}.get(lines["Sex"])
    return Scene(lines["Description"], lines["View"], sex, labels, tuple(located))


@pytest.mark.parametrize("name", [*CURATE, *CONVERSE, JUDGE])
def test_a_prompt_is_long_enough_to_be_cached_and_no_longer_than_it_must_be(name: str) -> None:
    tokens = message_tokens(load_messages(name)) - PER_REPLY
    assert tokens >= 1_024, (
        f"{name} has {tokens} tokens: providers cache what requests begin with from 1,024 identical tokens on, so each "
        "call would pay the full price for the prompt. Keep its worked examples."
    )
    assert 1_100 <= tokens <= 1_500, f"{name} has {tokens} tokens; other tokenisers may count somewhat fewer"


@pytest.mark.parametrize("name", [*CURATE, *CONVERSE, JUDGE])
def test_a_prompt_is_rules_and_then_examples(name: str) -> None:
    roles = [message["role"] for message in load_messages(name)]
    assert roles[0] == "system"
    assert roles[1:] == ["user", "assistant"] * (len(roles) // 2)
    assert len(roles) > 1


@pytest.mark.parametrize(("report", "answer"), examples(*CURATE))
def test_an_example_of_curation_passes_the_checks(report: str, answer: str) -> None:
    told = json.loads(answer)
    assert list(told) == list(Curation.schema["properties"])
    if told["nothing_left"]:
        assert told["text"] == ""
        assert not has_content(without_comparisons(report))
    else:
        assert report_faults(told["text"], report) == []
        assert has_content(told["text"])


@pytest.mark.parametrize("name", CURATE)
def test_examples_of_curation_show_all_outcomes(name: str) -> None:
    said = load_messages(name)[1:]
    pairs = [(m["content"], json.loads(n["content"])) for m, n in zip(said[::2], said[1::2], strict=True)]
    assert {answer["nothing_left"] for _, answer in pairs} == {True, False}
    assert any(comparisons(report) and not answer["nothing_left"] for report, answer in pairs)
    innocent = re.compile(r"\b(?:prior|since|interval)\b", re.IGNORECASE)
    assert any(innocent.search(answer["text"]) for _, answer in pairs)


@pytest.mark.parametrize(("report", "answer"), examples(*CURATE))
def test_an_echoed_example_is_caught(report: str, answer: str) -> None:
    told = json.loads(answer)
    if told["nothing_left"]:
        assert has_content(without_comparisons(OTHER_REPORT))  # then nothing_left itself is the fault
    else:
        assert report_faults(told["text"], OTHER_REPORT)


@pytest.mark.parametrize(("message", "answer"), examples(*CONVERSE))
def test_an_example_of_a_dialogue_passes_the_checks(message: str, answer: str) -> None:
    scene = scene_of(message)
    assert _told(scene) == message, "an example must have the form in which images are told of"
    turns = parse(_turns((find_object(answer) or {})["rounds"]))
    assert dialogue_faults(turns, scene) == []
    said = " ".join(turn.text for turn in turns[1::2])
    assert unsupported(re.sub(r"\[.*?\]", "", said), scene.text) == []


def test_only_the_grounded_examples_point() -> None:
    for name, located in zip(CONVERSE, (False, True), strict=True):
        scenes = [scene_of(message["content"]) for message in load_messages(name) if message["role"] == "user"]
        assert all(bool(scene.located) == located for scene in scenes)


@pytest.mark.parametrize(("conversation", "answer"), examples(JUDGE))
def test_an_example_of_judging_is_what_the_judge_is_told_and_has_to_answer(conversation: str, answer: str) -> None:
    told = json.loads(conversation)
    rounds = [Round(**one) for one in told["rounds"]]
    located = {one["finding"]: [Box(*box) for box in one["boxes"]] for one in told.get("located", ())}
    assert tell(rounds, located) == conversation
    scores = parse_scores(answer, len(rounds))
    assert list(json.loads(answer)) == list(SCHEMA["properties"])
    assert all(len(reason.split()) <= 25 for reason in (scores.reason, *scores.reasons))
