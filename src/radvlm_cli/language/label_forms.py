"""Strict forms in which models name labels: JSON, tables, tick boxes, `label: yes`, lists under a heading."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from radvlm_cli.language.findings import Polarity
from radvlm_cli.language.label_names import NOTHING, label_of, of_number, polarity_of

Piece = tuple[str, Polarity, int, int]
"""Label, what is said of it, start and end."""


class Said(NamedTuple):
    """What was read, and what was not."""

    evidence: tuple[Piece, ...] = ()
    others: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    rest: str = ""
    """The text with what was read blanked."""

    def names_any(self) -> bool:
        """Whether a label was named, or all were denied."""
        return bool(self.evidence)


_GROUPS: tuple[tuple[re.Pattern[str], Polarity], ...] = (
    (re.compile(r"(?:not |un)(?:present|seen|detected|correct|affected)|absent|negatives?|no|ruled out|excluded|incorrect|denied", re.I), "absent"),
    (re.compile(r"possible|uncertain|probable|equivocal|suspected|maybe|unclear|indeterminate|questionable", re.I), "uncertain"),
    (re.compile(r"present|positives?|yes|definite|detected|correct|certain|confirmed|identified|findings?|abnormalit(?:y|ies)|labels?|answers?|diagnos[ei]s|diseases?|conditions?|visible|seen", re.I), "present"),
)  # fmt: skip
_GROUP_REST = r"(?:\s+(?:findings?|labels?|abnormalit(?:y|ies)|conditions?|for|are|is|diagnos[ei]s|diseases?))*"
_NAMES = ("label", "name", "finding", "abnormality", "disease", "condition", "class", "pathology", "diagnosis")
_STATES = (
    "status",
    "present",
    "presence",
    "state",
    "polarity",
    "answer",
    "result",
    "prediction",
    "probability",
    "value",
)


def group_of(heading: str) -> Polarity | None:
    """What a heading says of the labels below it: `Absent findings`."""
    plain = heading.strip(" \t#*_`:>-").strip()
    for pattern, polarity in _GROUPS:
        if re.fullmatch(f"(?:{pattern.pattern}){_GROUP_REST}", plain, re.IGNORECASE):
            return polarity
    return None


# JSON


def read_json(text: str) -> Said:
    """Read the first JSON value that names labels (Python's spelling is taken too); nothing where there is none."""
    for start in _json_starts(text):
        value, end = _decoded(text, start)
        if end:
            pieces, unknown = _Walk(text, start, end).read(value)
            if pieces:
                return Said(tuple(pieces), (), tuple(unknown))
    return Said(rest=text)


def _json_starts(text: str) -> list[int]:
    return [match.start() for match in re.finditer(r"[\[{]", text)][:8]


_PYTHON = ((re.compile(r"\bTrue\b"), "true"), (re.compile(r"\bFalse\b"), "false"), (re.compile(r"\bNone\b"), "null"))
_DECODER = json.JSONDecoder()


def _decoded(text: str, start: int) -> tuple[Any, int]:
    """The value and where it ends; 0: there is none. Each spelling keeps places: quotes for quotes."""
    for candidate in (text, text.replace("'", '"')):
        try:
            value, end = _DECODER.raw_decode(candidate, start)
        except (ValueError, RecursionError):
            continue
        return value, end
    spelled = text[start:].replace("'", '"')
    for pattern, word in _PYTHON:
        spelled = pattern.sub(word, spelled)
    try:
        return _DECODER.raw_decode(spelled)[0], len(text)
    except (ValueError, RecursionError):
        return None, 0


class _Walk:
    """Goes through a JSON value; finds each name's place in the text, in order."""

    def __init__(self, text: str, start: int, end: int) -> None:
        self._lower, self._next, self._end = text.lower(), start, end
        self._start = start
        self.pieces: list[Piece] = []
        self.unknown: list[str] = []

    def read(self, value: Any) -> tuple[list[Piece], list[str]]:
        if value in ([], {}):
            if any(map(str.isalnum, (self._lower[: self._start] + self._lower[self._end :]).replace("json", ""))):
                return [], []  # `- [ ] Edema`
            self._say(NOTHING, "present", "")
        else:
            self._go(value, "present")
        return self.pieces, self.unknown

    def _go(self, value: Any, group: Polarity) -> None:
        if isinstance(value, str):
            self._item(value, group)
        elif isinstance(value, list):
            for item in value:
                self._go(item, group)
        elif isinstance(value, dict):
            low = {str(key).casefold(): inner for key, inner in value.items()}
            name = next((low[key] for key in _NAMES if isinstance(low.get(key), str)), None)
            if name is not None:
                state = next((low[key] for key in _STATES if key in low), None)
                said = group if state is None else _state(state)
                self._name(name, said)
            else:
                self._mapping(value, group)

    def _mapping(self, value: dict[str, Any], group: Polarity) -> None:
        for key, inner in value.items():
            if label_of(key):
                self._name(key, _state(inner))
            elif (below := group_of(key.replace("_", " "))) and isinstance(inner, list | dict | str):
                if inner == [] and below == "present":
                    self._say(NOTHING, "present", key)
                self._go(inner, below)
            elif isinstance(inner, list | dict):
                self._go(inner, group)
            elif not isinstance(inner, str):
                self.unknown.append(key)

    def _item(self, text: str, group: Polarity) -> None:
        if label_of(text):
            self._name(text, group)
            return
        for part in re.split(r"[,;]|\band\b", text):
            plain = re.sub(r"^\s*(?:no|without|possible|probable|likely)\s+", "", part, flags=re.IGNORECASE)
            own = polarity_of(part) if plain != part else None
            if part.strip():
                self._name(plain, own or group)

    def _name(self, name: str, said: Polarity | None) -> None:
        if label := label_of(name):
            if said:
                self._say(label, said, name)
        else:
            self.unknown.append(name.strip())

    def _say(self, label: str, said: Polarity, name: str) -> None:
        place = self._lower.find(name.lower().strip(), self._next, self._end) if name.strip() else -1
        if place < 0:
            self.pieces.append((label, said, self._start, self._end))
        else:
            self._next = place + len(name.strip())
            self.pieces.append((label, said, place, self._next))


def _state(value: Any) -> Polarity | None:
    if isinstance(value, bool):
        return "present" if value else "absent"
    if isinstance(value, int | float):
        return of_number(value)
    if isinstance(value, str):
        return polarity_of(value) or ("present" if value.strip() else None)
    if isinstance(value, Mapping):
        low = {str(key).casefold(): inner for key, inner in value.items()}
        return next((_state(low[key]) for key in _STATES if key in low), "present")
    if isinstance(value, list):
        return "present" if value else "absent"
    return None


# Lines

_BULLET = re.compile(r"\s*(?:(?:[-*\u2022>#|]+|\(?\d{1,2}[.)]|\(?[a-z][)])\s*)*")
_TICK = re.compile(
    r"\s*(?:[-*]\s*)?(\[[ xX\u2713\u2714]?\]|[\u2705\u2714\u2713\u2611]|[\u274c\u2717\u2718\u2610])\ufe0f?\s*"
)
_CHECKED = re.compile(r"[xX\u2705\u2714\u2713\u2611]")
_SPLIT = re.compile(r"\s*(?:=>|->|[:=\u2192]|(?<=\s)[-\u2013\u2014](?=\s)|\?)\s*")
_NAMED_PAIR = re.compile(
    r"finding\s*:\s*([^,;:\n]+)[,;]\s*(?:presence|present|status)\s*:\s*([^,;.\n]+)", re.IGNORECASE
)
_BRACKETED = re.compile(r"([A-Za-z][A-Za-z /_-]*?)\s*\(\s*([^()]{1,30}?)\s*\)")
_VERDICT = re.compile(r"([^.;:!?\n]+?),?\s+(yes|no)\b", re.IGNORECASE)
_ENDS_IN_VERDICT = re.compile(r"\s(?:yes|no)\W*$", re.IGNORECASE)
_HEADING = re.compile(r"(?:^|(?<=[.;\n]))\s*[#*_> -]*([A-Za-z][A-Za-z ]{1,40}?)\s*[*_]*:[*_]*\s*")


def read_lines(text: str) -> Said:
    """Read tables, ticked boxes, pairs of label and verdict, and lists under headings; the rest stays for prose."""
    reader = _Lines(text)
    for start, line in _lines(text):
        reader.read(start, line)
    return Said(tuple(reader.pieces), (), tuple(reader.unknown), "".join(reader.rest))


class _Lines:
    def __init__(self, text: str) -> None:
        self.rest = list(text.replace("_", " "))
        self.pieces: list[Piece] = []
        self.unknown: list[str] = []
        self._group: Polarity | None = None

    def read(self, start: int, line: str) -> None:
        """Read one line under the heading that stands above it."""
        if not line.strip():
            return
        if line.count("|") >= 2:
            self._row(start, line)
        elif tick := _TICK.match(line):
            said: Polarity = "present" if _CHECKED.search(tick[1]) else "absent"
            self._take(start + tick.end(), line[tick.end() :], said)
        elif line.lstrip().startswith("#") or line.rstrip(" *").endswith(":"):
            self._group = group_of(line)
        else:
            for offset, part in _sentences(line):
                self._part(start + offset, part)

    def _row(self, start: int, line: str) -> None:
        cells = [cell for cell in line.strip().strip("|").split("|")]
        label, said = label_of(cells[0]), polarity_of(cells[1]) if len(cells) > 1 else None
        if label and said:
            self._say(label, said, start, start + len(line))
        elif said and any(map(str.isalpha, cells[0])):
            self.unknown.append(cells[0].strip(" *"))

    def _take(self, start: int, item: str, said: Polarity) -> None:
        if label := label_of(item):
            self._say(label, said, start, start + len(item))
        elif any(map(str.isalpha, item)):
            self.unknown.append(item.strip())

    def _part(self, start: int, part: str) -> None:
        """A sentence, or what stands between semicolons."""
        if pair := _NAMED_PAIR.search(part):
            label, said = label_of(pair[1]), polarity_of(pair[2])
            if label and said:
                self._say(label, said, start + pair.start(), start + pair.end())
                return
        heading = _HEADING.match(part)
        group = group_of(heading[1]) if heading else None
        if heading and group:
            if self._items(start + heading.end(), part[heading.end() :], group) and group != "present":
                return
            if group != "present":
                self._group = None
        elif self._group and self._items(start, part, self._group):
            return
        self._pairs(start, part)

    def _items(self, start: int, text: str, said: Polarity) -> bool:
        """Read a plain list of labels; False where it is none."""
        places = [(m.start(), m[0]) for m in re.finditer(r"(?:(?!\s+and\s)[^,;/])+", text)]
        named = [
            (place, item, label_of(re.sub(r"^\s*(?:and|or)\s+", "", item)))
            for place, item in places
            if item.strip(" .*-")
        ]
        if not named or not all(label for _, _, label in named):
            return False
        for place, item, label in named:
            self._say(str(label), said, start + place, start + place + len(item))
        return True

    def _pairs(self, start: int, part: str) -> None:
        for match in _BRACKETED.finditer(part):
            head = re.split(r"\b(?:and|or)\b", match[1])[-1]
            label, said = label_of(head), polarity_of(match[2])
            if label and said and head.strip():
                self._say(label, said, start + match.end(1) - len(head), start + match.end())
        self._verdicts(start, part)
        for offset, piece in _pieces(part):
            self._pair(start + offset, piece)

    def _pair(self, start: int, piece: str) -> None:
        cut = _SPLIT.search(piece, _BULLET.match(piece).end())  # type: ignore[union-attr]
        if cut:
            label, value = label_of(piece[: cut.start()]), piece[cut.end() :]
            said = polarity_of(value)
            if "?" in cut[0] and not said and (verdict := re.search(r"\b(?:yes|no|maybe)\b", value, re.IGNORECASE)):
                said = polarity_of(verdict[0])
            if label and said:
                self._say(label, said, start, start + cut.end() + _length(value))
                return

    def _verdicts(self, start: int, part: str) -> None:
        """`consolidation yes pneumonia no`, `edema and effusion, no`: only where the whole part ends in one."""
        for match in _VERDICT.finditer(part) if _ENDS_IN_VERDICT.search(part) else ():
            names = [name for name in re.split(r",|\band\b|\bor\b|\bbut\b", match[1]) if name.strip()]
            labels = [label_of(name) for name in names]
            said: Polarity = "present" if match[2].lower() == "yes" else "absent"
            if all(labels):
                for label in labels:
                    self._say(str(label), said, start + match.start(), start + match.end())

    def _say(self, label: str, said: Polarity, start: int, end: int) -> None:
        self.pieces.append((label, said, start, end))
        self.rest[start:end] = [" " if c not in "\n" else c for c in self.rest[start:end]]


def _length(value: str) -> int:
    """How much of what follows a verdict belongs to it; what comes after is read as prose."""
    end = re.search(r"[,;(\n]|\.\s", value)
    return end.start() if end else len(value)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    start = 0
    for line in text.split("\n"):
        yield start, line
        start += len(line) + 1


def _sentences(line: str) -> Iterator[tuple[int, str]]:
    for match in re.finditer(r"(?:[^.;]|[.](?=\d)|(?<=\d)[.](?=\s))+[.;]?", line):
        yield match.start(), match[0]


def _pieces(part: str) -> Iterator[tuple[int, str]]:
    """At commas, and after a question's answer."""
    if "?" in part:
        for match in re.finditer(r"[^?]*\?[^?.!]*[.!]?", part):
            yield match.start(), match[0]
        return
    for match in re.finditer(r"[^,]+", part):
        yield match.start(), match[0]
