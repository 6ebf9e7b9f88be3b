"""Ways to damage a file. A trial's files are hard links to the undamaged ones, so they are replaced, not changed."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

Damage = Callable[[Path], None]
"""What is done to a copy of the data folder."""
Change = Callable[[bytes], bytes]


def place(data: Path, pattern: str) -> Path:
    """The first file or folder below the data folder that a glob finds."""
    return sorted(data.glob(pattern))[0]


def replace(path: Path, content: bytes) -> None:
    """Put a new file in place of a link to the undamaged one."""
    path.unlink()
    path.write_bytes(content)


def raw(pattern: str, change: Change) -> Damage:
    """Change the bytes of a file as they lie on the disk."""

    def damage(data: Path) -> None:
        path = place(data, pattern)
        replace(path, change(path.read_bytes()))

    return damage


def text(pattern: str, change: Change) -> Damage:
    """Change the bytes of a file, of a gzipped one what is in it."""

    def through(content: bytes) -> bytes:
        packed = content.startswith(b"\x1f\x8b")
        changed = change(gzip.decompress(content) if packed else content)
        return gzip.compress(changed, mtime=0) if packed else changed

    return raw(pattern, through)


def swap(old: str, new: str) -> Change:
    """Put `new` in place of the first `old`."""

    def change(content: bytes) -> bytes:
        assert old.encode() in content
        return content.replace(old.encode(), new.encode(), 1)

    return change


def table(edit: Callable[[list[list[str]]], object]) -> Change:
    """Change the rows of a CSV file, the first line among them, in place."""

    def change(content: bytes) -> bytes:
        rows = list(csv.reader(io.StringIO(content.decode(), newline="")))
        edit(rows)
        stream = io.StringIO(newline="")
        csv.writer(stream, lineterminator="\n").writerows(rows)
        return stream.getvalue().encode()

    return change


def cell(row: int, column: str, value: str) -> Change:
    """Set one cell; rows count from 1, after the first line."""

    def edit(rows: list[list[str]]) -> None:
        rows[row][rows[0].index(column)] = value

    return table(edit)


def column(row: int, **values: Any) -> Change:
    """Set several cells of a row."""

    def edit(rows: list[list[str]]) -> None:
        for name, value in values.items():
            rows[row][rows[0].index(name)] = str(value)

    return table(edit)


def document(edit: Callable[[Any], object]) -> Change:
    """Change a JSON document in place."""

    def change(content: bytes) -> bytes:
        value = json.loads(content)
        edit(value)
        return json.dumps(value).encode()

    return change


def half(content: bytes) -> bytes:
    """The first half of a file."""
    return content[: len(content) // 2]


def become(content: bytes) -> Change:
    """Something else altogether."""
    return lambda _: content


def instead(pattern: str, make: Callable[[Path], object]) -> Damage:
    """Remove a file or folder and make something in its place."""

    def damage(data: Path) -> None:
        path = place(data, pattern)
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        make(path)

    return damage


def folder(path: Path) -> None:
    """Make an empty folder."""
    path.mkdir()


def plain_file(path: Path) -> None:
    """Make a file of a few words."""
    path.write_text("not what you think")


def dangling(path: Path) -> None:
    """Make a link to nowhere."""
    path.symlink_to(path.with_name("moved-away"))


def unreadable(path: Path) -> None:
    """Make a file that nobody but root may read."""
    path.write_text("secret")
    path.chmod(0)


def member(name: str, change: Change, *, corrupt: bool = False) -> Change:
    """Change the first member of a zip archive whose name ends so; `corrupt` leaves its old checksum."""

    def edit(content: bytes) -> bytes:
        stream = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(stream, "w") as new:
            chosen = next(n for n in sorted(old.namelist()) if n.endswith(name))
            for info in old.infolist():
                inside = old.read(info)
                new.writestr(info.filename, change(inside) if info.filename == chosen and not corrupt else inside)
            spot = new.getinfo(chosen).header_offset + 30 + len(os.fsencode(chosen)) + 5
        packed = bytearray(stream.getvalue())
        if corrupt:
            packed[spot] ^= 0xFF
        return bytes(packed)

    return edit


def nested(content: bytes) -> bytes:
    """JSON that is too deep for any parser."""
    return b"[" * 200_000 + b"]" * 200_000
