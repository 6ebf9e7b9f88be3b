"""Each task puts its record into words: the answer says all of it, the question none."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import product

import pytest

from radvlm_cli.hashing import keyed_number
from radvlm_cli.instructions import (
    abnormality_detection,
    abnormality_grounding,
    anatomical_grounding,
    classification,
    phrase_grounding,
    report_generation,
)
from radvlm_cli.instructions.names import within_sentence
from radvlm_cli.records import Turn

ONE = [[0.1, 0.2, 0.3, 0.4]]
TWO = [[0.1, 0.2, 0.3, 0.4], [0.5, 0.55, 0.6, 0.65]]
ALL_NUMBERS = [question | answer << 16 for question, answer in product(range(20), range(8))]
"""Numbers that reach every question and every answer."""

Instruct = Callable[[int], tuple[Turn, Turn]]
TASKS: dict[str, Instruct] = {
    "report": lambda number: report_generation.instruct("The lungs are clear.", number),
    "classification": lambda number: classification.instruct(("Edema", "Pleural Effusion"), number),
    "classification none": lambda number: classification.instruct((), number),
    "region": lambda number: anatomical_grounding.instruct("left lung", ONE, number),
    "abnormality": lambda number: abnormality_grounding.instruct("Pleural effusion", ONE, number),
    "abnormality twice": lambda number: abnormality_grounding.instruct("Pleural effusion", TWO, number),
    "detection": lambda number: abnormality_detection.instruct([("ILD", ONE), ("Rib fracture", TWO)], number),
    "detection none": lambda number: abnormality_detection.instruct([], number),
    "phrase": lambda number: phrase_grounding.instruct("Small left effusion.", ONE, number),
    "phrase twice": lambda number: phrase_grounding.instruct("Small left effusion.", TWO, number),
}


@pytest.mark.parametrize("task", TASKS)
class TestEveryTask:
    def test_human_asks_and_gpt_answers(self, task: str) -> None:
        question, answer = TASKS[task](7)
        assert (question.role, answer.role) == ("human", "gpt")

    def test_the_same_number_gives_the_same_words(self, task: str) -> None:
        assert TASKS[task](2**63 + 5) == TASKS[task](2**63 + 5)

    def test_all_questions_come_up_about_equally_often(self, task: str) -> None:
        asked = [TASKS[task](keyed_number(0, "c", str(key), 0))[0] for key in range(4_000)]
        counts = [asked.count(question) for question in set(asked)]
        assert len(counts) == 20
        assert min(counts) > 120  # 200 expected; five standard deviations are 69

    def test_question_and_answer_are_chosen_apart(self, task: str) -> None:
        said = {TASKS[task](number) for number in ALL_NUMBERS}
        assert len(said) == len({q for q, _ in said}) * len({a for _, a in said})

    def test_bits_above_the_40th_are_free_for_the_caller(self, task: str) -> None:
        if task != "report":
            assert TASKS[task](12345) == TASKS[task](12345 | 0xABCDEF << 40)

    def test_no_placeholder_or_doubled_stop_is_left(self, task: str) -> None:
        for number in ALL_NUMBERS:
            for turn in TASKS[task](number):
                assert not re.search(r"[{}]|\.\.|\. \.|  ", turn.text)

    def test_the_question_holds_no_box(self, task: str) -> None:
        assert not any(re.search(r"\d", TASKS[task](number)[0].text) for number in ALL_NUMBERS)


def answers(task: str) -> list[str]:
    return [TASKS[task](number)[1].text for number in ALL_NUMBERS]


def questions(task: str) -> list[str]:
    return [TASKS[task](number)[0].text for number in ALL_NUMBERS]


def test_a_report_is_answered_as_it_is() -> None:
    assert set(answers("report")) == {"The lungs are clear."}


def test_classification_names_every_finding_in_running_text() -> None:
    assert all("edema and pleural effusion" in answer for answer in answers("classification"))
    said = classification.instruct(("Edema", "Fracture", "Support Devices"), 0)[1].text
    assert "edema, fracture and support devices" in said


def test_nothing_found_is_said_without_naming_a_finding() -> None:
    for answer in answers("classification none") + answers("detection none"):
        assert re.search(r"\b(no|not|none|nothing|negative)\b", answer.lower())


def test_classification_questions_do_not_depend_on_the_answer() -> None:
    assert questions("classification") == questions("classification none")
    assert questions("detection") == questions("detection none")


@pytest.mark.parametrize(
    ("task", "boxes"),
    [
        ("region", "[0.10, 0.20, 0.30, 0.40]"),
        ("abnormality", "[0.10, 0.20, 0.30, 0.40]"),
        ("abnormality twice", "[0.10, 0.20, 0.30, 0.40] and [0.50, 0.55, 0.60, 0.65]"),
        ("phrase", "[0.10, 0.20, 0.30, 0.40]"),
        ("phrase twice", "[0.10, 0.20, 0.30, 0.40] and [0.50, 0.55, 0.60, 0.65]"),
    ],
)
def test_every_grounding_answer_says_all_boxes_once(task: str, boxes: str) -> None:
    for answer in answers(task):
        assert boxes in answer
        assert answer.count("[") == boxes.count("[")


@pytest.mark.parametrize(("task", "name"), [("region", "left lung"), ("abnormality", "pleural effusion")])
def test_every_grounding_names_what_it_is_about(task: str, name: str) -> None:
    assert all(name in text for text in questions(task) + answers(task))


def test_several_boxes_are_spoken_of_in_the_plural() -> None:
    singular = re.compile(r"\b(box|area|region|location) (of|for|that|showing|with|is|lies)\b")
    assert [
        text for text in answers("abnormality twice") + answers("phrase twice") if singular.search(text.lower())
    ] == []


def test_the_superior_vena_cava_is_spelt_out() -> None:
    question, answer = anatomical_grounding.instruct("svc", ONE, 3)
    assert "superior vena cava" in question.text
    assert "superior vena cava" in answer.text


def test_detection_says_each_label_with_its_own_boxes() -> None:
    for answer in answers("detection"):
        assert "ILD at [0.10, 0.20, 0.30, 0.40]; rib fracture at [0.10, 0.20, 0.30, 0.40] and [0.50" in answer


@pytest.mark.parametrize(
    ("phrase", "quoted"),
    [
        ("Small left effusion.", '"Small left effusion"'),
        (" Small  left\neffusion. ", '"Small left effusion"'),
        ('So-called "white" lung.', "\"So-called 'white' lung\""),
        ("Small left effusion . ", '"Small left effusion"'),
        ("Nodule of 1.5 cm", '"Nodule of 1.5 cm"'),
    ],
)
def test_a_phrase_is_quoted_on_one_line_without_its_full_stop(phrase: str, quoted: str) -> None:
    for number in range(20):
        assert quoted in phrase_grounding.instruct(phrase, ONE, number)[0].text


@pytest.mark.parametrize(
    ("name", "inside"),
    [
        ("Pleural effusion", "pleural effusion"),
        ("Lung Opacity", "lung opacity"),
        ("ILD", "ILD"),
        ("COPD", "COPD"),
        ("Enlarged PA", "enlarged PA"),
        ("Nodule/Mass", "nodule/mass"),
        ("Other lesion", "other lesion"),
    ],
)
def test_names_lose_their_capital_inside_a_sentence_but_acronyms_do_not(name: str, inside: str) -> None:
    assert within_sentence(name) == inside
