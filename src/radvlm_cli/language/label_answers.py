"""Which of the thirteen abnormalities a model's answer in free text says are there, are not there, or may be there.

Strict forms come first: JSON, tables, tick boxes, `label: yes`, lists under `Present` and `Absent`. What is left is
read as report language, with clause-scoped negation and doubt (findings.py). Where an answer says both, present
outweighs uncertain, and uncertain absent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

from radvlm_cli.labels import ABNORMALITIES
from radvlm_cli.language.answer_parts import answer_span, without_asides
from radvlm_cli.language.findings import Finding, Polarity, findings
from radvlm_cli.language.label_json import read_json
from radvlm_cli.language.label_lines import read_lines
from radvlm_cli.language.label_names import NOTHING, Said, denied_labels, label_of_concept
from radvlm_cli.language.refusals import refuses

VERSION = 1
"""Raise it when an answer would be read differently."""
Status = Literal["ok", "empty", "unparsable", "refused"]
Form = Literal["json", "lines", "prose"]


class Evidence(NamedTuple):
    """A place in the answer, and what it says."""

    label: str
    """One of the abnormalities; `No Finding` where it denies all that is not named elsewhere."""
    polarity: Polarity
    start: int
    end: int


class LabelAnswer(NamedTuple):
    """What an answer says."""

    status: Status
    """`unparsable`: it names no finding, and does not say that there is none. An answer that names other findings only
    is `ok`, without labels."""
    labels: Mapping[str, Polarity]
    """By abnormality; what was neither named nor denied is left out."""
    evidence: tuple[Evidence, ...]
    others: tuple[str, ...]
    """Findings outside the vocabulary that it says are there, by concept: `scoliosis`."""
    unknown: tuple[str, ...]
    """Names in a strict form (JSON, a table) that mean nothing to us."""
    form: Form

    def values(self) -> dict[str, int]:
        """As the store has it: 1 present, 0 absent, -1 uncertain."""
        return {label: {"present": 1, "absent": 0, "uncertain": -1}[said] for label, said in self.labels.items()}


def read_labels(text: str) -> LabelAnswer:
    """Read one answer. Never raises, whatever the text."""
    text = text.replace("\u2019", "'")
    start, end = answer_span(text)
    answer = text[start:end]
    form: Form = "json"
    said = read_json(answer)
    if not said.names_any():
        form, said = "lines", read_lines(answer)
        prose = read_prose(without_asides(said.rest))
        if not said.names_any():
            form = "prose"
        said = Said((*said.evidence, *prose.evidence), prose.others, said.unknown)
    evidence = tuple(Evidence(label, p, start + a, start + b) for label, p, a, b in said.evidence)
    labels = _together(evidence)
    return LabelAnswer(_status(text, answer, said, labels), labels, evidence, said.others, said.unknown, form)


def substring_labels(text: str) -> tuple[str, ...]:
    """The labels of the RadVLM publication's evaluation: each whose name stands anywhere in the text, denied or not."""
    lower = text.lower()
    return tuple(label for label in ABNORMALITIES if label.lower() in lower)


def read_prose(text: str) -> Said:
    """Read report language: labels by concept, what normal states deny, and denials of everything."""
    evidence: list[tuple[str, Polarity, int, int]] = []
    others: list[str] = []
    for offset, found in _found(_as_report(text)):
        place = (offset + found.start, offset + found.end)
        if label := _label(found, text[slice(*place)].lower(), text[place[1] : place[1] + 30]):
            borderline = found.polarity == "present" and "borderline" in text[slice(*place)].lower()
            evidence.append((label, "uncertain" if borderline else found.polarity, *place))
        elif found.concept in ("normal chest", "acute abnormality"):
            pass  # see _NOTHING: not each of them denies everything
        elif denied := denied_labels(found.concept):
            if found.polarity == "present":
                evidence += ((label, "absent", *place) for label in denied)
                if "cardiomediast" in text[slice(*place)].lower():
                    evidence.append(("Cardiomegaly", "absent", *place))
        elif found.polarity == "present":
            others.append(found.concept)
    evidence += ((NOTHING, "present", *match.span()) for match in _NOTHING.finditer(text))
    return Said(tuple(evidence), tuple(others))


