"""What `radvlm db` shows and checks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from radvlm_cli.files import TEMPORARY_SUFFIX
from radvlm_cli.hashing import file_sha256
from radvlm_cli.store.engine import Store, open_store
from radvlm_cli.store.revisions import revision_of
from radvlm_cli.store.runs import mark_dead_runs
from radvlm_cli.store.tables import VOCABULARY

_DERIVED_FOLDERS = ("train_jpg", "test_jpg", "images_grounding_jpg")
_PREPARE = "radvlm prepare --source all"
_BUILD = "radvlm build, with the options that the dataset was built with"


class Finding(NamedTuple):
    """One check: how much is wrong, an example, and what mends it."""

    check: str
    found: int
    example: str | None
    remedy: str | None


def store_status(path: Path) -> dict[str, Any]:
    """Revision, size, rows per table and the last runs."""
    with open_store(path, create=False, allow_network=True) as store:
        mark_dead_runs(store)
        tables = [name for (name,) in store.rows("SELECT name FROM sqlite_master WHERE type='table' ORDER BY rowid")]
        counts = {name: store.value(f"SELECT count(*) FROM {name}") for name in tables if name != "alembic_version"}
        columns = ("id", "command", "status", "started_at", "ended_at", "host", "message")
        runs = store.rows(f"SELECT {', '.join(columns)} FROM run ORDER BY id DESC LIMIT 10")
        return {
            "store": str(path),
            "revision": revision_of(path),
            "bytes": path.stat().st_size,
            "tables": [{"table": name, "rows": count} for name, count in counts.items() if count],
            "runs": [dict(zip(columns, row, strict=True)) for row in runs],
        }


def list_problems(path: Path) -> list[dict[str, Any]]:
    """The view `problem`, most frequent first."""
    columns = ("stage", "subject", "step", "status", "reason", "items")
    with open_store(path, create=False, allow_network=True) as store:
        rows = store.rows(f"SELECT {', '.join(columns)} FROM problem ORDER BY items DESC, subject, reason")
        return [dict(zip(columns, row, strict=True)) for row in rows]


def check_store(path: Path, data_dir: Path | None, derived_dir: Path | None) -> list[Finding]:
    """Every check, those that found nothing too. Nothing is changed."""
    with open_store(path, create=False, allow_network=True) as store:
        findings = [_integrity(store), _foreign_keys(store), _vocabulary(store), _pairs_without_records(store)]
        findings += [_unfinished(store), _changed_artifacts(store, data_dir, derived_dir)]
        if data_dir is not None and derived_dir is not None:
            findings += [_images_without_files(store, data_dir, derived_dir)]
            findings += [_files_without_rows(store, derived_dir), _leftovers(derived_dir)]
        return findings


def _finding(check: str, wrong: Iterator[str], remedy: str) -> Finding:
    first = next(wrong, None)
    return Finding(check, (first is not None) + sum(1 for _ in wrong), first, None if first is None else remedy)


def _integrity(store: Store) -> Finding:
    wrong = (str(row[0]) for row in store.rows("PRAGMA integrity_check(100)") if row[0] != "ok")
    return _finding("database pages and indexes", wrong, "restore the last backup (radvlm db backup makes them)")


def _foreign_keys(store: Store) -> Finding:
    wrong = (f"{row[0]} row {row[1]} -> {row[2]}" for row in store.rows("PRAGMA foreign_key_check"))
    return _finding("rows that point to nothing", wrong, f"{_PREPARE} --force")


def _vocabulary(store: Store) -> Finding:
    def wrong() -> Iterator[str]:
        for table, columns in VOCABULARY.items():
            for column, values in columns.items():
                known = ", ".join(f"'{value}'" for value in values)
                rows = store.rows(f"SELECT DISTINCT {column} FROM {table} WHERE {column} NOT IN ({known})")
                yield from (f"{table}.{column} = {value!r}" for (value,) in rows)

    return _finding("values that a column may not have", wrong(), f"{_PREPARE} --force")


def _pairs_without_records(store: Store) -> Finding:
    rows = store.rows(
        "SELECT pair_id FROM pair WHERE NOT EXISTS (SELECT 1 FROM image WHERE image.id = pair.image_id) "
        "OR (curated_text_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM curated_text c WHERE c.id = curated_text_id)) "
        "OR (conversation_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM conversation v WHERE v.id = conversation_id))"
    )
    return _finding("pairs whose records are gone", (str(r[0]) for r in rows), _BUILD)


def _unfinished(store: Store) -> Finding:
    wrong = (
        f"{name} in {output}" for name, output in store.rows("SELECT name, output FROM dataset WHERE status='building'")
    )
    return _finding("datasets left half built", wrong, _BUILD)


def _root(root: str, path: str, data_dir: Path | None, derived_dir: Path | None) -> Path | None:
    folder = {"data": data_dir, "derived": derived_dir, "output": Path("/")}.get(root)
    return None if folder is None else folder / path


def _changed_artifacts(store: Store, data_dir: Path | None, derived_dir: Path | None) -> Finding:
    def wrong() -> Iterator[str]:
        for root, name, digest, size, mtime in store.rows("SELECT root, path, sha256, bytes, mtime_ns FROM artifact"):
            path = _root(root, name, data_dir, derived_dir)
            if path is None:
                continue
            if not path.is_file():
                yield f"{path} is gone"
            elif (state := path.stat()).st_size != size or (state.st_mtime_ns != mtime and file_sha256(path) != digest):
                yield f"{path} has changed"

    return _finding(
        "files that are gone or changed since they were written", wrong(), "run the stage that made them again"
    )


def _images_without_files(store: Store, data_dir: Path, derived_dir: Path) -> Finding:
    def wrong() -> Iterator[str]:
        for root, name in store.rows("SELECT root, path FROM image WHERE status = 'present'"):
            path = _root(root, name, data_dir, derived_dir)
            if path is not None and not path.is_file():
                yield f"{path} is gone"

    return _finding("images whose file is gone", wrong(), f"restore them, or have it noted: {_PREPARE} --force")


def _files_without_rows(store: Store, derived_dir: Path) -> Finding:
    known = {path for (path,) in store.rows("SELECT path FROM artifact WHERE root = 'derived'")}

    def wrong() -> Iterator[str]:
        for folder in _DERIVED_FOLDERS:
            for path in sorted(derived_dir.glob(f"*/{folder}/*.jpg")):
                if path.relative_to(derived_dir).as_posix() not in known:
                    yield str(path)

    return _finding(
        "converted images that the store does not know",
        wrong(),
        f"{_PREPARE}, which adopts those that have an original; delete the others",
    )


def _leftovers(derived_dir: Path) -> Finding:
    wrong = (str(path) for folder in _DERIVED_FOLDERS for path in derived_dir.glob(f"*/{folder}/*{TEMPORARY_SUFFIX}"))
    return _finding("temporary files of a killed run", wrong, f"{_PREPARE} (it removes them)")
