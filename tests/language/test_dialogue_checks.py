"""What every dialogue must pass, whoever wrote it."""

import pytest

from radvlm_cli.language import Located, Scene
from radvlm_cli.language.dialogue_checks import dialogue_faults, has_coordinates, quote_box
from radvlm_cli.records import Box, Turn

STANDARD = Scene("The heart is enlarged.", "PA", None, {})
GROUNDED = Scene(
    "Small right pleural effusion. A nodule is seen.",
    "PA",
    None,
    {},
    (
        Located("Small right pleural effusion.", (Box(0.12, 0.3, 0.4501, 0.6099),)),
        Located("A nodule is seen.", (Box(0.5, 0.5, 0.6, 0.6), Box(0.7, 0.5, 0.8, 0.6))),
    ),
)
SMALL_TALK = ("And the heart?", "It looks normal.")
EFFUSION = ("Where is the effusion?", "It is at [0.12, 0.30, 0.45, 0.61].")
NAMED = "The effusion is at [0.12, 0.30, 0.45, 0.61]."
NODULE = ("Please mark the nodule.", "Here: [0.50, 0.50, 0.60, 0.60] and [0.70, 0.50, 0.80, 0.60].")


def dialogue(*rounds: tuple[str, str], count: int = 5) -> tuple[Turn, ...]:
    rounds += (SMALL_TALK,) * (count - len(rounds))
    return tuple(turn for q, a in rounds for turn in (Turn("human", q), Turn("gpt", a)))


def reasons(turns: tuple[Turn, ...], scene: Scene) -> list[str]:
    return [fault.reason for fault in dialogue_faults(turns, scene)]


@pytest.mark.parametrize("count", [5, 10])
def test_five_to_ten_rounds_pass(count: int) -> None:
    assert reasons(dialogue(count=count), STANDARD) == []


@pytest.mark.parametrize("count", [0, 1, 4, 11])
def test_fewer_and_more_rounds_do_not(count: int) -> None:
    assert reasons(dialogue(count=count), STANDARD) == ["fewer than 5 or more than 10 rounds"]


@pytest.mark.parametrize(
    "turns", [dialogue()[1:], dialogue()[:-1], (*dialogue(), *dialogue()[::-1])], ids=["gpt first", "open", "twice"]
)
def test_turns_that_do_not_alternate_are_found(turns: tuple[Turn, ...]) -> None:
    assert reasons(turns, STANDARD) == ["the turns do not alternate, human first"]


def test_an_empty_turn_is_found() -> None:
    assert reasons(dialogue(("And the lungs?", " \n")), STANDARD) == ["a turn is empty"]


@pytest.mark.parametrize(
    "answer", ["The effusion is unchanged.", "A new opacity.", "It was previously smaller.", "No interval change."]
)
def test_a_comparison_is_found_in_questions_and_answers(answer: str) -> None:
    assert reasons(dialogue(("And the lungs?", answer)), STANDARD) == ["comparison language is used"]
    assert reasons(dialogue((answer, "I see.")), STANDARD) == ["comparison language is used"]


@pytest.mark.parametrize(
    "text",
    [
        "The report says so.",
        "It was reported.",
        "According to what I have, yes.",
        "As described, it is large.",
        "As stated, it is large.",
        "This is documented.",
        "As mentioned in the impression.",
        "The description names it.",
        "Based on the provided information, no.",
        "The information given does not tell.",
        "The labels are clear on that.",
        "The label is positive.",
        "It is labelled as present.",
        "It is in the list of findings.",
        "It is listed.",
        "The text does not say.",
        "See the findings section.",
        "The impression mentions it.",
        "The radiologist wrote that down.",
        "The annotation has it there.",
    ],
)
def test_where_the_writer_knows_it_from_may_not_be_told(text: str) -> None:
    assert reasons(dialogue(("And the lungs?", text)), STANDARD) == ["the report is mentioned"]


@pytest.mark.parametrize(
    "text",
    [
        "Could you give me a description of the heart?",
        "Can you describe the lungs?",
        "The X-ray gives no information about that.",
        "As mentioned, the heart is large.",
        "A radiologist should look at it.",
        "This is the text-book example.",
        "A side label is visible.",
        "My impression is that the lungs are clear.",
        "Follow-up may be needed.",
        "Chest tubes x2 are in place.",
        "It measures 2.5 cm, and the other 1.5 cm.",
        "The PICC ends in the SVC [1].",
    ],
)
def test_what_people_say_in_a_conversation_passes(text: str) -> None:
    assert reasons(dialogue((text, "I see."), ("And the lungs?", text)), STANDARD) == []


@pytest.mark.parametrize(
    "text", ["<image> It is large.", "```json", "**Large.**", "<|im_end|>", "# Heart", "<b>large</b>", "[see](x)"]
)
def test_image_tokens_and_markup_are_found(text: str) -> None:
    assert reasons(dialogue(("And the lungs?", text)), STANDARD) == ["an image token or markup is used"]


