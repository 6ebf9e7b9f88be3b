"""Special tokens in what somebody says: they stay text, so nothing said can end a turn or ask for a second picture."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any


def added_tokens(tokenizer: Any, *, special: bool = False) -> set[str]:
    """Tokens that a tokenizer of transformers takes whole wherever they stand; `special`: only those marked so."""
    return {token.content for token in tokenizer.added_tokens_decoder.values() if token.special or not special}


def spelling_out(tokens: Iterable[str]) -> Callable[[str], str]:
    """What changes a text so that none of the tokens is in it: `<image>` becomes `< image>`. Other texts stay."""
    # A single letter cannot be spelled out; blanks in a row, which some tokenizers have as tokens, end no turn.
    longest_first = sorted((token for token in tokens if len(token.strip()) > 1), key=len, reverse=True)
    if not longest_first:
        return str
    found = re.compile("|".join(map(re.escape, longest_first)))
    return lambda text: found.sub(lambda match: f"{match[0][0]} {match[0][1:]}", text)
