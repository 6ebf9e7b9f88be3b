"""Words that a model puts around a report instead of writing it."""

from __future__ import annotations

import re

_META = re.compile(
    "|".join(
        (
            r"```|<\|[^|>]*\|>|\*\*|^\s*#{1,6}\s|[{}]|</?\w+>",
            r"\bas an (?:ai|language model|assistant)\b",
            r"\b(?:sure|certainly|of course)[!,]",
            r"\bhere(?: is|'s| are) (?:the|your|a|an)\b",
            r"\b(?:i|we)(?:'ve| have)? (?:removed|edited|rewrote|rewritten|revised|omitted|deleted)\b",
            r"\b(?:edited|revised|rewritten|cleaned|curated|modified|corrected|original|given|provided)"
            r" (?:chest x-ray )?(?:report|text|findings)\b",
            r"^\s*(?:note|explanation|output|answer|text|report)\s*:",
            r"\breferences? to (?:prior|previous|earlier|other)\b",
            r"\bnothing_left\b|\bjson\b|\bthe (?:user|prompt|instructions?)\b",
            r"\bi (?:cannot|can't|am unable|apologi[sz]e)\b|\bplease (?:provide|let me)\b",
        )
    ),
    re.IGNORECASE | re.MULTILINE,
)


def meta_text(text: str) -> list[str]:
    """The words of a text that are about the text, not about the patient."""
    return [match[0].strip() for match in _META.finditer(text)]
