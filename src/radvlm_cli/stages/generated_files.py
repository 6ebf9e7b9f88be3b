"""The generated texts as files of the published layout, so that other code that reads them keeps working.

Written from the store after the texts themselves: a kill in between costs nothing but writing them.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from radvlm_cli.files import atomic_write
from radvlm_cli.sources.layout import Layout
from radvlm_cli.stages.converse import KINDS, published_form
from radvlm_cli.store.bulk import DERIVED_FILE_SQL, batched, execute_many
from radvlm_cli.store.runs import Run

_BATCH = 1000
_SPLIT_FOLDERS = {"train": "train", "validation": "valid", "test": "test", None: "all"}
_KIND_FOLDERS = {"standard": "standard", "grounded": "grounding"}
_LINK = "(SELECT id FROM artifact WHERE root = 'derived' AND path = ?)"


class _File(NamedTuple):
    row: int
    name: str
    content: str


def write_texts(run: Run, layout: Layout) -> int:
    """Write `filtered_reports/<study>.txt` for the texts of a source that have no file yet; how many."""
    texts = (
        _File(row, f"filtered_reports/{study.replace('/', '_')}.txt", f"{text}\n")
        for row, study, text in _without_file(
            run, "SELECT id, study_id, text FROM curated_text WHERE source = ?", (layout.info.name,)
        )
    )
    count = _write(run, layout, "curated_text", "filtered_report", texts)
    _remove_left_over(run, layout, "curated_text", "filtered_report", "filtered_reports")
    return count


def write_dialogues(run: Run, layout: Layout, source: str) -> int:
    """Write `conversations/<split>/standard|grounding/<image>.json` for dialogues without a file; how many.

    `layout` is that of the images' source: MS-CXR's dialogues lie with MIMIC-CXR's.
    """
    kind = _KIND_FOLDERS[KINDS[source]]
    dialogues = (
        _File(
            row,
            f"conversations/{_SPLIT_FOLDERS[split]}/{kind}/{image.removesuffix('.png')}.json",
            f"{published_form(turns)}\n",
        )
        for row, image, split, turns in _without_file(
            run,
            "SELECT v.id, i.image_id, v.split, v.turns FROM conversation v JOIN image i ON i.id = v.image_id "
            "WHERE v.source = ?",
            (source,),
        )
    )
    count = _write(run, layout, "conversation", "conversation", dialogues)
    for folder in _SPLIT_FOLDERS.values():
        _remove_left_over(run, layout, "conversation", "conversation", f"conversations/{folder}/{kind}")
    return count


def _without_file(run: Run, sql: str, parameters: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
    """Rows in pages: the pages before are being written while the next is read."""
    last = 0
    key = "v.id" if " v " in sql else "id"
    rows = f"{sql} AND {'v.' if ' v ' in sql else ''}artifact_id IS NULL AND {key} > ? ORDER BY {key} LIMIT {_BATCH}"
    while page := list(run.store.rows(rows, (*parameters, last))):
        yield from page
        last = page[-1][0]


def _write(run: Run, layout: Layout, table: str, kind: str, files: Iterator[_File]) -> int:
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
