"""Checkpoints that are complete or absent.

A checkpoint is a folder RUN/checkpoints/checkpoint-STEP. Whatever the ranks write goes to a staging folder beside it;
`radvlm_checkpoint.json`, with the name and size of every file, is written last, and one rename makes it a checkpoint.
So a folder of that name either holds all of its files or was damaged afterwards, and `newest` tells the two apart.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from finetuning.continuity import Facts
from finetuning.errors import CheckpointError
from finetuning.space import given_up_on_error, refuse_if_full

__all__ = ["Checkpoint", "Facts", "check", "clean_staging", "newest", "read", "rotate", "save", "sync_tree"]

MANIFEST = "radvlm_checkpoint.json"
FORMAT = 1
LEAST_KEPT = 2
SMALL_FILE = 1 << 20
"""Files up to this size are held to their sha256 too: a few kilobytes of state are as needed as the weights."""

STAGING, REPLACED, REMOVED, GIVEN_UP = ".staging-", ".replaced-", ".removed-", ".given-up-"
_WROTE = ".written-by-"
_NAME = re.compile(r"checkpoint-(\d+)")

Note = Callable[[str], None]


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint as its manifest describes it."""

    path: Path
    facts: Facts
    files: Mapping[str, int]
    """Path relative to the checkpoint -> bytes."""
    sha256: Mapping[str, str]
    """The same for small files -> SHA-256 (hex)."""
    saved_at: str

    @property
    def bytes(self) -> int:
        """Size of all files together."""
        return sum(self.files.values())


def read(path: Path) -> Checkpoint:
    """The checkpoint in folder `path` by its manifest; CheckpointError where that is missing or not readable."""
    try:
        body: dict[str, Any] = json.loads((path / MANIFEST).read_bytes())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} is no complete checkpoint: {MANIFEST} cannot be read ({error})") from None
    if body.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} has format {body.get('format')!r}, this version reads {FORMAT}",
            "Resume with the version of radvlm that wrote it.",
        )
    try:
        facts = Facts(**{each.name: body[each.name] for each in fields(Facts)})
        return Checkpoint(path, facts, body["files"], body["sha256"], body["saved_at"])
    except KeyError as error:
        raise CheckpointError(f"{path / MANIFEST} lacks {error}") from None


def check(checkpoint: Checkpoint) -> None:
    """Raise CheckpointError, naming the first file that is missing, of another size, or (small files) changed."""
    for name, size in checkpoint.files.items():
        file = checkpoint.path / name
        try:
            found = file.stat().st_size
        except OSError as error:
            raise CheckpointError(f"{checkpoint.path} is damaged: {name} cannot be read ({error.strerror})") from None
        if found != size:
            raise CheckpointError(f"{checkpoint.path} is damaged: {name} has {found:,} bytes instead of {size:,}")
        if name in checkpoint.sha256 and _sha256(file) != checkpoint.sha256[name]:
            raise CheckpointError(f"{checkpoint.path} is damaged: {name} has been changed")


def listed(folder: Path) -> list[tuple[int, Path]]:
    """Folders called checkpoint-STEP, newest first, damaged ones too."""
    if not folder.is_dir():
        return []
    found = ((_NAME.fullmatch(path.name), path) for path in folder.iterdir() if path.is_dir())
    return sorted(((int(match[1]), path) for match, path in found if match), reverse=True)


def newest(folder: Path, note: Note | None = None) -> Checkpoint | None:
    """The newest complete checkpoint in `folder`, or None; `note` is told of each damaged one that was passed over.

    Raises CheckpointError where there are checkpoints and not one is complete: going on from nothing would be worse.
    """
    damage: list[str] = []
    for _step, path in listed(folder):
        try:
            checkpoint = read(path)
            check(checkpoint)
        except CheckpointError as error:
            damage.append(error.message)
            continue
        for message in damage:
            if note is not None:
                note(f"{message}; going on from {path.name}, the newest complete one.")
        return checkpoint
    if damage:
        raise CheckpointError(
            "No complete checkpoint is left: " + "; ".join(damage),
            f"Restore one of them, or remove {folder} to train from the start.",
        )
    return None


def complete(path: Path) -> bool:
    """Whether `path` is a complete checkpoint."""
    try:
        check(read(path))
    except CheckpointError:
        return False
    return True


def clean_staging(folder: Path) -> None:
    """Remove what a killed run left half done; for rank 0 at the start, while it holds the run's lock.

    A checkpoint that was being replaced when the run died is put back where it is still complete.
    """
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if path.name.startswith(REPLACED):
            target = folder / f"checkpoint-{path.name.removeprefix(REPLACED)}"
            if not target.exists() and complete(path):
                path.rename(target)
                continue
        if path.name.startswith((STAGING, REPLACED, REMOVED)):
            shutil.rmtree(path, ignore_errors=True)
        elif path.name.startswith(GIVEN_UP):
            path.unlink(missing_ok=True)


