"""Answers in which a model declines to answer."""

from __future__ import annotations

import re

_LONGEST = 600
"""Characters: who goes on for longer has answered, whatever was said first."""
_CANNOT = r"(?:can(?:no|')?t|can\u2019t|cannot|(?:am|'m|\u2019m)? ?(?:unable|not able) to|won(?:'|\u2019)t)"
_DO = (
    r"(?:assist|help|comply|fulfil+|interpret|analy[sz]e|diagnos|process|view|access|open|evaluate|read|provide (?:an? |any )?"
    r"(?:\w+ )?(?:medical|diagnos|interpretation|report|analysis|advice|answer|assessment|information))"
)
_REFUSALS = re.compile(
    rf"\bI(?: am|'m|\u2019m)? {_CANNOT} (?:\w+ ){{0,2}}{_DO}"
    r"|\bI(?: am|'m|\u2019m) (?:very |really |so )?sorry\b|\bI apologi[sz]e\b|\bas an? (?:AI|artificial|large language|language)\b"
    r"|\bI(?: am|'m|\u2019m) (?:just |only )?an? (?:AI|artificial|language model|(?:text|chat)[- ]?bot)\b"
    r"|\bI(?: am|'m|\u2019m) not (?:a|able to act as a|qualified|licen[sc]ed)\b.{0,20}\b(?:doctor|physician|radiologist|professional|to)\b"
    r"|\bno image (?:was|has been|is) (?:provided|attached|uploaded|included)\b"
    r"|\b(?:please|kindly) (?:upload|attach|provide|share) (?:the|an?|your) (?:image|x-?ray|picture|radiograph)\b",
    re.IGNORECASE | re.DOTALL,
)


def refuses(text: str) -> bool:
    """Whether a text declines to answer. "I cannot see a pneumothorax" is an answer."""
    return len(text) <= _LONGEST and _REFUSALS.search(text) is not None
