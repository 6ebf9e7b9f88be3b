"""Adopt generated files that are there already: curated reports and conversations in the published folder layout.

Each file becomes an artifact and a row; a file that was adopted before and has not changed is not opened again, one
that is gone takes its row with it. What this program generated itself is never overwritten by a file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import Any, NamedTuple

from radvlm_cli.errors import DataError
from radvlm_cli.instructions.conversation import encode, parse
from radvlm_cli.sources.layout import Layout
from radvlm_cli.sources.published import GeneratedFile, conversations, filtered_reports
from radvlm_cli.store.bulk import batched, execute_many
from radvlm_cli.store.queries import KnownImage, known_images
from radvlm_cli.store.runs import Run

_ARTIFACT_SQL = (
    "INSERT INTO artifact (root, path, kind, origin, sha256, bytes, mtime_ns, run_id) "
    "VALUES ('data', ?, ?, 'adopted', ?, ?, ?, ?) ON CONFLICT (root, path) DO UPDATE SET sha256=excluded.sha256, "
    "bytes=excluded.bytes, mtime_ns=excluded.mtime_ns, run_id=excluded.run_id"
)
_FILE_ID = "(SELECT id FROM artifact WHERE root = 'data' AND path = ?)"
_TEXT_SQL = (
    "INSERT INTO curated_text (source, study_id, text, origin, artifact_id, run_id) "
    f"VALUES (?,?,?,'adopted',{_FILE_ID},?) "
    "ON CONFLICT (source, study_id) DO UPDATE SET text=excluded.text, artifact_id=excluded.artifact_id, "
    "run_id=excluded.run_id WHERE curated_text.origin='adopted'"
)
_CONVERSATION_SQL = (
    "INSERT INTO conversation (source, image_id, kind, split, turns, origin, artifact_id, run_id) "
    f"VALUES (?,?,?,?,?,'adopted',{_FILE_ID},?) ON CONFLICT (source, image_id, kind) DO UPDATE SET "
    "split=excluded.split, turns=excluded.turns, artifact_id=excluded.artifact_id, run_id=excluded.run_id "
    "WHERE conversation.origin='adopted'"
)
_OUTCOME_SQL = (
    "INSERT OR REPLACE INTO outcome (stage, subject, step, item, status, reason, run_id) "
    "VALUES ('prepare', ?, ?, ?, 'failed', ?, ?)"
)
_CLEAR_SQL = "DELETE FROM outcome WHERE stage='prepare' AND subject=? AND step=? AND item=?"
_BATCH = 5_000


class _Kind(NamedTuple):
    """One kind of generated file and how its text becomes a row."""

    artifact: str
    table: str
    insert: str
    row: Callable[[GeneratedFile, str], tuple[Any, ...]]
    """The row for a file's text; raises ValueError or DataError, with the reason, for one that is no good."""


class Adopted(NamedTuple):
    """What one look at the folders brought."""

    new: int
    gone: int


def adopt(run: Run, layout: Layout) -> Adopted:
    """Adopt what has come, has changed or has gone in the source's generated folders since the last look."""
    texts = _adopt_kind(run, layout, filtered_reports(layout), _text_kind(run, layout))
    dialogues = _adopt_kind(run, layout, conversations(layout), _conversation_kind(run, layout))
    return Adopted(texts.new + dialogues.new, texts.gone + dialogues.gone)


def _text_kind(run: Run, layout: Layout) -> _Kind:
    source = layout.info.name

    def row(file: GeneratedFile, text: str) -> tuple[Any, ...]:
        text = text.strip()
        if not text:
            raise ValueError("the file is empty")
        return source, file.key, text, file.path, run.id

    return _Kind("filtered_report", "curated_text", _TEXT_SQL, row)


