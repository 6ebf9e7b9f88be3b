"""Checks of generated texts, and the rules that must pass them."""

import random

import pytest

from radvlm_cli.demo.sentences import CHANGES
from radvlm_cli.labels import ABNORMALITIES
from radvlm_cli.language import Located, Scene
from radvlm_cli.language.dialogue import rule_dialogue
from radvlm_cli.language.dialogue_checks import dialogue_faults
from radvlm_cli.language.findings import findings
from radvlm_cli.language.report_checks import has_content, report_faults
from radvlm_cli.language.rewrite import without_comparisons
from radvlm_cli.language.temporal import comparisons
from radvlm_cli.records import Box, Turn

SOURCE = "Heart size is normal. Small left pleural effusion, 12 mm. No pneumothorax. Possible pneumonia."


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the text is empty"),
        ("Small left pleural effusion, unchanged.", "comparison language is left"),
        ("There is a rib fracture.", "a finding that the source does not have"),
        ("There is a pneumothorax.", "a finding that the source does not have"),
        ("No pleural effusion.", "a denial that the source does not have"),
        ("Small left pleural effusion, 21 mm.", "a measurement that the source does not have"),
        ("Small right pleural effusion.", "a finding on a side where the source does not have it"),
        ("Here is the edited report: No pneumothorax.", "words that are not report text"),
        ("No pneumothorax. Normal heart size.", "a finding of the source is lost"),
    ],
)
def test_a_faulty_text_is_found(text: str, reason: str) -> None:
    assert [fault.reason for fault in report_faults(text, SOURCE)][:1] == [reason]


@pytest.mark.parametrize(
    "text",
    [
        SOURCE,
        "No pneumothorax. Normal heart size. Left effusion.",
        "Left effusion, possible pneumonia.",
        "Left effusion.",
    ],
)
def test_a_faithful_text_passes(text: str) -> None:
    assert report_faults(text, SOURCE) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("No effusion or pneumothorax.", {("effusion", "absent"), ("pneumothorax", "absent")}),
        ("No effusion but there is edema.", {("effusion", "absent"), ("edema", "present")}),
        ("Pneumonia cannot be excluded.", {("pneumonia", "uncertain")}),
        ("A nodule is seen.", {("nodule", "present")}),
    ],
)
def test_negation_and_doubt_have_a_scope(text: str, expected: set[tuple[str, str]]) -> None:
    assert {(f.concept, f.polarity) for f in findings(text)} == expected


def test_rules_leave_nothing_temporal_in_phantom_reports() -> None:
    from radvlm_cli.demo import sentences

    assert CHANGES
    assert sentences.comparison.__doc__
    for text in (
        "Compared with the prior study, the effusion is new.",
        "The effusion is again seen, unchanged from ___.",
    ):
        curated = without_comparisons(text)
        assert comparisons(curated) == []
        assert has_content(curated)


def _scene(rng: random.Random) -> Scene:
    def box() -> Box:
        return Box(rng.random() * 0.5, rng.random() * 0.5, 0.5 + rng.random() * 0.5, 0.5 + rng.random() * 0.5)

    names = ("Left effusion.", "Unchanged nodule", "Compared with prior, new edema", "report", "Cardiomegaly")
    count = rng.choice([0, 1, 3, 12])
    located = tuple(Located(rng.choice(names), tuple(box() for _ in range(rng.randint(1, 3)))) for _ in range(count))
    text = " ".join(rng.sample([SOURCE, "The lungs are clear.", "As reported, unchanged.", ""], 2))
    labels = {name: rng.choice([1, 0, -1]) for name in rng.sample(ABNORMALITIES, rng.randint(0, 8))}
    return Scene(text, rng.choice(["PA", "AP", None]), None, labels, located)


def test_a_dialogue_by_rules_always_passes_its_checks() -> None:
    rng = random.Random(2)
    for number in range(300):
        scene = _scene(rng)
        assert dialogue_faults(rule_dialogue(scene, str(number)), scene) == []


def test_faulty_dialogues_are_found() -> None:
    box = Box(0.1, 0.2, 0.3, 0.4)
    scene = Scene("", None, None, {}, (Located("A nodule.", (box,)),))
    ask, point = Turn("human", "Where is the nodule?"), Turn("gpt", "At [0.10, 0.20, 0.30, 0.40].")
    good = [ask, point, *[Turn("human", "And the heart?"), Turn("gpt", "It looks normal.")] * 4]
    assert dialogue_faults(good, scene) == []

    def first(turns: list[Turn]) -> str:
        return dialogue_faults(turns, scene)[0].reason

    assert first(good[:6]) == "fewer than 5 or more than 10 rounds"
    assert first([*good[:-1], Turn("gpt", "The report says so.")]) == "the report is mentioned"
    assert first([*good[:-1], Turn("gpt", "It is unchanged.")]) == "comparison language is used"
    assert first([ask, Turn("gpt", "There."), *good[2:]]) == "a box of the annotation is missing"
    wrong = Turn("gpt", "At [0.10, 0.20, 0.30, 0.40] and [0.5, 0.5, 0.6, 0.6].")
    assert first([ask, wrong, *good[2:]]) == "a box that the annotation does not have"
    assert first([Turn("human", "Really?"), point, *good[2:]]) == "a box is given that nobody asked about"
