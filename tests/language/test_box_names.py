"""A box stands beside the name that the annotation gives it: by rules, reworded, two in a sentence; never swapped."""

import random
from itertools import permutations

import pytest

from radvlm_cli.language import Located, Scene
from radvlm_cli.language.dialogue import rule_dialogue
from radvlm_cli.language.dialogue_checks import dialogue_faults, quote_box
from radvlm_cli.records import Box, Turn

REASON = "a box is not beside the name of its finding"
PHRASES = {
    "Small right pleural effusion.": ("the effusion", "the pleural fluid", "the fluid on the right"),
    "The heart is mildly enlarged.": ("the enlarged heart", "the cardiomegaly", "the large heart shadow"),
    "14 mm nodule in the left upper lung": ("the nodule", "the small nodule", "the 14 mm nodule in the upper lobe"),
    "Displaced rib fracture": ("the rib fracture", "the fracture", "the broken rib"),
    "moderate right apical pneumothorax": ("the pneumothorax", "the collapsed lung", "the apical pneumothorax"),
    "Right PICC ends in the superior vena cava.": ("the PICC", "the central line", "the catheter"),
    "patchy left lower lung consolidation": ("the consolidation", "the patchy opacity", "the airspace opacity"),
    "Azygos fissure.": ("the azygos fissure", "the accessory fissure of the azygos vein"),
}  # fmt: skip
"""Phrase of an annotation -> what else people call it. No two of them name the same."""
BOXES = (Box(0.1, 0.2, 0.3, 0.4), Box(0.5, 0.5, 0.7, 0.8))
# {a} and {b} are the names, {x} and {y} the boxes of a and b.
TOGETHER = (
    ("Where are {a} and {b}?", "I see {a} at {x} and {b} at {y}."),
    ("Where are {a} and {b}?", "At {x} there is {a}, and at {y} {b}."),
    ("Where are {a} and {b}?", "They are at {x} and {y}, respectively."),
    ("Where are they?", "I see {a} and {b}, at {x} and {y}."),
    ("Please mark both.", "{x} ({a}); {y} ({b})."),
    ("Please mark what you see.", "- {a}: {x}\n- {b}: {y}"),
    ("Please mark what you see.", "1. {a}: {x}\n2. {b}: {y}"),
    ("Where exactly?", "Here is {a}: {x}. And here is {b}: {y}."),
    ("Where exactly?", "I would mark {a} at {x}, while {y} shows {b}."),
    ("Where exactly?", "You can see {a}. It is at {x}. There is also {b}. It lies at {y}."),
    ("Where exactly?", "{x} is where {a} lies; {b} lies below it, at {y}."),
    ("Where exactly?", "Next to {b} I would mark {a} at {x}. Then {b}: {y}."),
    ("Where exactly?", "{a}, just above {b}, is at {x}, and {b} itself at {y}."),
)
APART = (
    ("Where is {}?", "At {}."),
    ("Where is {}?", "It is at {}."),
    ("Could you point out {}?", "I see {name} at {}."),
    ("Is {} visible?", "Yes. It can be seen at {}."),
    ("And what about {}?", "You can find it here:\n{}"),
)


def dialogue(*rounds: tuple[str, str]) -> tuple[Turn, ...]:
    rounds += (("And the bones?", "They look normal."),) * (5 - len(rounds))
    return tuple(turn for q, a in rounds for turn in (Turn("human", q), Turn("gpt", a)))


def scene(*phrases: str) -> Scene:
    located = tuple(Located(phrase, (box,)) for phrase, box in zip(phrases, BOXES, strict=False))
    return Scene(" ".join(phrases), None, None, {}, located)


def reasons(turns: tuple[Turn, ...], told: Scene) -> set[str]:
    return {fault.reason for fault in dialogue_faults(turns, told)}


def capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def together(template: tuple[str, str], names: tuple[str, str], boxes: tuple[Box, ...]) -> tuple[Turn, ...]:
    words = {"a": names[0], "b": names[1], "x": quote_box(boxes[0]), "y": quote_box(boxes[1])}
    return dialogue(*[(template[0].format_map(words), capitalised(template[1].format_map(words)))])


@pytest.mark.parametrize("template", TOGETHER, ids=[answer for _question, answer in TOGETHER])
def test_two_findings_in_an_answer_pass_with_their_own_boxes_and_fail_with_swapped_ones(
    template: tuple[str, str],
) -> None:
    for pair in permutations(PHRASES, 2):
        told = scene(*pair)
        for names in zip(*(PHRASES[phrase] for phrase in pair), strict=False):
            assert REASON not in reasons(together(template, names, BOXES), told), (pair, names)
            assert REASON in reasons(together(template, names, BOXES[::-1]), told), (pair, names)