@pytest.mark.parametrize(
    "text",
    [
        "At [0.12, 0.30, 0.45, 0.61].",
        "At [0.12,0.3].",
        "At (0.12, 0.30, 0.45, 0.61).",
        "At [0.12 0.30 0.45 0.61].",
        "At 0.12, 0.30, 0.45, 0.61.",
        "At x_min 0.12.",
        "At x1=0.12.",
    ],
)
def test_a_standard_dialogue_has_no_coordinates(text: str) -> None:
    assert has_coordinates(text)
    assert reasons(dialogue(("Where?", text)), STANDARD) == ["coordinates in a dialogue without boxes"]
    assert "coordinates in a question" in reasons(dialogue((text, "Yes.")), STANDARD)


@pytest.mark.parametrize(
    "answer", ["It is at [.12,0.3, .45 , 0.61].", "[ 0.12, 0.30, 0.45, 0.61 ]", "[[0.12, 0.30, 0.45, 0.61]]"]
)
def test_blanks_and_trailing_zeros_do_not_matter(answer: str) -> None:
    assert reasons(dialogue(EFFUSION, NODULE), GROUNDED) == []
    assert reasons(dialogue(("Where is the effusion?", answer), NODULE), GROUNDED) == []


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ("Right there.", ["a box of the annotation is missing"]),
        (
            "[0.12, 0.30, 0.45, 0.61] and [0.1, 0.1, 0.2, 0.2]",
            ["a box that the annotation does not have"],
        ),
        (
            "[0.124, 0.30, 0.45, 0.61]",
            ["a box of the annotation is missing", "a box that the annotation does not have"],
        ),
        (
            "[0.12, 0.30, 0.45]",
            ["a box of the annotation is missing", "a box that the annotation does not have"],
        ),
        (
            "(0.12, 0.30, 0.45, 0.61)",
            ["coordinates that are not four numbers in brackets", "a box of the annotation is missing"],
        ),
    ],
    ids=["missing", "invented", "three decimals", "three numbers", "parentheses"],
)
def test_the_boxes_are_exactly_the_annotation_s(answer: str, found: list[str]) -> None:
    assert reasons(dialogue(("Where is the effusion?", answer), NODULE), GROUNDED) == found


def test_a_box_in_a_question_counts_as_neither_asked_nor_given() -> None:
    turns = dialogue(("What is at [0.12, 0.30, 0.45, 0.61]?", "The effusion."), NODULE)
    assert reasons(turns, GROUNDED) == ["coordinates in a question", "a box of the annotation is missing"]


@pytest.mark.parametrize(
    "question",
    ["Where?", "Show me.", "Can you pinpoint it?", "Which lobe is it in?", "Its position?", "Is there an effusion?",
     "What about the fluid, the effusions?", "Circle it, please.", "Give me the coordinates."],
)  # fmt: skip
def test_whoever_asks_for_a_place_or_names_the_finding_may_be_given_its_box(question: str) -> None:
    assert reasons(dialogue((question, NAMED), NODULE), GROUNDED) == []


@pytest.mark.parametrize(
    "question", ["And the heart?", "What does the image show?", "Is there a nodule?", "Is the right lung small?"]
)
def test_whoever_asks_for_something_else_may_not(question: str) -> None:
    assert reasons(dialogue((question, NAMED), NODULE), GROUNDED) == ["a box is given that nobody asked about"]


def test_a_finding_that_the_lexicon_does_not_know_is_named_by_its_words() -> None:
    scene = Scene("", None, None, {}, (Located("Azygos fissure.", (Box(0.1, 0.2, 0.3, 0.4),)),))
    assert reasons(dialogue(("Any fissures?", "Yes: [0.10, 0.20, 0.30, 0.40].")), scene) == []


def test_words_at_fault_are_told_apart_from_the_reason() -> None:
    faults = dialogue_faults(dialogue(("Where?", "As reported: [0.9, 0.9, 1, 1]."), NODULE), GROUNDED)
    assert [tuple(fault) for fault in faults] == [
        ("the report is mentioned", "reported"),
        ("a box of the annotation is missing", "[0.12, 0.30, 0.45, 0.61]"),
        ("a box that the annotation does not have", "[0.90, 0.90, 1.00, 1.00]"),
    ]


def test_boxes_that_collide_or_shrink_to_a_line_count_as_they_are_quoted() -> None:
    line, twin = Box(0.1, 0.2, 0.1004, 0.3), Box(0.1001, 0.2, 0.1003, 0.3)
    assert quote_box(line) == quote_box(twin) == "[0.10, 0.20, 0.10, 0.30]"
    scene = Scene("", None, None, {}, (Located("Catheter.", (line, twin)),))
    assert reasons(dialogue(("Where is the catheter?", quote_box(line))), scene) == []
