"""Answers in which a model declines to answer."""

from __future__ import annotations

import re

_LONGEST = 600
"""Characters: who goes on for longer has answered, whatever was said first."""
_REFUSALS = re.compile(
    r"\b(?:i\s*(?:'m|am)\s+(?:sorry|unable|not able|not qualified)"
    r"|(?:can(?:no|')?t|can not|unable to|not able to|won't)\s+"
    r"(?:provide|interpret|diagnos\w+|help|assist|analy[sz]e|give|read|comment|offer)|as an ai\b)",
    re.IGNORECASE,
)


def refuses(text: str) -> bool:
    """Whether a text declines to answer. To be asked of a text in which no finding and no box was found.

    "I cannot see a pneumothorax" is an answer.
    """
    return len(text) <= _LONGEST and _REFUSALS.search(text.replace("\u2019", "'")) is not None
