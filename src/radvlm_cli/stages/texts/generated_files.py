"""The generated texts as files of the published layout, so that other code that reads them keeps working.

Written from the store after the texts themselves: a kill in between costs nothing but writing them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from radvlm_cli.files import atomic_write
from radvlm_cli.sources.layout import Layout
from radvlm_cli.stages.texts.converse import KINDS, published_form
from radvlm_cli.store.bulk import DERIVED_FILE_SQL, batched, execute_many
from radvlm_cli.store.engine import Store
from radvlm_cli.store.runs import Run

_BATCH = 1000
_SPLIT_FOLDERS = {"train": "train", "validation": "valid", "test": "test", None: "all"}
_KIND_FOLDERS = {"standard": "standard", "grounded": "grounding"}
_LINK = "(SELECT id FROM artifact WHERE root = 'derived' AND path = ?)"


class File(NamedTuple):
    """A text in the published form."""

    row: int
    """Its id in its table."""
    name: str
    """Path below the folder of the dataset."""
    content: str


class Published(NamedTuple):
    """Generated texts of one kind in the published form."""

    table: str
    kind: str
    """Of the files, as the table `artifact` has it."""
    sql: str
    """Gives the row's id and what the file is made of."""
    source: str
    folders: tuple[str, ...]
    """Where the files lie, below the folder of the dataset."""
    make: Callable[..., tuple[str, str]]
    """From what follows the id: name below the folder of the dataset, and content."""


def published_texts(source: str) -> Published:
    """The curated texts of a source: `filtered_reports/<study>.txt`."""

    def make(study: str, text: str) -> tuple[str, str]:
        return f"filtered_reports/{study.replace('/', '_')}.txt", f"{text}\n"

    sql = "SELECT v.id, v.study_id, v.text FROM curated_text v WHERE v.source = ?"
    return Published("curated_text", "filtered_report", sql, source, ("filtered_reports",), make)


def published_dialogues(source: str) -> Published:
    """The dialogues of a source: `conversations/<split>/standard|grounding/<image>.json`."""
    kind = _KIND_FOLDERS[KINDS[source]]

    def make(image: str, split: str | None, turns: str) -> tuple[str, str]:
        name = f"conversations/{_SPLIT_FOLDERS[split]}/{kind}/{image.removesuffix('.png')}.json"
        return name, f"{published_form(turns)}\n"

    sql = (
        "SELECT v.id, i.image_id, v.split, v.turns FROM conversation v JOIN image i ON i.id = v.image_id "
        "WHERE v.source = ?"
    )
    folders = tuple(f"conversations/{folder}/{kind}" for folder in _SPLIT_FOLDERS.values())
    return Published("conversation", "conversation", sql, source, folders, make)


def write_published(run: Run, layout: Layout, published: Published) -> int:
    """Write the files of texts that have none yet, and remove those of texts that are gone; how many were written.

    `layout` is that of the images' source: MS-CXR's dialogues lie with MIMIC-CXR's.
    """
    files = published_files(run.store, published, without_file=True)
    count = _write(run, layout, published.table, published.kind, files)
    for folder in published.folders:
        _remove_left_over(run, layout, published.table, published.kind, folder)
    return count


def forget_files(run: Run, published: Published) -> None:
    """Let the texts have no file any more, those of others aside, so that they are written again."""
    with run.store.write() as connection:
        connection.exec_driver_sql(
            f"UPDATE {published.table} SET artifact_id = NULL WHERE source = ? AND artifact_id IN "
            "(SELECT id FROM artifact WHERE origin = 'written')",
            (published.source,),
        )


def published_files(store: Store, published: Published, *, without_file: bool = False) -> Iterator[File]:
    """All files, or those that are not written yet; in pages: one is being written while the next is read."""
    last = 0
    only = " AND v.artifact_id IS NULL" if without_file else ""
    sql = f"{published.sql}{only} AND v.id > ? ORDER BY v.id LIMIT {_BATCH}"
    while page := list(store.rows(sql, (published.source, last))):
        for row, *rest in page:
            yield File(row, *published.make(*rest))
        last = page[-1][0]


def _write(run: Run, layout: Layout, table: str, kind: str, files: Iterator[File]) -> int:
    begun, count = False, 0
    link = f"UPDATE {table} SET artifact_id = {_LINK} WHERE id = ?"
    for batch in batched(files, _BATCH):
        if not begun:
            run.progress.start(f"{layout.info.name}: writing {kind.replace('_', ' ')} files")
            begun = True
        run.stop.check()
        artifacts, links = [], []
        for file in batch:
            path = layout.derived / file.name
            artifacts.append(_keep(path, file.content, layout.relative_derived(path), kind, run.id))
            links.append((artifacts[-1][0], file.row))
        with run.store.write() as connection:
            execute_many(connection, DERIVED_FILE_SQL, artifacts)
            execute_many(connection, link, links)
        count += len(batch)
        run.progress.advance(len(batch))
    return count


def _remove_left_over(run: Run, layout: Layout, table: str, kind: str, folder: str) -> None:
    """Remove the files of a folder whose texts are there no longer, such as those that are quarantined now.

    A file that somebody has changed since is theirs: it stays, to be adopted.
    """
    prefix = layout.relative_derived(layout.derived / folder)
    sql = (
        "SELECT id, path, bytes, mtime_ns FROM artifact WHERE root = 'derived' AND path > ? AND path < ? AND kind = ? "
        f"AND origin = 'written' AND id NOT IN (SELECT artifact_id FROM {table} WHERE artifact_id IS NOT NULL)"
    )
    left = list(run.store.rows(sql, (f"{prefix}/", f"{prefix}0", kind)))  # "0" comes after "/"
    for batch in batched(left, _BATCH):
        run.stop.check()
        for _row, name, size, mtime_ns in batch:
            path = layout.derived_dir / name
            if path.is_file() and (path.stat().st_size, path.stat().st_mtime_ns) == (size, mtime_ns):
                path.unlink()
        with run.store.write(foreign_keys=False) as connection:
            execute_many(connection, "DELETE FROM artifact WHERE id = ?", [(row,) for row, *_file in batch])


def _keep(path: Path, content: str, name: str, kind: str, run_id: int) -> tuple[Any, ...]:
    """Write one file, unless it is there with this very content; its row."""
    data = content.encode()
    digest = sha256(data).hexdigest()
    if not (path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data):
        with atomic_write(path, "wb", sync=False) as stream:
            stream.write(data)
    state = path.stat()
    return (name, kind, "written", digest, digest, state.st_size, state.st_mtime_ns, run_id)
