"""Clauses of a sentence: lists that share one predicate, and predicates that look back at their subject."""

from __future__ import annotations

import re
from typing import NamedTuple

from radvlm_cli.language.rewrite_rules import CLAUSE
from radvlm_cli.language.temporal import comparisons


class Clause(NamedTuple):
    """A clause, with what joins it to the one before."""

    link: str
    words: str


_LIST_LINK = re.compile(r",\s+(?:and\s+|or\s+)?|\s+and\s+", re.IGNORECASE)
_AND = re.compile(r"\b(?:and|or)\b", re.IGNORECASE)
_FINITE = re.compile(
    r"\b(?:is|are|was|were|has|have|had|shows?|appears?|demonstrates?|persists?|remains?)\b"
    r"|\b(?:cleared|resolved|improved|worsened|increased|decreased|progressed|developed)$",
    re.IGNORECASE,
)
_PLURAL = re.compile(r"are|were|have|show|appear|demonstrate|persist|remain", re.IGNORECASE)
_PLURAL_SUBJECT = re.compile(r"[^su]s$", re.IGNORECASE)
_OWN_STATE = re.compile(r"\b(?:normal|unremarkable|clear|intact)\b", re.IGNORECASE)
_DENIAL = re.compile(r"(?:no|without)\b", re.IGNORECASE)
_TAKEN_AWAY = re.compile(
    r"(?:there (?:has|have) been )?(?:\w+ ){0,3}(?:resolution|removal|clearing|disappearance) of\b", re.IGNORECASE
)
_LOOKS_BACK = re.compile(
    r"(?:(?:which|that|and|but|now|all|both|each)\s+)*(?:is|are|has|have|was|were)\b", re.IGNORECASE
)
_GONE = re.compile(
    r"\b(?:resolved|cleared|removed|withdrawn|pulled|disappeared|subsided|no longer|gone|extracted|evacuated)\b",
    re.IGNORECASE,
)
_NOT_ALL_GONE = re.compile(r"\b(?:not|never|part(?:ial)?ly|incompletely|in part)\b", re.IGNORECASE)


def shared_predicates(body: str) -> list[Clause]:
    """Cut a sentence into clauses; a list of which one predicate tells a change stays together.

    In `Consolidation, edema and blunting have cleared` nothing is there any more, although only the last item stands
    beside the verb. In `Cardiomegaly, effusion has cleared` two statements stand side by side.
    """
    first, *rest = CLAUSE.split(body)
    clauses = [Clause("", first)]
    for link, words in zip(rest[::2], rest[1::2], strict=True):
        clauses.append(Clause(link, words))
        start = _list_start(clauses)
        if start < len(clauses) - 1 and _is_shared(clauses[start:]):
            clauses[start:] = [Clause(clauses[start].link, joined(clauses[start:]))]
    return clauses


def is_gone(clause: str) -> bool:
    """Whether a clause says of what stands before it that it is there no more: `which has resolved`."""
    return bool(_LOOKS_BACK.match(clause) and _GONE.search(clause) and not _NOT_ALL_GONE.search(clause))


def drop_subject(clauses: list[Clause], predicate: str) -> None:
    """Take away what a predicate speaks of: the last item, or the whole list before a plural or a bare verb."""
    relative = re.match(r"which|that", predicate, re.IGNORECASE)
    verb = _FINITE.search(predicate)
    whole = not relative or bool(verb and _PLURAL.fullmatch(verb[0]))
    while clauses:
        last = clauses.pop()
        if not whole or _FINITE.search(last.words) or not _LIST_LINK.fullmatch(last.link):
            return


def joined(clauses: list[Clause]) -> str:
    """Put clauses together again."""
    return "".join(clause.words if place == 0 else clause.link + clause.words for place, clause in enumerate(clauses))


def _list_start(clauses: list[Clause]) -> int:
    """Where the list that the last clause ends begins: items without a verb, or what is said to be taken away."""
    start = len(clauses) - 1
    while start and _LIST_LINK.fullmatch(clauses[start].link):
        before = clauses[start - 1].words
        taken = _TAKEN_AWAY.match(before)
        if not taken and _FINITE.search(before):
            break
        start -= 1
        if taken:
            break
    return start


def _is_shared(items: list[Clause]) -> bool:
    """Whether one verb or noun tells a change of all items: that of the last, or `resolution of` before the first."""
    link, words = items[-1]
    if any(_OWN_STATE.search(item.words) for item in items) or any(_DENIAL.match(item.words) for item in items[1:]):
        return False
    verb = _FINITE.search(words)
    if _TAKEN_AWAY.match(items[0].words):
        return not verb and bool(_AND.search(link + words))
    if not verb or verb.start() == 0 or not comparisons(words[verb.start() :]):
        return False
    subject = words[: verb.start()].strip()
    if _AND.search(subject):
        return True
    plural = bool(_PLURAL.fullmatch(verb[0]))
    return bool(_AND.search(link)) and plural and (len(items) > 2 or not _PLURAL_SUBJECT.search(subject))
