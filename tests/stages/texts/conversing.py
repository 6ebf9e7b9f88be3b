"""What the tests of converse share: where to work, whom to ask, what came of it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.fakes.openai_server import FakeOpenAI
from tests.fakes.world import make_image_store

NUMBER = 35


def _wanted(source: str) -> set[str]:
    """The images that can be talked about: frontal, and with a curated report or with boxes (see fakes.world)."""
    frontal = [n for n in range(NUMBER) if n // 5 % 5 != 4]
    if source == "mimic":
        return {f"mimic-{n}" for n in frontal if n % 6}
    return {f"mimic-{n}" if source == "mscxr" else f"padchest-gr-{n}.png" for n in frontal if n % 7}


WANTED = {source: _wanted(source) for source in ("mimic", "mscxr", "padchest-gr")}


def place(tmp_path: Path, source: str, *, number: int = NUMBER, name: str = "work") -> list[str]:
    """Options for a data folder of its own; the last one is the folder."""
    data = tmp_path / name
    for folder in ("MIMIC-CXR-JPG", "PadChest"):
        (data / folder).mkdir(parents=True)
    make_image_store(data / "radvlm.db", number)
    return ["--source", source, "--data-dir", str(data)]


def at(server: FakeOpenAI) -> list[str]:
    """Options that ask the fake server."""
    return ["--base-url", f"{server.url}/v1", "--model", "test-model"]


def rows(options: list[str], sql: str) -> list[tuple[Any, ...]]:
    """Rows of the store that `place` made."""
    folder = options[options.index("--data-dir") + 1]
    with closing(sqlite3.connect(Path(folder) / "radvlm.db")) as connection:
        return connection.execute(sql).fetchall()


def kept(options: list[str]) -> list[tuple[Any, ...]]:
    """Image, kind, split and turns of every dialogue."""
    return rows(
        options,
        "SELECT i.image_id, v.kind, v.split, v.turns FROM conversation v JOIN image i ON i.id = v.image_id "
        "ORDER BY 2, 1",
    )
