"""The models that can be evaluated, by name.

A name is that of a card (`maira2`), or a kind and what it is of (`chat:org/model`, `endpoint:NAME`, `scripted:FILE`).
To add a model: a light module with a `CARD` (heavy packages are imported inside its functions), and a line here.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping

from radvlm_cli.adapters import chat, chexagent, endpoint, green, llavamed, maira2, onevision, radialog, scripted
from radvlm_cli.adapters.protocol import Card, Task
from radvlm_cli.errors import ConfigError

MOST: Mapping[Task, int] = {
    "report": 512,
    "classification": 256,
    "region": 256,
    "abnormality": 256,
    "phrase": 256,
    "detection": 256,
    "conversation": 512,
}
"""Most new tokens of an answer, unless the card says otherwise."""

CARDS: Mapping[str, Card] = {
    each.name: each
    for each in (
        onevision.RADVLM,
        onevision.LLAVAOV,
        llavamed.CARD,
        radialog.CARD,
        chexagent.CARD,
        chexagent.SRRG_CARD,
        maira2.CARD,
    )
}
"""The models with a name of their own, in the order of a list for people."""

JUDGES: Mapping[str, Card] = {green.GREEN.name: green.GREEN}
"""Models that judge answers, and are not evaluated themselves."""

KINDS: Mapping[str, Callable[[str | None], Card]] = {
    "chat": chat.card_of,
    "endpoint": endpoint.card_of,
    "scripted": scripted.card_of,
}
"""Kind -> what makes the card of `kind:REST` (None: the kind alone). ConfigError for a rest that makes no sense."""


def card(name: str) -> Card:
    """The card of a name. ConfigError, with the nearest known name, where there is none."""
    for known_cards in (CARDS, JUDGES):
        if name in known_cards:
            return known_cards[name]
    kind, colon, rest = name.partition(":")
    if kind in KINDS:
        return KINDS[kind](rest if colon else None)
    known = [*CARDS, *KINDS]
    near = difflib.get_close_matches(kind, known, 1)
    suggestion = f" Do you mean {near[0]}?" if near else ""
    raise ConfigError(f"There is no model {name!r}.{suggestion} Known are {', '.join(known)}.", "radvlm eval --list")


def most_tokens(card: Card, task: Task) -> int:
    """Most new tokens that a model gets for a task."""
    return card.most.get(task, MOST[task])
