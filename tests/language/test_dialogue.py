"""Dialogues by rules: they pass every check whatever the scene, and say nothing that it does not hold."""

import random
import re
from collections.abc import Iterator
from importlib.resources import files

import numpy as np
import pytest
import yaml

from radvlm_cli.demo import sentences as phantom
from radvlm_cli.demo.findings import chexpert_labels, choose_findings
from radvlm_cli.labels import ABNORMALITIES, FINDINGS, NO_FINDING
from radvlm_cli.language import Located, Scene
from radvlm_cli.language.dialogue import _LABELLED, _TOPICS, rule_dialogue
from radvlm_cli.language.dialogue_checks import dialogue_faults, quote_box
from radvlm_cli.records import Box, Turn

NOTHING = Scene("", None, None, {})
BOX, OTHER = Box(0.12, 0.3, 0.45, 0.61), Box(0.5, 0.5, 0.75, 0.8)
SENTENCES = (
    "The heart is mildly enlarged.", "No pneumothorax.", "NEW OPACITY IN THE RIGHT BASE", "The lungs are clear.",
    "As described in the report, unchanged.", "Right PICC ends in the SVC [1].", "Small left pleural effusion.",
    "A nodule at [0.2, 0.3] is seen.", "<image>", "**Bold** text.", "Labels: none", "{0} {} opacity.", "___ view.",
    "Compared to ___, no change.", "Stable cardiomegaly.", "Dr. Smith was notified.", "Where is it?", "Ünklar.",
)  # fmt: skip
PHRASES = (
    "Moderate right pleural effusion.", "unchanged nodule", "Compared with prior", "the report", "", "  ", "{0}", "{",
    "[0.1, 0.2]", "0.1, 0.2, 0.3, 0.4", "...", "new", "previously seen mass, increased", "multiple\nnodules", "<image>",
    "The heart is enlarged. Lungs are clear.", "No pneumothorax", "Lung Opacity", "LEFT EFFUSION", "that", "x",
)  # fmt: skip


def answers(turns: tuple[Turn, ...]) -> str:
    return "\n".join(turn.text for turn in turns[1::2])


def box(rng: random.Random) -> Box:
    (left, right), (top, bottom) = (sorted((rng.random(), rng.random())) for _ in "xy")
    drawn = Box(left, top, right, bottom)
    return rng.choice([drawn, drawn, Box(0, 0, 1, 1), Box(0.1, 0.2, 0.1001, 0.2001), Box(0.5, 0.5, 0.995, 0.9951)])


def scene(rng: random.Random) -> Scene:
    text = " ".join(rng.choices(SENTENCES, k=rng.choice([0, 1, 3, 20])))
    located = tuple(
        Located(rng.choice(PHRASES), tuple(box(rng) for _ in range(rng.randint(1, 3))))
        for _ in range(rng.choice([0, 0, 1, 2, 8, 9, 12, 30]))
    )
    known = rng.sample(FINDINGS, rng.choice([0, 3, len(FINDINGS)]))
    labels = {name: rng.choice([1, 0, -1]) for name in known}
    return Scene(text, rng.choice(["PA", "AP", "LL", None]), rng.choice(["F", "M", None]), labels, located)


@pytest.mark.parametrize("seed", range(10))
def test_every_scene_gives_a_dialogue_that_passes_the_checks(seed: int) -> None:
    rng = random.Random(seed)
    for number in range(100):
        drawn = scene(rng)
        assert dialogue_faults(rule_dialogue(drawn, str(number)), drawn) == []


def phantom_scenes() -> Iterator[Scene]:
    for seed in range(100):
        found = choose_findings(np.random.default_rng(seed))
        located = tuple(Located(phantom.phrase(finding), (BOX, OTHER)) for finding in found)
        text = phantom.findings_text(found)
        compared = " ".join(phantom.comparison(f, c) for f in found for c in phantom.CHANGES)
        labels = {name: int(value) for name, value in chexpert_labels(found).items()}
        yield Scene(text, "PA", "F", labels, located)
        yield Scene(compared, "AP", "M", {})