@pytest.mark.parametrize("template", APART, ids=[answer for _question, answer in APART])
def test_the_question_may_carry_the_name(template: tuple[str, str]) -> None:
    question, answer = template
    for pair in permutations(PHRASES, 2):
        told = scene(*pair)
        for names in zip(*(PHRASES[phrase] for phrase in pair), strict=False):
            for boxes, is_right in ((BOXES, True), (BOXES[::-1], False)):
                rounds = [
                    (question.format(name), answer.format(quote_box(box), name=name))
                    for name, box in zip(names, boxes, strict=True)
                ]
                assert (REASON in reasons(dialogue(*rounds), told)) is not is_right, (pair, names)


def test_dialogues_by_rules_pass_and_fail_with_swapped_boxes() -> None:
    rng, met = random.Random(0), 0
    for number in range(300):
        one, other = rng.sample(sorted(PHRASES), 2)
        told, swapped = scene(one, other), scene(other, one)
        turns = rule_dialogue(told, str(number))
        assert dialogue_faults(turns, told) == []
        met += REASON in reasons(turns, swapped)
    assert met == 300


def test_a_name_from_the_round_before_is_enough() -> None:
    rounds = [("Is there an effusion?", "Yes, a small one."), ("Where?", f"At {quote_box(BOXES[0])}.")]
    assert REASON not in reasons(dialogue(*rounds), scene("Small right pleural effusion."))
    assert REASON in reasons(dialogue(rounds[1]), scene("Small right pleural effusion."))


def test_a_name_that_is_the_place_of_another_is_not_taken_for_the_box_s_own() -> None:
    told = scene("Small right pleural effusion.", "14 mm nodule in the left upper lung")
    first, second = map(quote_box, BOXES)
    nodule = ("And the nodule?", f"It is at {second}.")
    question = "Where is the effusion?"
    assert REASON not in reasons(dialogue((question, f"Just below the nodule, at {first}."), nodule), told)
    wrong = dialogue((question, f"The nodule is at {first}."), nodule)
    assert REASON in reasons(wrong, told)


def test_the_side_tells_findings_of_one_name_apart() -> None:
    told = scene("Right pleural effusion.", "Left pleural effusion.")
    right, left = map(quote_box, BOXES)
    answer = "The effusion on the right is at {}, the one on the left, a larger effusion, at {}."
    assert REASON not in reasons(dialogue(("Where are the effusions?", answer.format(right, left))), told)
    assert REASON in reasons(dialogue(("Where are the effusions?", answer.format(left, right))), told)


def test_words_that_two_findings_share_tell_nothing() -> None:
    told = scene("Small pleural effusion.", "Apical pleural thickening.")
    first, second = map(quote_box, BOXES)
    right = ("Where?", f"The pleural effusion is at {first}, the pleural thickening at {second}.")
    wrong = ("Where?", f"The pleural effusion is at {second}, the pleural thickening at {first}.")
    assert REASON not in reasons(dialogue(right), told)
    assert REASON in reasons(dialogue(wrong), told)


def test_several_boxes_share_a_name_and_a_box_may_have_two() -> None:
    effusion, nodule = "Bilateral pleural effusions.", "Nodule."
    both = (Located(effusion, BOXES), Located(nodule, BOXES[:1]))
    first, second = map(quote_box, BOXES)
    told = Scene("", None, None, {}, both)
    rounds = [("Where are the effusions?", f"At {first} and {second}."), ("And the nodule?", f"At {first}.")]
    assert REASON not in reasons(dialogue(*rounds), told)
    assert REASON in reasons(dialogue(rounds[0], ("And the nodule?", f"At {second}.")), told)


def test_a_phrase_without_a_name_is_passed_over() -> None:
    for phrase in ("Seen on the right.", "as stated in the report", "[0.1, 0.2]"):
        assert REASON not in reasons(dialogue(("Where?", f"At {quote_box(BOXES[0])}.")), scene(phrase))


def test_the_fault_says_what_each_box_is_of() -> None:
    told = scene("Small right pleural effusion.")
    turns = dialogue(("Where is the nodule?", f"The nodule is at {quote_box(BOXES[0])}."))
    (fault,) = dialogue_faults(turns, told)
    assert fault == (REASON, "[0.10, 0.20, 0.30, 0.40] is of `Small right pleural effusion.`")
