"""The golden data of tests/data/llava_onevision, as the tests of the data path use it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer

from finetuning.chat import Chat, Mask, Turn

FOLDER = Path(__file__).parent.parent / "data" / "llava_onevision"
CASES: dict[str, Any] = json.loads((FOLDER / "expected.json").read_text())["cases"]


@cache
def tokenizer() -> Tokenizer:
    """The tokenizer of the golden checkpoint, with the image and video tokens that the original code adds."""
    tokens = Tokenizer.from_file(str(FOLDER / "original" / "tokenizer.json"))
    tokens.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in ("<image>", "<video>")])
    return tokens


@cache
def chat(mask: Mask = "assistant") -> Chat:
    """The chat template over the golden tokenizer."""
    return Chat(tokenizer(), mask)


def turns(case: dict[str, Any]) -> tuple[Turn, ...]:
    """The conversation of a golden case."""
    return tuple(Turn(each["from"], each["value"]) for each in case["conversation"])