def rotate(folder: Path, keep: int) -> list[Path]:
    """Remove all but the `keep` newest complete checkpoints (never below LEAST_KEPT) and return what was removed.

    Damaged ones older than those go too; a damaged newer one stays until it is saved again.
    """
    kept, removed = 0, []
    for step, path in listed(folder):
        if kept >= max(keep, LEAST_KEPT):
            # The rename comes first: a kill meanwhile leaves no folder that looks like a checkpoint.
            gone = folder / f"{REMOVED}{step}"
            shutil.rmtree(gone, ignore_errors=True)
            path.rename(gone)
            shutil.rmtree(gone, ignore_errors=True)
            removed.append(path)
        elif complete(path):
            kept += 1
    return removed


def save(
    folder: Path,
    step: int,
    write: Callable[[Path], None],
    *,
    facts: Facts,
    rank: int,
    world: int,
    barrier: Callable[[], None],
    keep: int = LEAST_KEPT,
    first_of_node: bool | None = None,
) -> Path:
    """Save a checkpoint together with all ranks; returns its path once it is complete on disk.

    Every rank calls this with a `write` of its own, which puts this rank's files into the folder that it is given and
    may meet the other ranks inside. `barrier` waits for all ranks. `first_of_node` is true on one rank of each node
    (local rank 0; without it rank 0): it flushes the node's files. A complete checkpoint of the same facts is kept.

    Raises CheckpointError where the disk is full (the staging folder is removed first, older checkpoints stand as they
    were). The other ranks may wait for this one in `write` or `barrier`: after any error the process must end.
    """
    target, staging = folder / f"checkpoint-{step}", folder / f"{STAGING}{step}"
    reason, expected = folder / f"{GIVEN_UP}{step}", _last_size(folder)
    stands = _stands(target, facts)
    barrier()  # every rank has looked before any of them changes something
    if stands:
        return target
    if rank == 0:
        refuse_if_full(folder, target.name, expected)
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
    barrier()
    with given_up_on_error(staging, reason, expected):
        staging.mkdir(exist_ok=True)
        write(staging)
        (staging / f"{_WROTE}{rank}").touch()
    barrier()
    if first_of_node if first_of_node is not None else rank == 0:
        sync_tree(staging)
    barrier()
    if rank == 0:
        with given_up_on_error(staging, reason, expected):
            _finish(staging, target, facts, world)
    barrier()
    if rank == 0:
        rotate(folder, keep)
    return target


def _stands(target: Path, facts: Facts) -> bool:
    try:
        checkpoint = read(target)
        check(checkpoint)
    except CheckpointError:
        return False
    return checkpoint.facts == facts


def _last_size(folder: Path) -> int | None:
    for _step, path in listed(folder):
        try:
            return read(path).bytes
        except CheckpointError:
            continue
    return None


def _finish(staging: Path, target: Path, facts: Facts, world: int) -> None:
    """Rank 0, after all have written: the manifest, then the rename that makes it a checkpoint."""
    absent = [rank for rank in range(world) if not (staging / f"{_WROTE}{rank}").exists()]
    if absent:
        raise CheckpointError(
            f"Files of rank {', '.join(map(str, absent[:8]))} are not in {staging}: the nodes do not share the folder",
            "Put the run folder on a file system that all nodes see.",
        )
    for rank in range(world):
        (staging / f"{_WROTE}{rank}").unlink()
    with (staging / MANIFEST).open("x", encoding="utf-8") as stream:
        json.dump(_describe(staging, facts), stream, indent=1)
        stream.flush()
        os.fsync(stream.fileno())
    _sync(staging)
    replaced = target.with_name(f"{REPLACED}{facts.step}")
    if target.exists():
        shutil.rmtree(replaced, ignore_errors=True)
        target.rename(replaced)
    staging.rename(target)
    _sync(target.parent)
    shutil.rmtree(replaced, ignore_errors=True)


def _describe(folder: Path, facts: Facts) -> dict[str, Any]:
    """The manifest of the checkpoint whose files lie in `folder`."""
    files = {
        p.relative_to(folder).as_posix(): p for p in sorted(folder.rglob("*")) if p.is_file() and p.name != MANIFEST
    }
    sizes = {name: path.stat().st_size for name, path in files.items()}
    small = {name: _sha256(path) for name, path in files.items() if sizes[name] <= SMALL_FILE}
    saved_at = datetime.now(UTC).isoformat(timespec="seconds")
    return {"format": FORMAT, **asdict(facts), "files": sizes, "sha256": small, "saved_at": saved_at}


def sync_tree(folder: Path, *, below: bool = True) -> None:
    """Flush `folder` to disk: the names in it, and (`below`) every file and folder under it."""
    for path in sorted(folder.rglob("*"), reverse=True) if below else ():
        _sync(path)
    _sync(folder)


def _sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
