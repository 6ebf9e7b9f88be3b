"""Answers in which a model declines to answer."""

from __future__ import annotations

import re

_LONGEST = 600
"""Characters: who goes on for longer has answered, whatever was said first."""
_AM = r"(?: am|'m)"
_CANNOT = rf"(?:{_AM}? (?:unable|not able) to| cannot| can't| can not| won't)"
_WHAT = r"(?:medical|diagnos|interpret|report|analys|advice|answer|assess)"
_GIVE = rf"(?:provide|give|offer|make) (?:an? |any |you )*(?:\w+ )?{_WHAT}"
_DO = rf"(?:assist|help|comply|fulfil|interpret|analy[sz]e|diagnos|process|view|access|open|evaluate|read|{_GIVE})"
_NO_EXPERT = (
    rf"{_AM} not (?:an? |able to act as an? |qualified|licen[sc]ed).{{0,20}}\b(?:doctor|physician|radiologist|to)\b"
)
_WORDS = (
    rf"\bI{_CANNOT} (?:\w+ ){{0,2}}{_DO}",
    rf"\bI(?:{_AM} (?:very |really |so )?sorry| apologi[sz]e)\b",
    rf"\bI(?:{_AM} (?:just |only )?an? (?:AI|artificial|language model|chat ?bot)|{_NO_EXPERT})",
    r"\bas an? (?:AI|artificial|large language|language model)\b",
    r"\bno image (?:was|has been|is) (?:provided|attached|uploaded|included)\b",
    r"\bplease (?:upload|attach|provide|share) (?:the|an?|your) (?:image|x-?ray|picture|radiograph)\b",
)
_REFUSALS = re.compile("|".join(_WORDS), re.IGNORECASE | re.DOTALL)


def refuses(text: str) -> bool:
    """Whether a text declines to answer. "I cannot see a pneumothorax" is an answer."""
    return len(text) <= _LONGEST and _REFUSALS.search(text.replace("\u2019", "'")) is not None
