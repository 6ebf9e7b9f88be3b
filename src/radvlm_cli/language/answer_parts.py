"""The part of a model's answer that answers: without its thinking, the question that it repeats, and its advice."""

from __future__ import annotations

import re

_THOUGHT_END = re.compile(r"</think(?:ing)?>", re.IGNORECASE)
_THOUGHT = re.compile(r"<think(?:ing)?>", re.IGNORECASE)
_TAGGED = re.compile(r"<answer>(.*?)(?:</answer>|\Z)", re.IGNORECASE | re.DOTALL)
_BOXED = re.compile(r"\\boxed\{")
_MARKER = re.compile(
    r"(?:^|[\n.!?;>]|\*\*|(?<=,))\s{0,9}(?:(?:so|thus|therefore|hence),?\s+)?(?:the\s+|my\s+)?"
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


_LEADS = (
    r"(?:options?|choices|choices given|candidates?|possible (?:labels|answers|findings)|question"
    r"|labels to choose from)"
)
_NEXT = r"(?=(?:only|none|just|the|i|we|this|it|there)\b)"
_QUESTION = re.compile(r"\b(?:which|what|is there|are there|could|do you|does|can you)\b", re.IGNORECASE)
_TO_CLAUSE_END = re.compile(
    r"\byou (?:asked|mentioned|listed|want|gave)\b"
    r"|\b(?:the user|the question|the request) (?:wants|asks|mentions|lists|is about)\b"
    r"|\bif you (?:have|feel|experience|need|would)\b|\bpatients? (?:with|has|having) (?:a )?known\b",
    re.IGNORECASE,
)
_WHOLE_CLAUSE = re.compile(
    r"\b(?:recommended|advised|should be (?:performed|done|considered)|consult (?:a|your)|see a doctor|seek medical"
    r"|treatment|hope this helps|let me know|is air in the pleural space)\b",
    re.IGNORECASE,
)
_WITHIN = tuple(
    re.compile(pattern, re.IGNORECASE | re.MULTILINE)
    for pattern in (
        # what the question said
        rf"(?:^[^\w\n]{{0,9}}|(?<=[.?!]\s)){_LEADS}\s{{0,3}}:[^\n.]*(?:[.\n]|\Z)",
        r"\b(?:from|out of|among|of|given|going through|considering)\s(?:the\s)?(?:listed\s)?"
        rf"(?:options|choices|candidates|list(?: of)?|labels|conditions)\b[^.?!\n:]{{0,500}}?(?:,\s{_NEXT}|:\s)",
        rf"^[^\w\n]{{0,9}}(?:out of|among)\b[^.?!\n]{{0,500}}?,\s{_NEXT}",
        r"\b\w{1,40} (?:is|are|was|were) (?:mentioned|listed|named|asked about)"
        r" in the (?:request|question|prompt|list)\b",
        # what is not about this image
        r"\b(?:history|h/o) of [^.,;\n]*",
        r"\b(?:previous|prior|past|former) (?:pneumonia|pneumothorax|effusion|infection|episode|surgery)\w*",
        r"\b(?:as an ai|i'?m an ai|i am an ai)[^.,\n]{0,99}?,\s{0,3}(?:but\s)?",
    )
)
_CLAUSE = re.compile(r"[^.!?\n;]+[.!?\n;]?")


def without_asides(text: str) -> str:
    """Blank what repeats the question, tells the patient's history, or gives advice; places stay as they are.

    Where nothing else would be left, all stays: `Options: pleural effusion` is an answer after all.
    """
    left = text
    for aside in _WITHIN:
        left = aside.sub(lambda match: " " * len(match[0]), left)
    left = _CLAUSE.sub(lambda match: _clause_without_aside(match[0]), left)
    return left if any(map(str.isalpha, left)) else text


def _clause_without_aside(clause: str) -> str:
    if _WHOLE_CLAUSE.search(clause):
        start = 0
    elif clause.endswith("?") and (question := _QUESTION.search(clause)):
        start = question.start()
    elif aside := _TO_CLAUSE_END.search(clause):
        start = aside.start()
    else:
        return clause
    return clause[:start] + " " * (len(clause) - start)
