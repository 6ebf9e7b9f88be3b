"""Labels in lines: tables, tick boxes, `label: yes`, lists under a heading such as `Absent:`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from radvlm_cli.language.findings import Polarity
from radvlm_cli.language.label_names import Piece, Said, group_of, label_of, polarity_of

_BULLET = re.compile(r"\s*(?:(?:[-*\u2022>#|]+|\(?\d{1,2}[.)]|\(?[a-z][)])\s*)*")
_TICK = re.compile(
    r"\s*(?:[-*]\s*)?(\[[ xX\u2713\u2714]?\]|[\u2705\u2714\u2713\u2611]|[\u274c\u2717\u2718\u2610])\ufe0f?\s*"
)
_CHECKED = re.compile(r"[xX\u2705\u2714\u2713\u2611]")
_SPLIT = re.compile(r"\s{0,3}(?:=>|->|[:=\u2192]|(?<=\s)[-\u2013\u2014](?=\s)|\?)\s{0,3}")
_NAMED_PAIR = re.compile(
    r"finding\s*:\s*([^,;:\n]+)[,;]\s*(?:presence|present|status)\s*:\s*([^,;.\n]+)", re.IGNORECASE
)
_BRACKETED = re.compile(r"([A-Za-z][A-Za-z /_-]{0,40}?)\s{0,3}\(\s*([^()]{1,30}?)\s*\)")
_VERDICT = re.compile(r"([^.;:!?\n]+?),?\s+(yes|no)\b", re.IGNORECASE)
_ENDS_IN_VERDICT = re.compile(r"\s(?:yes|no)\W*$", re.IGNORECASE)
_WORDS = 5
"""Of an item of a list; a longer one is a sentence."""
_HEADING = re.compile(r"(?:^|(?<=[.;\n]))[#*_>\s-]{0,9}([A-Za-z][A-Za-z ]{1,40}?)\s*[*_]*:[*_]*\s*")


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
        cells = line.strip().strip("|").split("|")
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
        """Read a plain list with labels in it; False where it is none."""
        places = [(m.start(), m[0]) for m in re.finditer(r"(?:(?!\s{1,3}and\s)[^,;/])+", text)]
        named = [
            (place, item, label_of(re.sub(r"^\s*(?:and|or)\s+", "", item)))
            for place, item in places
            if item.strip(" .*-")
        ]
        if not any(label for *_, label in named) or any(len(item.split()) > _WORDS for _, item, _ in named):
            return False
        for place, item, label in named:
            if label:
                self._say(label, said, start + place, start + place + len(item))
            else:
                self.unknown.append(item.strip(" .*-"))
                self.rest[start + place : start + place + len(item)] = " " * len(item)
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
        start = 0
        for piece in part.split("?")[:-1]:
            asked = start + len(piece) + 1
            answered = re.match(r"[^?.!]*[.!]?", part[asked:])
            yield start, part[start : asked + (answered.end() if answered else 0)]
            start = asked
        return
    for match in re.finditer(r"[^,]+", part):
        yield match.start(), match[0]
