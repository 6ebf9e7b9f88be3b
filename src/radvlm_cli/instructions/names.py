"""Names of findings inside a sentence."""

from __future__ import annotations

from functools import lru_cache


@lru_cache(maxsize=1024)
def within_sentence(name: str) -> str:
    """`Pleural effusion` -> `pleural effusion`; a word with capitals beyond its first letter (`ILD`, `PA`) stays."""
    return "/".join(" ".join(_word(word) for word in part.split(" ")) for part in name.split("/"))


def _word(word: str) -> str:
    return word.lower() if word[1:] == word[1:].lower() else word


def listed(names: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
