"""Pages of the documentation as blocks of shell commands, and what is noted for the walk before a block.

A note is an HTML comment right before a block, so that it is not seen on the rendered page:

    <!-- walk
    swap `--gpus 8` for `--gpus 0 --processes 2`: no GPU here
    code 4 of `radvlm prepare`: the phantoms hold damaged files on purpose
    skip `hf download`: needs the network
    -->

`skip: REASON` alone leaves the whole block out, `skip page: REASON` all blocks of the page. Every line has a reason,
and the walk prints what it did not do as it is written.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
SHELLS = ("sh", "bash", "shell", "console")
"""Languages of blocks that are commands; all other blocks (sql, yaml, text, ...) are not."""

_FENCE = re.compile(r"^```(\w*)\s*$")
_COMMENT = re.compile(r"<!--\s*walk\b:?(.*?)-->", re.DOTALL)
_DIRECTIVES = {
    "skip": re.compile(r"skip: (?P<reason>.+)"),
    "page": re.compile(r"skip page: (?P<reason>.+)"),
    "without": re.compile(r"skip `(?P<old>[^`]+)`: (?P<reason>.+)"),
    "swap": re.compile(r"swap `(?P<old>[^`]+)` for `(?P<new>[^`]*)`: (?P<reason>.+)"),
    "code": re.compile(r"code (?P<new>\d+) of `(?P<old>[^`]+)`: (?P<reason>.+)"),
}


class NoteError(Exception):
    """A note that cannot be read."""


class Directive(NamedTuple):
    """One line of a note."""

    kind: str
    """A key of `_DIRECTIVES`."""
    reason: str
    old: str = ""
    """Beginning of a command, or for `swap` any part of it."""
    new: str = ""
    """What stands in its place, or the exit code that is expected."""


class Block(NamedTuple):
    """A block of shell commands."""

    page: str
    """Path from the root."""
    line: int
    """Of its first command, from 1."""
    text: str
    notes: tuple[Directive, ...]
    """Those right before it; `skip` also where the page is left out."""

    @property
    def place(self) -> str:
        """Page and line."""
        return f"{self.page}:{self.line}"

    def note(self, kind: str) -> list[Directive]:
        """Its directives of one kind."""
        return [each for each in self.notes if each.kind == kind]


def pages() -> list[Path]:
    """Every page of the documentation, as it is found."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks_of(page: Path) -> list[Block]:
    """The shell blocks of a page, in order. NoteError for a note that cannot be read, or that stands before nothing."""
    return read_blocks(page.read_text(encoding="utf-8"), str(page.relative_to(ROOT)))


def read_blocks(text: str, name: str) -> list[Block]:
    """The shell blocks of a page's text; `name` is the page's, for messages."""
    lines = text.splitlines()
    whole = [note for note in _all_notes(text, name) if note.kind == "page"]
    found, claimed = [], len(whole)
    for begin, end, language in _fences(lines):
        if language not in SHELLS:
            continue
        own = _notes_before(lines[:begin], name)
        claimed += len(own)
        skips = tuple(Directive("skip", note.reason) for note in whole)
        found.append(Block(name, begin + 2, "\n".join(lines[begin + 1 : end]), (*own, *skips)))
    if claimed != len(_all_notes(text, name)):
        raise NoteError(f"{name}: a note for the walk stands before no block of shell commands")
    return found


def _fences(lines: list[str]) -> Iterator[tuple[int, int, str]]:
    """First and last line of each fenced block, and its language."""
    begin, language = None, ""
    for number, line in enumerate(lines):
        match = _FENCE.match(line)
        if match and begin is None:
            begin, language = number, match[1]
        elif match and not match[1] and begin is not None:
            yield begin, number, language
            begin = None


def _notes_before(lines: list[str], name: str) -> tuple[Directive, ...]:
    """The directives of a note that ends right here, empty lines aside."""
    before = "\n".join(lines).rstrip()
    start = before.rfind("<!--")
    match = _COMMENT.fullmatch(before[start:]) if before.endswith("-->") else None
    return tuple(each for each in _directives(match[1], name) if each.kind != "page") if match else ()


def _all_notes(text: str, name: str) -> list[Directive]:
    return [each for match in _COMMENT.finditer(text) for each in _directives(match[1], name)]


def _directives(body: str, name: str) -> list[Directive]:
    found = []
    for line in filter(None, map(str.strip, body.splitlines())):
        for kind, form in _DIRECTIVES.items():
            if match := form.fullmatch(line):
                found.append(Directive(kind, **match.groupdict()))
                break
        else:
            raise NoteError(f"{name}: the walk does not understand {line!r}")
    return found


def commands_of(block: Block) -> list[str]:
    """The commands of a block, one after the other, as bash would read them. NoteError for half a command."""
    found, pending = [], ""
    for line in block.text.splitlines():
        pending = f"{pending}\n{line}" if pending else line
        if not pending.strip() or (pending.lstrip().startswith("#") and "\n" not in pending):
            pending = ""
        elif _is_whole(pending):
            found.append(pending)
            pending = ""
    if pending:
        raise NoteError(f"{block.place}: this is no whole command: {pending!r}")
    return found


def _is_whole(command: str) -> bool:
    """Whether bash would run it now rather than wait for more."""
    if command.endswith("\\"):
        return False
    if not re.search(r"""["'`(){}<]|\b(if|for|while|case|do)\b""", command):
        return True  # no need to ask
    asked = subprocess.run(["bash", "-n"], input=f"{command}\n", capture_output=True, text=True, check=False)
    return asked.returncode == 0 and not asked.stderr  # of a here-document without its end bash only warns
