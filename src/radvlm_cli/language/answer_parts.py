"""The part of a model's answer that answers: without its thinking, the question that it repeats, and its advice."""

from __future__ import annotations

import re

_THOUGHT_END = re.compile(r"</think(?:ing)?>", re.IGNORECASE)
_THOUGHT = re.compile(r"<think(?:ing)?>", re.IGNORECASE)
_TAGGED = re.compile(r"<answer>(.*?)(?:</answer>|\Z)", re.IGNORECASE | re.DOTALL)
_BOXED = re.compile(r"\\boxed\{")
_MARKER = re.compile(
    r"(?:^|[\n.!?;>]|\*\*|(?<=,))\s*(?:(?:so|thus|therefore|hence),?\s+)?(?:the\s+|my\s+)?"
    r"(?:(?:final|correct|chosen|best)\s+)?(?:answers?|selected|selection|conclusion|prediction)"
    r"(?:\s+(?:is|are|would be))?\s*(?:\*\*)?\s*[:=]\s*(?:\*\*)?"
    r"|\bthe (?:final |correct |right )?answer (?:is|would be)\b",
    re.IGNORECASE,
)


def answer_span(text: str) -> tuple[int, int]:
    """Where the answer starts and ends: after the thinking, within `<answer>` or `\\boxed{}`, after `Final answer:`.

    Thinking that does not end is no answer: an empty span at the end of the text.
    """
    start, end = 0, len(text)
    for thought in _THOUGHT_END.finditer(text):
        start = thought.end()
    if _THOUGHT.search(text, start):
        return end, end
    for tagged in _TAGGED.finditer(text, start):
        start, end = tagged.span(1)
    boxes = list(_BOXED.finditer(text, start, end))
    if boxes:
        return boxes[-1].end(), _closing(text, boxes[-1].end(), end)
    for marker in _MARKER.finditer(text, start, end):
        if any(map(str.isalnum, text[marker.end() : end])):
            start = marker.end()
    return start, end


def _closing(text: str, start: int, end: int) -> int:
    depth = 1
    for place in range(start, end):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if not depth:
            return place
    return end


_LEADS = r"(?:options?|choices|choices given|candidates?|possible (?:labels|answers|findings)|question|labels to choose from)"
_ASIDES = tuple(
    re.compile(pattern, re.IGNORECASE | re.MULTILINE)
    for pattern in (
        # what the question said
        rf"^\W*{_LEADS}\s*:[^\n.]*(?:[.\n]|\Z)",
        rf"(?<=[.?!]\s){_LEADS}\s*:[^\n.]*(?:[.\n]|\Z)",
        r"\b(?:which|what|is there|are there|could|do you|does|can you)\b[^.?!\n]*\?",
        r"\byou (?:asked|mentioned|listed|want|gave)[^.?!\n]*[.?!\n]",
        r"\b(?:the user|the question|the request) (?:wants|asks|mentions|lists|is about)[^.?!\n]*[.?!\n]",
        r"\b(?:from|out of|among|of|given|going through|considering)\s+(?:the\s+)?(?:listed\s+)?"
        r"(?:options|choices|candidates|list(?: of)?|labels|conditions)[^.?!\n:]*?"
        r"(?:,\s*(?=(?:only|none|just|the|i|we|this|it|there)\b)|:\s)",
        r"^\W*(?:out of|among)\b[^.?!\n]*?,\s*(?=(?:only|none|just|the|i|we|this|it|there)\b)",
        r"\b\w+ (?:is|are|was|were) (?:mentioned|listed|named|asked about) in the (?:request|question|prompt|list)\b",
        # what is not about this image
        r"\b(?:history|h/o) of [^.,;\n]*",
        r"\bpatients? (?:with|has|having) (?:a )?known [^.;\n]*",
        r"\b(?:previous|prior|past|former) (?:pneumonia|pneumothorax|effusion|infection|episode|surgery)\w*",
        r"[^.!?\n;]*\b(?:recommended|advised|should be (?:performed|done|considered)|please consult|consult (?:a|your)"
        r"|see a doctor|seek medical|treatment|(?:hope|let me know))\b[^.!?\n;]*",
        r"\bif you (?:have|feel|experience|need|would)[^.!?\n]*",
        r"[^.!?\n]*\bis air in the pleural space\b",
        r"\b(?:as an ai|i'?m an ai|i am an ai)[^.,\n]*?,\s*(?:but\s)?",
    )
)


def without_asides(text: str) -> str:
    """Blank what repeats the question, tells the patient's history, or gives advice; places stay as they are.

    Where nothing else would be left, all stays: `Options: pleural effusion` is an answer after all.
    """
    left = text
    for aside in _ASIDES:
        left = aside.sub(lambda match: " " * len(match[0]), left)
    return left if any(map(str.isalpha, left)) else text