def test_phantom_reports_give_dialogues_that_pass_the_checks() -> None:
    for number, drawn in enumerate(phantom_scenes()):
        assert dialogue_faults(rule_dialogue(drawn, str(number)), drawn) == []


def test_a_rich_scene_is_told_in_ten_rounds_at_most() -> None:
    located = tuple(Located(f"Nodule {n}", tuple(Box(n / 20, i / 4, 0.9, 0.9) for i in range(3))) for n in range(12))
    rich = Scene(" ".join(SENTENCES), "PA", "F", dict.fromkeys(ABNORMALITIES, 1), located)
    turns = rule_dialogue(rich, "x")
    assert len(turns) <= 20
    assert all(quote_box(b) in answers(turns) for item in located for b in item.boxes)
    assert all(f"nodule {n}" in answers(turns).lower() for n in range(12))


def test_the_key_alone_chooses_the_words() -> None:
    told = Scene("The heart is enlarged. No pneumothorax.", "PA", "F", {"Edema": 0})
    assert rule_dialogue(told, "a") == rule_dialogue(told, "a")
    assert len({rule_dialogue(told, str(number)) for number in range(50)}) > 20


def test_of_an_empty_scene_nothing_is_said() -> None:
    for number in range(50):
        said = answers(rule_dialogue(NOTHING, str(number))).lower()
        assert not [name for name, (thing, _) in _LABELLED.items() if thing in said or name.lower() in said]


def test_sentences_that_compare_or_name_a_report_are_left_out() -> None:
    text = "As the report says, the heart is enlarged. There is a small left effusion."
    for number in range(20):
        said = answers(rule_dialogue(Scene(text, None, None, {}), str(number)))
        assert "There is a small left effusion." in said
        assert "heart" not in said


def rounds_of_many(told: Scene) -> set[tuple[str, str]]:
    """What is asked and answered, over many keys."""
    dialogues = [rule_dialogue(told, str(number)) for number in range(60)]
    return {(q.text, a.text) for turns in dialogues for q, a in zip(turns[::2], turns[1::2], strict=True)}


@pytest.mark.parametrize(
    ("value", "start"), [(1, r"Yes"), (0, r"No"), (-1, r"Possibly|I am not certain")], ids=["present", "absent", "?"]
)
def test_a_labelled_finding_is_answered_by_its_label(value: int, start: str) -> None:
    asked = [a for q, a in rounds_of_many(Scene("", None, None, {"Edema": value})) if "pulmonary edema" in q]
    assert asked
    assert all(re.match(start, answer) for answer in asked)


@pytest.mark.parametrize(
    "told",
    [
        Scene("Small left pleural effusion.", None, None, {"Pleural Effusion": 0}),
        Scene("", None, None, {"Pleural Effusion": 0}, (Located("Small left effusion", (BOX,)),)),
        Scene("A granuloma is seen.", None, None, {"Lung Lesion": 0}),
        Scene("Possible pneumonia.", None, None, {"Pneumonia": 0}),
        Scene("", None, None, {"Consolidation": 1, "Lung Opacity": 0}),
    ],
    ids=["text", "box", "narrower", "doubt", "label"],
)
def test_what_the_scene_affirms_is_not_denied(told: Scene) -> None:
    assert not [answer for _, answer in rounds_of_many(told) if re.match(r"No\b.*sign of", answer)]


@pytest.mark.parametrize(
    ("text", "label"),
    [("No pneumothorax.", "Pneumothorax"), ("The lungs are clear.", "Lung Opacity"), ("No opacity.", "Consolidation")],
)
def test_what_the_text_denies_is_not_affirmed(text: str, label: str) -> None:
    found = rounds_of_many(Scene(text, None, None, {label: 1}))
    assert not [answer for _, answer in found if answer.startswith(("Yes", "What stands out"))]


def test_a_qualified_denial_is_not_widened() -> None:
    found = rounds_of_many(Scene("No large pleural effusion.", None, None, {"Pleural Effusion": 0}))
    asked = {answer for question, answer in found if "pleural effusion" in question}
    assert asked == {"No large pleural effusion."}


