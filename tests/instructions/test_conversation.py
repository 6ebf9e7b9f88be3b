"""Dialogues are read in every form that programs write them in, and refused with a reason when they are none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from radvlm_cli.errors import DataError
from radvlm_cli.instructions.conversation import decode, encode, parse
from radvlm_cli.records import Turn

TURNS = (Turn("human", "What do you see?"), Turn("gpt", "A clear chest."))
LLAVA = [{"from": "human", "value": "What do you see?"}, {"from": "gpt", "value": "A clear chest."}]
MESSAGES = [{"role": "user", "content": "What do you see?"}, {"role": "assistant", "content": "A clear chest."}]


@pytest.mark.parametrize(
    "document", [LLAVA, MESSAGES, {"conversation": LLAVA}, {"conversations": MESSAGES, "id": "x"}], ids=str
)
def test_all_usual_forms_give_the_same_turns(document: Any) -> None:
    assert parse(document) == TURNS


@pytest.mark.parametrize("opening", ["<image>\nWhat do you see?", "<image> What do you see?", " What do you see?\n"])
def test_an_image_token_and_blanks_around_the_first_question_are_dropped(opening: str) -> None:
    assert parse([{"from": "human", "value": opening}, LLAVA[1]]) == TURNS


def human(text: Any) -> dict[str, Any]:
    return {"from": "human", "value": text}


def gpt(text: Any) -> dict[str, Any]:
    return {"from": "gpt", "value": text}


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (None, "not a list of at least two turns"),
        ("text", "not a list of at least two turns"),
        ({"turns": LLAVA}, "not a list of at least two turns"),
        ([], "not a list of at least two turns"),
        ([human("Q")], "not a list of at least two turns"),
        ([human("Q"), "A"], "a turn is not an object"),
        ([human("Q"), {"value": "A"}], "lacks its role or its text"),
        ([human("Q"), {"from": "gpt"}], "lacks its role or its text"),
        ([human("Q"), gpt(3)], "lacks its role or its text"),
        ([human("Q"), {"from": ["gpt"], "value": "A"}], "lacks its role or its text"),
        ([{"from": "system", "value": "S"}, human("Q")], "lacks its role or its text"),
        ([gpt("A"), human("Q")], "do not alternate"),
        ([human("Q"), human("Q")], "do not alternate"),
        ([human("Q"), gpt("A"), human("Q")], "the last question has no answer"),
        ([human("Q"), gpt(" \n")], "a turn is empty"),
        ([human("<image>\n"), gpt("A")], "a turn is empty"),
        ([human("Q"), gpt("A <image>")], "image token"),
        ([human("Q <image>"), gpt("A")], "image token"),
        ([human("Q"), gpt("A"), human("<image>\nQ"), gpt("A")], "image token"),
        (json.loads('[{"from": "human", "value": "\\ud83d"}, {"from": "gpt", "value": "A"}]'), "surrogate"),
    ],
    ids=str,
)
def test_what_is_no_dialogue_is_refused_with_a_reason(document: Any, reason: str) -> None:
    with pytest.raises(DataError, match=reason) as caught:
        parse(document)
    assert "A" not in caught.value.message.split()


def test_turns_survive_the_store() -> None:
    turns = (Turn("human", 'Is it "µ"?'), Turn("gpt", "Sí.\nIt is."))
    assert decode(encode(turns)) == turns
    assert encode(turns) == '[["human","Is it \\"µ\\"?"],["gpt","Sí.\\nIt is."]]'
