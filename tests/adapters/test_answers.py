"""The answer within what a model says."""

from __future__ import annotations

import random
import time

import pytest

from radvlm_cli.adapters.answers import EXTRACTORS, extract
from radvlm_cli.errors import ConfigError


@pytest.mark.parametrize(
    ("name", "text", "answer", "missing"),
    [
        ("whole", " Normal.\n", "Normal.", False),
        ("think", "<think>Hm.</think>\n Normal.", "Normal.", False),
        ("think", "a</think>b</think>c", "c", False),
        ("think", "<think>Hm, and then", "<think>Hm, and then", True),
        ("answer", "<think>x</think><answer> Yes </answer>", "Yes", False),
        ("answer", "<answer>No</answer> or <ANSWER>Yes</ANSWER>", "Yes", False),
        ("answer", "<answer>cut <answer>Yes</answer>", "Yes", False),
        ("answer", "<answer>Yes", "<answer>Yes", True),
        ("boxed", r"So \boxed{No} or \boxed{\text{Yes, {really}}}.", r"\text{Yes, {really}}", False),
        ("boxed", r"\boxed{a \boxed{b}}", r"a \boxed{b}", False),
        ("boxed", r"\boxed{a \} b}", r"a \} b", False),
        ("boxed", r"} \boxed{a} \boxed{b", "a", False),
        ("boxed", r"\boxed{cut", r"\boxed{cut", True),
        ("think+boxed", r"<think>\boxed{x}</think> It is \boxed{y}", "y", False),
        ("think+boxed", r"<think>x</think> none", "none", True),
    ],
)
def test_answers_are_taken_out(name: str, text: str, answer: str, missing: bool) -> None:
    assert extract(name, text) == (answer, missing)


@pytest.mark.parametrize("name", EXTRACTORS)
def test_no_text_makes_an_extractor_raise(name: str) -> None:
    rng = random.Random(name)
    pieces = ["<think>", "</think>", "<answer>", "</answer>", r"\boxed{", "{", "}", "\\", " ", "text", "\x00"]
    for _ in range(2000):
        extract(name, "".join(rng.choices(pieces, k=rng.randint(0, 20))))


@pytest.mark.parametrize("name", EXTRACTORS)
def test_a_long_text_takes_no_time(name: str) -> None:
    begun = time.process_time()
    for piece in ("<answer>", r"\boxed{", r"\boxed ", "{", "</think>", "x"):
        extract(name, piece * (100_000 // len(piece)))
    assert time.process_time() - begun < 3


def test_an_unknown_extractor_is_named() -> None:
    with pytest.raises(ConfigError, match="boxed"):
        extract("think+box", "")