def _conversation_kind(run: Run, layout: Layout) -> _Kind:
    source = layout.info.name
    # Grounded dialogues about MIMIC-CXR images speak of MS-CXR's boxes.
    by_kind = {"standard": source, "grounded": "mscxr" if source == "mimic" else source}
    images: dict[str, KnownImage] = {}

    def row(file: GeneratedFile, text: str) -> tuple[Any, ...]:
        if not images:
            images.update(known_images(run.store, source))
        if file.key not in images:
            raise ValueError("its image is not in the dataset's tables")
        turns = encode(parse(json.loads(text)))
        return by_kind[file.kind], images[file.key].id, file.kind, file.split, turns, file.path, run.id

    return _Kind("conversation", "conversation", _CONVERSATION_SQL, row)


def _adopt_kind(run: Run, layout: Layout, files: Iterable[GeneratedFile], kind: _Kind) -> Adopted:
    prefix = layout.relative(layout.home) + "/"
    rows = run.store.rows(
        "SELECT path, bytes, mtime_ns FROM artifact WHERE root='data' AND kind=? AND origin='adopted'", (kind.artifact,)
    )
    known = {path: (size, mtime) for path, size, mtime in rows if _below(path, layout, prefix)}
    new = 0
    fresh = (file for file in files if known.pop(file.path, None) != (file.bytes, file.mtime_ns))
    for batch in batched(fresh, _BATCH):
        if new == 0:
            run.progress.start(f"{layout.info.name}: adopting {kind.artifact} files")
        run.stop.check()
        _adopt_batch(run, layout, kind, batch)
        new += len(batch)
        run.progress.advance(len(batch))
    if known:
        _forget(run, kind, sorted(known))
    return Adopted(new, len(known))


def _below(path: str, layout: Layout, prefix: str) -> bool:
    return any(path.startswith(f"{layout.relative(folder)}/") for folder in layout.folders) or path.startswith(prefix)


def _forget(run: Run, kind: _Kind, paths: list[str]) -> None:
    """Remove the rows of files that are gone."""
    with run.store.write(foreign_keys=False) as connection:
        connection.exec_driver_sql("CREATE TEMP TABLE gone (path TEXT PRIMARY KEY)")
        execute_many(connection, "INSERT INTO gone VALUES (?)", [(path,) for path in paths])
        files = "SELECT artifact.id FROM artifact JOIN gone ON artifact.root='data' AND artifact.path = gone.path"
        connection.exec_driver_sql(f"DELETE FROM {kind.table} WHERE origin='adopted' AND artifact_id IN ({files})")
        connection.exec_driver_sql("DELETE FROM artifact WHERE root='data' AND path IN (SELECT path FROM gone)")
        connection.exec_driver_sql("DROP TABLE gone")


def _adopt_batch(run: Run, layout: Layout, kind: _Kind, files: list[GeneratedFile]) -> None:
    name, step = layout.info.name, f"{kind.artifact}s"
    artifacts, rows, failures = [], [], []
    for file in files:
        try:
            content = _read(layout.data_dir / file.path)
            artifacts.append((file.path, kind.artifact, sha256(content).hexdigest(), file.bytes, file.mtime_ns, run.id))
            rows.append(kind.row(file, content.decode("utf-8")))
        except (OSError, ValueError, DataError) as error:
            failures.append((name, step, file.path, _reason(error), run.id))
    with run.store.write() as connection:
        execute_many(connection, _CLEAR_SQL, [(name, step, file.path) for file in files])
        execute_many(connection, _ARTIFACT_SQL, artifacts)
        execute_many(connection, kind.insert, rows)
        execute_many(connection, _OUTCOME_SQL, failures)


def _read(path: os.PathLike[str]) -> bytes:
    """The whole of a small file with three system calls: there are half a million of them."""
    handle = os.open(path, os.O_RDONLY)
    try:
        content = os.read(handle, 1 << 20)
        return content if len(content) < 1 << 20 else content + b"".join(iter(lambda: os.read(handle, 1 << 20), b""))
    finally:
        os.close(handle)


def _reason(error: Exception) -> str:
    """Why a file is no good, without quoting it."""
    if isinstance(error, DataError):
        return error.message
    if isinstance(error, UnicodeDecodeError):
        return "the file is not UTF-8 text"
    if isinstance(error, json.JSONDecodeError):
        return "the file is not JSON"
    if isinstance(error, OSError):
        return f"the file cannot be read: {error.strerror}"
    return str(error)
