"""Adopt generated files that are there already: curated reports and conversations in the published folder layout.

Each file becomes an artifact and a row; a file that was adopted before and has not changed is not opened again, one
that is gone or no longer good takes its row with it, one that is no good is looked at again by the next run. What this
program generated itself is never overwritten by a file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from itertools import count
from typing import Any, NamedTuple

from radvlm_cli.errors import DataError
from radvlm_cli.hashing import content_hash
from radvlm_cli.instructions.conversation import encode, parse
from radvlm_cli.sources.layout import Layout
from radvlm_cli.sources.published import GeneratedFile, conversations, filtered_reports, generated_folders
from radvlm_cli.store.bulk import OUTCOME_SQL, batched, execute_many
from radvlm_cli.store.queries import KnownImage, known_images
from radvlm_cli.store.runs import Run

_ARTIFACT_SQL = (
    "INSERT INTO artifact (id, root, path, kind, origin, sha256, bytes, mtime_ns, run_id) "
    "VALUES (?, 'data', ?, ?, 'adopted', ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET sha256=excluded.sha256, "
    "bytes=excluded.bytes, mtime_ns=excluded.mtime_ns, run_id=excluded.run_id"
)
_TEXT_SQL = (
    "INSERT INTO curated_text (source, study_id, text, artifact_id, origin, run_id) VALUES (?,?,?,?,'adopted',?) "
    "ON CONFLICT (source, study_id) DO UPDATE SET text=excluded.text, artifact_id=excluded.artifact_id, "
    "run_id=excluded.run_id WHERE curated_text.origin='adopted'"
)
_CONVERSATION_SQL = (
    "INSERT INTO conversation (source, image_id, kind, split, turns, artifact_id, origin, run_id) "
    "VALUES (?,?,?,?,?,?,'adopted',?) ON CONFLICT (source, image_id, kind) DO UPDATE SET "
    "split=excluded.split, turns=excluded.turns, artifact_id=excluded.artifact_id, run_id=excluded.run_id "
    "WHERE conversation.origin='adopted'"
)
_CLEAR_SQL = "DELETE FROM outcome WHERE stage='prepare' AND subject=? AND step=?"
_BATCH = 20_000


class _Kind(NamedTuple):
    """One kind of generated file and how its text becomes a row."""

    artifact: str
    title: str
    table: str
    insert: str
    row: Callable[[GeneratedFile, str], tuple[Any, ...]]
    """The row, up to the artifact's id, for a file's text; ValueError or DataError, with the reason, for a bad one."""


class _Known(NamedTuple):
    """What the store says of a file that was adopted before."""

    id: int
    bytes: int
    mtime_ns: int


def adopt(run: Run, layout: Layout) -> None:
    """Adopt what has come, has changed or has gone in the source's generated folders since the last look."""
    if not generated_folders(layout) and _last_state(run, layout) is None:
        return
    folders = _folder_state(layout)
    _adopt_kind(run, layout, filtered_reports(layout), _text_kind(layout))
    _adopt_kind(run, layout, conversations(layout), _conversation_kind(run, layout))
    with run.store.write() as connection:
        connection.exec_driver_sql(
            "INSERT OR REPLACE INTO step (subject, step, fingerprint, run_id) VALUES (?, 'generated', ?, ?)",
            (layout.info.name, folders, run.id),
        )


def adopt_if_changed(run: Run, layout: Layout) -> None:
    """Adopt only if a file has come to a generated folder or gone from it: a look at a few folders, not at all files.

    A file that was edited in place is left to `prepare`.
    """
    if generated_folders(layout) and _last_state(run, layout) != _folder_state(layout):
        adopt(run, layout)


def _last_state(run: Run, layout: Layout) -> str | None:
    """The state of the folders at the last look; None if there was none."""
    sql = "SELECT fingerprint FROM step WHERE subject = ? AND step = 'generated'"
    state: str | None = run.store.value(sql, (layout.info.name,))
    return state


def _folder_state(layout: Layout) -> str:
    """A folder's time changes when a file comes, goes or is renamed."""
    return content_hash([[layout.relative(path), path.stat().st_mtime_ns] for path in generated_folders(layout)])


def _text_kind(layout: Layout) -> _Kind:
    source = layout.info.name

    def row(file: GeneratedFile, text: str) -> tuple[Any, ...]:
        text = text.strip()
        if not text:
            raise ValueError("the file is empty")
        return source, file.key, text

    return _Kind("filtered_report", "curated reports", "curated_text", _TEXT_SQL, row)


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
        return by_kind[file.kind], images[file.key].id, file.kind, file.split, encode(parse(_json(text)))

    return _Kind("conversation", "conversations", "conversation", _CONVERSATION_SQL, row)