def test_a_doubt_of_the_text_is_not_made_a_certainty_by_the_label() -> None:
    found = rounds_of_many(Scene("Possible pneumonia.", None, None, {"Pneumonia": 1}))
    assert {answer for question, answer in found if "pneumonia" in question} == {"Possible pneumonia."}


def test_rich_scenes_give_dialogues_of_several_lengths() -> None:
    told = Scene("", "PA", None, dict.fromkeys(ABNORMALITIES, 1))
    assert {len(rule_dialogue(told, str(number))) // 2 for number in range(30)} == {8, 9, 10}


def test_nothing_abnormal_is_said_only_where_nothing_is() -> None:
    words = "I see no abnormal finding on this image."
    normal = Scene("The lungs are clear.", None, None, {NO_FINDING: 1})
    assert words in {answer for _, answer in rounds_of_many(normal)}
    for other in (
        normal._replace(labels={}),
        normal._replace(text="Scoliosis."),
        normal._replace(located=(Located("Scoliosis", (BOX,)),)),
        normal._replace(labels={NO_FINDING: 1, "Fracture": -1}),
    ):
        assert words not in {answer for _, answer in rounds_of_many(other)}


def test_no_two_rounds_give_the_same_answer() -> None:
    text = "No pneumothorax, pleural effusion or consolidation. The heart is enlarged."
    for number in range(50):
        told = [turn.text for turn in rule_dialogue(Scene(text, "PA", None, {}), str(number))[1::2]]
        assert len(told) == len(set(told))


def test_view_and_sex_are_told_only_where_known() -> None:
    known = "\n".join(map("".join, rounds_of_many(Scene("", "PA", "F", {}))))
    unknown = "\n".join(map("".join, rounds_of_many(NOTHING)))
    assert "posteroanterior (PA)" in known
    assert "a female patient" in known
    assert not re.search(r"male|view|anterior", unknown)


@pytest.mark.parametrize(
    ("phrase", "thing"),
    [
        ("Moderate right pleural effusion.", "the moderate right pleural effusion"),
        ("There is a small nodule.", "the small nodule"),
        ("A nodule is seen.", "the nodule"),
        ("Bilateral infiltrates", "the bilateral infiltrates"),
        ("The heart is mildly enlarged.", "that the heart is mildly enlarged"),
        ("No pneumothorax", "that there is no pneumothorax"),
        ("LEFT PLEURAL EFFUSION", "the left pleural effusion"),
        ("PICC tip in the SVC", "the PICC tip in the SVC"),
        ("Swan-Ganz catheter", "the Swan-Ganz catheter"),
        ("unchanged nodule", "the nodule"),
        ("the report", "the marked finding"),
        ("", "the marked finding"),
    ],
)
def test_whoever_asks_for_a_place_names_the_finding(phrase: str, thing: str) -> None:
    turns = rule_dialogue(Scene("", None, None, {}, (Located(phrase, (BOX,)),)), "x")
    assert re.search(rf" {re.escape(thing)}( for me)?[?.]", turns[2].text)
    assert quote_box(BOX) in turns[3].text


def test_findings_of_one_name_are_pointed_at_together() -> None:
    located = (Located("Nodule.", (BOX,)), Located("There is a nodule.", (OTHER,)))
    turns = rule_dialogue(Scene("", None, None, {}, located), "x")
    assert f"{quote_box(BOX)} and {quote_box(OTHER)}" in turns[3].text
    assert not [turn for turn in turns[4:] if "[" in turn.text]


def test_all_labels_and_only_concepts_of_the_lexicon_are_asked_about() -> None:
    lexicon = yaml.safe_load(files("radvlm_cli.language").joinpath("findings.yaml").read_text(encoding="utf-8"))
    used = set().union(*_TOPICS.values(), {concept for _, concept in _LABELLED.values()})
    assert set(_LABELLED) == set(ABNORMALITIES)
    assert used <= set(lexicon["concepts"])
