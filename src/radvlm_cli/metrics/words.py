"""How report texts become tokens for the metrics that count words.

`words`: lower case; words and numbers, with hyphens, apostrophes, decimal points and slashes kept inside them;
punctuation and the blanks of de-identification (`___`) are no tokens. `raw`: split at white space and nothing else, as
the published evaluation does, so that "Effusion" and "effusion." are two words.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Literal

Tokens = Literal["words", "raw"]
_WORD = re.compile(r"[^\W_]+(?:[-'/.,:][^\W_]+)*")


def words(text: str) -> list[str]:
    """Tokens of a report, as described above."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    return [token for found in _WORD.findall(text.lower()) for token in _apart(found)]


def _apart(token: str) -> list[str]:
    """Only numbers keep points, commas and colons inside: "1.5" is one token, "seen.no" (a lost space) is two."""
    if token.isalnum() or not any(mark in token for mark in ".,:") or token[0].isdigit():
        return [token]
    return re.split(r"[.,:]", token)


TOKENIZERS: Mapping[Tokens, Callable[[str], list[str]]] = {"words": words, "raw": str.split}


def marked(name: str, tokens: Tokens) -> str:
    """Name of a family or metric: that of the published split says so."""
    return name if tokens == "words" else f"{name}_{tokens}"
