"""Sentences of reports as they are dictated, typed and de-identified."""

from __future__ import annotations

import pytest

from radvlm_cli.language.sentences import split_sentences, stretches


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        pytest.param("Clear lungs.  No\n effusion.", ["Clear lungs.", "No effusion."], id="white space"),
        pytest.param("Told to Dr. X. Clear.", ["Told to Dr. X. Clear."], id="title and initial"),
        pytest.param("Seen by Dr. J. Smith today. Clear.", ["Seen by Dr. J. Smith today.", "Clear."], id="initial"),
        pytest.param("Nodule of 2.5 cm. Scar.", ["Nodule of 2.5 cm.", "Scar."], id="decimal"),
        pytest.param("1. Scar. 2. No edema.", ["Scar.", "No edema."], id="numbered"),
        pytest.param("1. Scar\n2. No edema", ["Scar", "No edema"], id="numbered lines without stops"),
        pytest.param("1) Scar. 2) Edema.", ["Scar.", "Edema."], id="numbers in brackets"),
        pytest.param("Line, e.g. a PICC. Clear.", ["Line, e.g. a PICC.", "Clear."], id="abbreviation"),
        pytest.param("THE HEART IS LARGE. NO EDEMA.", ["THE HEART IS LARGE.", "NO EDEMA."], id="capitals"),
        pytest.param("Lungs clear.The heart is large.", ["Lungs clear.", "The heart is large."], id="blank forgotten"),
        pytest.param("CLEAR.THE HEART.2. NO EDEMA.", ["CLEAR.", "THE HEART.", "NO EDEMA."], id="forgotten in capitals"),
        pytest.param("Since ___. No XXXX. XXXX.", ["Since ___.", "No XXXX.", "XXXX."], id="de-identified"),
        pytest.param("- scar\n- mild\n  edema\n\u2022 clear", ["scar", "mild edema", "clear"], id="bullets"),
        pytest.param("No effusion\n \nScar", ["No effusion", "Scar"], id="paragraphs"),
        pytest.param("no effusion. heart is large", ["no effusion.", "heart is large"], id="lower case"),
        pytest.param("Called at 9 a.m. by phone. Clear.", ["Called at 9 a.m. by phone.", "Clear."], id="clock"),
        pytest.param("Opacity (? pneumonia). Scar?", ["Opacity (? pneumonia).", "Scar?"], id="query"),
        pytest.param("Fracture of T12. Scar.", ["Fracture of T12.", "Scar."], id="number before the stop"),
        pytest.param("Clear. . ", ["Clear."], id="stray stops"),
        pytest.param(" \n", [], id="blank"),
    ],
)
def test_reports_are_split_into_sentences(text: str, sentences: list[str]) -> None:
    assert split_sentences(text) == sentences


def test_a_sentence_is_not_split_further() -> None:
    for sentence in split_sentences("1. Nodule of 2.5 cm (e.g. granuloma). 2. No edema. XXXX at T12."):
        assert split_sentences(sentence) == [sentence]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \n", []),
        ("No effusion", [(0, "No effusion")]),
        (" A 1.2 cm nodule.  Heart: normal", [(1, "A 1.2 cm nodule."), (19, "Heart:"), (26, "normal")]),
        ("Old scar;no edema", [(0, "Old scar;"), (9, "no edema")]),
        ("Clear.The heart?!", [(0, "Clear."), (6, "The heart?"), (16, "!")]),
    ],
)
def test_stretches_end_at_stops_and_keep_their_places(text: str, expected: list[tuple[int, str]]) -> None:
    assert list(stretches(text)) == expected
    assert all(text[start : start + len(words)] == words for start, words in stretches(text))