def _adopt_kind(run: Run, layout: Layout, files: Iterable[GeneratedFile], kind: _Kind) -> None:
    with run.store.write() as connection:  # files that were no good are looked at again, if they are there
        connection.exec_driver_sql(_CLEAR_SQL, (layout.info.name, f"{kind.artifact}s"))
    known = dict(_known_files(run, layout, kind))
    ours = _our_files(run, layout, kind)
    begun = False
    for batch in batched(_fresh((file for file in files if file.path not in ours), known), _BATCH):
        if not begun:
            run.progress.start(f"{layout.info.name}: adopting {kind.title}")
            begun = True
        run.stop.check()
        _adopt_batch(run, layout, kind, batch)
        run.progress.advance(len(batch))
    if known:
        _forget(run, kind, [before.id for before in known.values()])


def _fresh(files: Iterable[GeneratedFile], known: dict[str, _Known]) -> Iterator[tuple[GeneratedFile, _Known | None]]:
    """The files that are new or changed, with what is known of them; takes those that are still there from `known`."""
    for file in files:
        before = known.pop(file.path, None)
        if before is None or before[1:] != (file.bytes, file.mtime_ns):
            yield file, before


def _our_files(run: Run, layout: Layout, kind: _Kind) -> set[str]:
    """The files that this program wrote from its own texts, where those lie among the datasets: not to be adopted."""
    if layout.derived_dir != layout.data_dir:
        return set()
    sql = "SELECT path FROM artifact WHERE root = 'derived' AND kind = ? AND origin = 'written'"
    return {path for (path,) in run.store.rows(sql, (kind.artifact,))}


def _known_files(run: Run, layout: Layout, kind: _Kind) -> Iterator[tuple[str, _Known]]:
    for folder in layout.folders:
        prefix = f"{layout.relative(folder)}/"
        rows = run.store.rows(
            "SELECT path, id, bytes, mtime_ns FROM artifact WHERE root='data' AND path >= ? AND path < ? "
            "AND kind = ? AND origin = 'adopted'",
            (prefix, f"{prefix[:-1]}0", kind.artifact),  # "0" comes after "/"
        )
        for path, *state in rows:
            yield path, _Known(*state)


def _forget(run: Run, kind: _Kind, ids: list[int]) -> None:
    """Remove the rows of files that are gone or no longer good."""
    with run.store.write(foreign_keys=False) as connection:
        connection.exec_driver_sql("CREATE TEMP TABLE gone (id INTEGER PRIMARY KEY)")
        execute_many(connection, "INSERT INTO gone VALUES (?)", [(row_id,) for row_id in ids])
        gone = "SELECT id FROM gone"
        connection.exec_driver_sql(f"DELETE FROM {kind.table} WHERE origin='adopted' AND artifact_id IN ({gone})")
        connection.exec_driver_sql(f"DELETE FROM artifact WHERE id IN ({gone})")
        connection.exec_driver_sql("DROP TABLE gone")


def _adopt_batch(run: Run, layout: Layout, kind: _Kind, files: list[tuple[GeneratedFile, _Known | None]]) -> None:
    name, step, root = layout.info.name, f"{kind.artifact}s", f"{layout.data_dir}/"
    good: list[tuple[GeneratedFile, _Known | None, tuple[Any, ...], str]] = []
    failures, failed = [], []
    for file, before in files:
        try:
            content = _read(root + file.path)
            good.append((file, before, kind.row(file, _text(content)), sha256(content).hexdigest()))
        except (OSError, ValueError, DataError) as error:
            failures.append(("prepare", name, step, file.path, "failed", _reason(error), run.id))
            if before is not None:
                failed.append(before.id)
    with run.store.write() as connection:
        # Ids are given out inside the transaction: another stage may be writing files of its own.
        fresh = count(int(connection.exec_driver_sql("SELECT coalesce(max(id), 0) + 1 FROM artifact").scalar() or 1))
        artifacts, rows = [], []
        for file, before, row, digest in good:
            row_id = before.id if before is not None else next(fresh)
            artifacts.append((row_id, file.path, kind.artifact, digest, file.bytes, file.mtime_ns, run.id))
            rows.append((*row, row_id, run.id))
        execute_many(connection, _ARTIFACT_SQL, artifacts)
        execute_many(connection, kind.insert, rows)
        execute_many(connection, OUTCOME_SQL, failures)
    if failed:
        _forget(run, kind, failed)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError("the file is not JSON") from error


def _text(content: bytes) -> str:
    if b"\0" in content:
        raise ValueError("the file holds zero bytes: a part of it is lost")
    return content.decode("utf-8")


def _read(path: str) -> bytes:
    """The whole of a small file with three system calls: there are half a million of them."""
    handle = os.open(path, os.O_RDONLY)
    try:
        content = os.read(handle, 1 << 16)
        return content if len(content) < 1 << 16 else content + b"".join(iter(lambda: os.read(handle, 1 << 20), b""))
    finally:
        os.close(handle)


def _reason(error: Exception) -> str:
    """Why a file is no good, without quoting it."""
    if isinstance(error, DataError):
        return error.message
    if isinstance(error, UnicodeDecodeError):
        return "the file is not UTF-8 text"
    if isinstance(error, OSError):
        return f"the file cannot be read: {error.strerror}"
    return str(error)