_CERTAIN = re.compile(
    r"\b(?:(?:consistent|compatible|in keeping) with|no (?:\w+ )?(?:change|worsening|increase|progression) (?:in|of)"
    r"|(?:has|have) not (?:yet )?(?:resolved|cleared|disappeared))\b"
    r"|\bno findings?\b(?=\s*[,;&])",
    re.IGNORECASE,
)
"""What findings.py takes for doubt or for a denial of what follows, and is neither in a short answer."""
_NAMES = re.compile("|".join(ABNORMALITIES), re.IGNORECASE)
"""`No Edema is seen` would be read as two sentences, of which the second starts at `Edema`."""
_CONTRACTION = re.compile(r"\b(?:is|are|was|were|do|does|did|ca|could|wo|would|has|have)n't\b", re.IGNORECASE)
_SEGMENT = re.compile(r"\S+(?:\s{1,3}\S+)*")
_NEW_LINE = re.compile(r"\n(?!\s{0,9}[a-z])|(?<![^\n]{50})\n")
"""A line that goes on in lower case after a long one is wrapped."""
_THING = (
    r"(?:abnormalit(?:y|ies)|abnormal (?:finding|area)s?|findings?|patholog(?:y|ies)|diseases?|conditions?"
    r"|process(?:es)?|anomal(?:y|ies)|options?|labels?)"
)
_ALL = (
    r"(?:(?:other|further|additional|acute|active|significant|obvious|clear|definite|visible|major|cardiopulmonary"
    r"|cardiothoracic|intrathoracic|thoracic|pulmonary|chest|radiographic|abnormal|of|the|these|those|listed|given|above"
    r"|any|evidence|signs?|such|relevant)\s+)*"
)
_NOTHING = re.compile(
    r"\b(?:no|without|negative for|(?:can't|cannot|can not|don't|do not|not) (?:see|identify|find|detect)(?: any)?)"
    rf"\s+{_ALL}{_THING}"
    rf"(?!\s+(?:in|of|at|on)\s+the\s+(?:left|right|upper|lower|bones?|pleura))"
    rf"|\bnone\b(?=\s*(?:$|[.!,;\n]|of\s+(?:the|these|those|them)|(?:is|are|was|were|can|could|applies|apply)\b))"
    r"|^\W*(?:(?:the )?answer is:?\s*)?(?:no|none|nothing|nil|normal|healthy|negative)\W*$"
    r"|\bnothing\s+(?:else|abnormal|of note|is|was|can|to report|remarkable)\b"
    r"|\bno to (?:everything|all|the rest|the others?)\b"
    r"|\b(?:everything|all) (?:else )?(?:looks?|is|appears?|seems?) (?:normal|fine|negative|unremarkable)"
    r"|\ball (?:the )?(?:others?|rest|remaining)(?:\s+\w+)?(?: are| is|:)?\s*(?:negative|absent|normal|no)?\b"
    r"|\b(?:normal|unremarkable|clear|negative|healthy)\s+(?:(?:frontal|portable|adult|looking)\s+)?"
    r"(?:chest|study|x-?ray|radiograph|film|exam(?:ination)?|image|cxr)\b"
    r"|\b(?:chest|study|x-?ray|radiograph|film|exam(?:ination)?|image|cxr)\s+(?:is|looks?|appears?|seems?)\s+"
    r"(?:\w+ly\s+)?(?:normal|unremarkable|negative|clear|healthy)(?!\s+for)"
    r"|\botherwise\s+(?:normal|unremarkable|negative)\b",
    re.IGNORECASE,
)
_EDEMA = re.compile(r"\s+(?:\w+\s+)?o?edema", re.IGNORECASE)
_WEIGHT: Mapping[Polarity, int] = {"absent": 0, "uncertain": 1, "present": 2}


def _as_report(text: str) -> str:
    """The same text, place by place, as findings.py expects it: lines end, and only sentences start with capitals."""
    text = _CERTAIN.sub(lambda match: "x" * len(match[0]), text)
    text = _CONTRACTION.sub(lambda match: "not".ljust(len(match[0])), text)
    text = _NAMES.sub(lambda match: match[0].lower(), text)
    return _NEW_LINE.sub(";", text)


def _found(text: str) -> Iterator[tuple[int, Finding]]:
    """Findings between wide gaps, which what was read before has left."""
    for segment in _SEGMENT.finditer(text):
        yield from ((segment.start(), found) for found in findings(segment[0]))


def _label(found: Finding, words: str, after: str) -> str | None:
    """As CheXpert has it: `airspace disease` is an opacity, and `interstitial edema` no more than edema."""
    if found.concept == "interstitial disease" and _EDEMA.match(after):
        return None
    if words.startswith("air") and "bronchogram" not in words and "consolidation" not in words:
        return None if "consolidation" in after[:15].lower() else "Lung Opacity"
    return label_of_concept(found.concept)


def _together(evidence: Iterable[Evidence]) -> dict[str, Polarity]:
    labels: dict[str, Polarity] = {}
    nothing = False
    for one in evidence:
        if one.label == NOTHING:
            nothing |= one.polarity == "present"
        elif one.label not in labels or _WEIGHT[one.polarity] > _WEIGHT[labels[one.label]]:
            labels[one.label] = one.polarity
    if nothing:
        labels |= {label: "absent" for label in ABNORMALITIES if label not in labels}
    return labels


def _status(text: str, answer: str, said: Said, labels: Mapping[str, Polarity]) -> Status:
    if labels:
        return "ok"
    if not text.strip():
        return "empty"
    if refuses(answer):
        return "refused"
    return "ok" if said.others else "unparsable"
