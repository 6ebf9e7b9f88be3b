"""Take comparison language out of a report and keep what it says of the present.

Each sentence that refers to another study is rewritten by rules: first phrases (`since ___`, `as before`), then its
clauses one by one (`has increased` -> `There is`; `stable cardiomegaly` -> `cardiomegaly`). A clause that can't be
rewritten safely, or that says nothing once the comparison is gone (`heart size is stable`), is dropped.
"""

from __future__ import annotations

import re
from functools import lru_cache

from radvlm_cli.language.clauses import Clause, drop_subject, is_gone, joined, shared_predicates
from radvlm_cli.language.rewrite_rules import (
    ADJECTIVE,
    ADVERBS,
    AFTER_NOUN,
    ANATOMY,
    ARTICLE,
    CHANGE,
    CLAIM,
    COUNTED,
    DANGLING,
    DENIAL,
    DEPENDENT,
    EVENT,
    JOINT,
    LEADING,
    LOOKS_AND,
    LOOKS_LAST,
    MEASURED,
    PERSISTS,
    PHRASES,
    SAYS,
    TRAILING,
    UNSAFE_DENIED,
    VERB,
)
from radvlm_cli.language.sentences import split_sentences
from radvlm_cli.language.temporal import comparisons


def without_comparisons(text: str) -> str:
    """Take comparison language out of an English report; what has none stays as it is, blank if nothing is left.

    No word is added but `there is`, `is`, `are`, `seen` and articles, so nothing is found that the report doesn't find.
    """
    if not comparisons(text):
        return " ".join(text.split())
    sentences = (_in_the_present(sentence) for sentence in split_sentences(text))
    return " ".join(filter(None, sentences))


@lru_cache(maxsize=10_000)  # two of five were met before, on Open-i
def _in_the_present(sentence: str) -> str:
    if not comparisons(sentence):
        return _finished(sentence)
    if sentence.isupper():
        return _in_the_present(sentence.lower()).upper()
    for pattern, replacement in PHRASES:
        sentence = " ".join(pattern.sub(replacement, sentence).split())
    kept = _finished(_rejoined(sentence.strip(" ,;").rstrip(".!?:; ")))
    return "" if comparisons(kept) or not SAYS.search(kept) else kept


def _rejoined(body: str) -> str:
    """Rewrite clause by clause, and put together what can stand without the clauses that are dropped."""
    kept: list[Clause] = []
    denied, denial_lost, orphaned = False, False, False
    for link, clause in shared_predicates(body):
        denies = bool(DENIAL.search(clause))
        if denies or VERB.search(clause):
            denied = denial_lost = False
        if denial_lost or (orphaned and DEPENDENT.match(clause)):
            continue
        if not orphaned and is_gone(clause):
            drop_subject(kept, clause)
        present = _clause_in_the_present(clause, denied=denied)
        denied, denial_lost, orphaned = denied or denies, denies and not present, not present
        described = bool(kept and LOOKS_LAST.search(kept[-1].words))
        if present and kept:
            at_once = described and ADJECTIVE.match(clause)  # `mild, stable cardiomegaly`
            kept.append(Clause(" " if at_once else link, present.replace("There ", "there ", 1)))
        elif present:
            kept.append(Clause(link, present))
        elif described and ADJECTIVE.match(clause):  # what was described is not said any more
            kept.pop()
    return joined(kept)


def _clause_in_the_present(clause: str, *, denied: bool) -> str:
    """Rewrite a clause, blank where nothing is left; `denied`: the clause before it denies, and this one goes on."""
    if not comparisons(clause):
        return "" if DANGLING.search(clause) else clause
    present = "" if denied else _being_there(clause)
    present = present or _without_adjectives(clause, denied=denied)
    safe = present and not comparisons(present) and not DANGLING.search(present) and SAYS.search(present)
    return present if safe else ""


def _being_there(clause: str) -> str:
    """`The effusion has increased` -> `There is an effusion`; blank where that can't be said."""
    if event := EVENT.fullmatch(clause):
        what = event["what"]
        if DENIAL.search(clause[: event.start("what")]):
            return ""
        return _there(what, "") if clause.lower().startswith("there") else ARTICLE.sub(r"\2", what, count=1)
    if change := CHANGE.fullmatch(clause) or PERSISTS.fullmatch(clause):
        what = change["what"]
        return what if what.lower().startswith("there ") else _there(what, change["where"] or "")
    return ""


def _there(what: str, where: str) -> str:
    what = _without_adjectives(MEASURED.sub("", what), denied=False)
    match = ARTICLE.fullmatch(what)
    article, name = (match[1] or "", match[2]) if match else ("", what)
    head = AFTER_NOUN.split(name, maxsplit=1)[0]
    if ANATOMY.search(head) or not SAYS.search(head) or DENIAL.search(head) or CLAIM.search(what):
        return ""
    name = name[0].lower() + name[1:] if name[1:2].islower() else name
    plural = bool(re.search(r"(?:[^sui]s|ses|thoraces)$| and ", head, re.IGNORECASE))
    counted = not plural and bool(COUNTED.fullmatch(head.split()[-1]))
    article = f"{article.lower()} " if article.lower() in ("a", "an") else "a " if counted else ""
    return _with_articles(f"There {'are' if plural else 'is'} {article}{name}{where}")


def _without_adjectives(clause: str, *, denied: bool) -> str:
    """`stable but increased effusion` -> `effusion`."""
    clause = TRAILING.sub("", clause)
    for mention in reversed(comparisons(clause)):
        adjective = ADJECTIVE.match(clause, mention.start)
        before = LOOKS_AND.sub(r"\1 ", clause[: mention.start])
        if not adjective or ((denied or DENIAL.search(before)) and UNSAFE_DENIED.match(adjective[0])):
            return clause
        clause = JOINT.sub(r"\1", ADVERBS.sub("", before) + clause[adjective.end() :])
    return _with_articles(clause)


def _with_articles(text: str) -> str:
    text = re.sub(r"\b([Aa])n (?=[b-gi-tv-z])", r"\1 ", text)
    return re.sub(r"\b([Aa]) (?=[aeio]|u(?!ni|s|t))", r"\1n ", text)


def _finished(sentence: str) -> str:
    """Capitalise a sentence and end it."""
    sentence = re.sub(r"\s+(?=[,.;:])", "", LEADING.sub("", sentence.strip(" ,;"))).strip(" ,;")
    sentence = re.sub(r"^without (?:evidence of )?", "no ", sentence, flags=re.IGNORECASE)
    if not sentence:
        return ""
    return sentence[0].upper() + sentence[1:] + ("" if sentence[-1] in ".!?:" else ".")
