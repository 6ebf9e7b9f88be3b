"""Damaged curated reports and dialogues: the one bad file is told, and its text is used no longer."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from tests.bad_input.conftest import Begin
from tests.bad_input.damage import Damage, become, dangling, folder, instead, nested, place, raw
from tests.bad_input.trial import differences

FILTERED = "MIMIC-CXR-JPG/filtered_reports/*.txt"
DIALOGUE = "MIMIC-CXR-JPG/conversations/train/standard/*.json"

Seen = dict[str, int]
_TEXT_GONE = {"curated_text gone": 1, "artifact gone": 1}
_DIALOGUE_GONE = {"conversation gone": 1, "artifact gone": 1}


def _dialogue_about_nobody(data: Path) -> None:
    place(data, DIALOGUE).with_name("nobody.json").write_bytes(_turns("Is it?", "It is."))


def _turns(*texts: str) -> bytes:
    return json.dumps([{"from": ("human", "gpt")[n % 2], "value": text} for n, text in enumerate(texts)]).encode()


DAMAGES: dict[str, tuple[str, Damage, int, Seen]] = {
    "a blank curated report": (
        "mimic",
        raw(FILTERED, become(b" \n")),
        4,
        _TEXT_GONE | {"failed: the file is empty": 1},
    ),
    "a curated report in Latin-1": (
        "mimic",
        raw(FILTERED, become(b"caf\xe9")),
        4,
        _TEXT_GONE | {"failed: the file is not UTF-8 text": 1},
    ),
    "a curated report of zeros": (
        "mimic",
        raw(FILTERED, become(bytes(300))),
        4,
        _TEXT_GONE | {"failed: the file holds zero bytes: a part of it is lost": 1},
    ),
    "a folder in place of a curated report": (
        "mimic",
        instead(FILTERED, folder),
        4,
        _TEXT_GONE | {"failed: the file cannot be read: Is a directory": 1},
    ),
    "a curated report that links to nowhere": (
        "mimic",
        instead(FILTERED, dangling),
        4,
        _TEXT_GONE | {"failed: the file cannot be read: No such file or directory": 1},
    ),
    "a dialogue that is no JSON": (
        "mimic",
        raw(DIALOGUE, become(b"{")),
        4,
        _DIALOGUE_GONE | {"failed: the file is not JSON": 1},
    ),
    "a dialogue too deep": ("mimic", raw(DIALOGUE, nested), 4, _DIALOGUE_GONE | {"failed: the file is not JSON": 1}),
    "a dialogue that is a very long number": (
        "mimic",
        raw(DIALOGUE, become(b"9" * 5000)),
        4,
        _DIALOGUE_GONE | {"failed: the file is not JSON": 1},
    ),
    "a dialogue without turns": (
        "mimic",
        raw(DIALOGUE, become(b"[]")),
        4,
        _DIALOGUE_GONE | {"failed: the dialogue is not a list of at least two turns": 1},
    ),
    "a dialogue without a last answer": (
        "mimic",
        raw(DIALOGUE, become(_turns("Is it?", "It is.", "And that?"))),
        4,
        _DIALOGUE_GONE | {"failed: the last question has no answer": 1},
    ),
    "a dialogue that does not alternate": (
        "mimic",
        raw(DIALOGUE, become(_turns("Is it?", "It is.").replace(b"gpt", b"human"))),
        4,
        _DIALOGUE_GONE | {"failed: the turns do not alternate, human first": 1},
    ),
    "a dialogue with a second image": (
        "mimic",
        raw(DIALOGUE, become(_turns("Is it?", "See <image>"))),
        4,
        _DIALOGUE_GONE | {"failed: an image token stands elsewhere than before the first question": 1},
    ),
    "a dialogue with half a character": (
        "mimic",
        raw(DIALOGUE, become(_turns("Is it?", "\ud800"))),
        4,
        _DIALOGUE_GONE | {"failed: a turn holds half of a surrogate pair": 1},
    ),
    "a dialogue about an unknown image": (
        "mimic",
        _dialogue_about_nobody,
        4,
        {"failed: its image is not in the dataset's tables": 1},
    ),
}


@pytest.mark.parametrize(("source", "damage", "code", "seen"), DAMAGES.values(), ids=DAMAGES)
def test_a_bad_item_is_told_and_the_others_go_on(
    begin: Begin, source: str, damage: Damage, code: int, seen: Seen
) -> None:
    trial, undamaged = begin(source)
    damage(trial.data)
    assert trial.prepare(source).code == code
    assert differences(undamaged, trial.content()) == Counter(seen)
    trial.mend()
    trial.prepare(source)
    assert not differences(undamaged, trial.content()), "the damage left something behind"
    damage(trial.data)
    trial.prepare(source)
    assert differences(undamaged, trial.content()) == Counter(seen), "a store with rows takes it otherwise"
