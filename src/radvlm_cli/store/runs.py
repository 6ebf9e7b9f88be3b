"""A run: one invocation of a stage, from start to end, with a heartbeat while it lives."""

from __future__ import annotations

import json
import os
import platform
import shutil
import socket
import subprocess
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from radvlm_cli import __version__
from radvlm_cli.errors import ConfigError, Interrupted, RadvlmError, StoreError
from radvlm_cli.hashing import canonical_json, content_hash
from radvlm_cli.progress import Progress, Silent, StopSignal
from radvlm_cli.store.engine import Store
from radvlm_cli.store.lock import stage_lock

HEARTBEAT_S = 10
DEAD_AFTER_S = 60


class Run:
    """A run in progress: what stages write through, and report to."""

    def __init__(self, store: Store, run_id: int, progress: Progress, stop: StopSignal) -> None:
        self.store = store
        self.id = run_id
        self.progress = progress
        self.stop = stop
        self.failed_items = 0
        self.left_to: str | None = None
        """Who does the rest, e.g. a SLURM job, where the run is not done when its command ends well."""

    def tally(self, subject: str, counts: Mapping[str, int]) -> None:
        """Store counts that will be printed; the same subject and name again replaces."""
        with self.store.write() as connection:
            for name, value in counts.items():
                connection.exec_driver_sql(
                    "INSERT INTO tally (run_id, subject, name, value) VALUES (?, ?, ?, ?) "
                    "ON CONFLICT (run_id, subject, name) DO UPDATE SET value = excluded.value",
                    (self.id, subject, name, value),
                )


@contextmanager
def open_run(
    store: Store,
    command: str,
    arguments: Mapping[str, Any],
    *,
    resume: bool = False,
    progress: Progress | None = None,
    stop: StopSignal | None = None,
    side_by_side: bool = False,
    run_id: int | None = None,
    may_change: Collection[str] = (),
) -> Iterator[Run]:
    """Record a run around the body: running, then done, partial, failed or interrupted, with the reason.

    `resume` goes on with the record of the last run of this command that did not finish, and refuses (ConfigError,
    naming what changed) if the arguments are not the same, those in `may_change` aside. One run of a command at a time
    per store (StoreError); `side_by_side`: any number of runs, but one process at a time for each. `run_id` names the
    unfinished run to resume, instead of the last.
    """
    options: dict[str, Any] = json.loads(canonical_json(dict(arguments)))
    with ExitStack() as locks:
        if not side_by_side:
            locks.enter_context(stage_lock(store.path, command))
        mark_dead_runs(store, locked=None if side_by_side else command)
        chosen = (run_id or last_unfinished(store, command)) if resume else None
        if side_by_side and chosen is not None:
            locks.enter_context(stage_lock(store.path, command, chosen))
        if chosen is not None:
            _resume(store, command, chosen, options, may_change)
        else:
            chosen = _insert(store, command, options)
            if side_by_side:
                locks.enter_context(stage_lock(store.path, command, chosen))
        run = Run(store, chosen, progress or Silent(), stop or StopSignal())
        with _recorded(run):
            yield run


@contextmanager
def _recorded(run: Run) -> Iterator[None]:
    with _heartbeat(run.store, run.id):
        try:
            yield
        except (Interrupted, KeyboardInterrupt) as error:
            _finish(run.store, run.id, "interrupted", str(error) or "stopped at once")
            raise
        except BaseException as error:
            _finish(run.store, run.id, "failed", _message(error))
            raise
    if run.left_to is not None:
        _finish(run.store, run.id, "interrupted", run.left_to)
    else:
        _finish(run.store, run.id, "partial" if run.failed_items else "done", None)


def mark_dead_runs(store: Store, *, locked: str | None = None) -> int:
    """Mark runs as interrupted whose process is gone (same host) or silent for a minute; return how many.

    `locked` is a command whose lock the caller holds: its other runs on this host are over, even where a killed process
    still has a process id because nobody has taken note of its end.
    """
    now = datetime.now(UTC)
    dead = []
    for run_id, command, host, pid, heartbeat in store.rows(
        "SELECT id, command, host, pid, heartbeat_at FROM run WHERE status='running'"
    ):
        silent = now - datetime.fromisoformat(heartbeat) > timedelta(seconds=DEAD_AFTER_S)
        gone = host == socket.gethostname() and (command == locked or not _alive(pid))
        if pid != os.getpid() and (gone or (silent and host != socket.gethostname())):
            dead.append(run_id)
    for run_id in dead:
        _finish(store, run_id, "interrupted", "the process ended without a word")
    return len(dead)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def last_unfinished(store: Store, command: str) -> int | None:
    """The last run of `command` that did not finish and that none which did has followed."""
    found = store.value(
        "SELECT id FROM run WHERE command = ? AND status IN ('interrupted','failed') "
        "AND id > coalesce((SELECT max(id) FROM run WHERE command = ? AND status IN ('done','partial')), 0) "
        "ORDER BY id DESC LIMIT 1",
        (command, command),
    )
    return None if found is None else int(found)


def _resume(
    store: Store, command: str, run_id: int, arguments: dict[str, Any], may_change: Collection[str] = ()
) -> None:
    before = json.loads(store.value("SELECT arguments FROM run WHERE id = ?", (run_id,)))
    names = {*before, *arguments} - set(may_change)
    changed = sorted(name for name in names if before.get(name) != arguments.get(name))
    if changed:
        listed = "; ".join(f"{n}: was {before.get(n)!r}, now {arguments.get(n)!r}" for n in changed)
        raise ConfigError(
            f"Run {run_id}, which did not finish, had other options ({listed}).",
            f"Run it with the options it had, or start anew: radvlm {command} without --resume",
        )
    with store.write() as connection:
        connection.exec_driver_sql(
            "UPDATE run SET status='running', message=NULL, ended_at=NULL, resumed=resumed+1, host=?, pid=?, "
            "heartbeat_at=?, version=?, arguments=?, config_hash=? WHERE id=?",
            (
                socket.gethostname(),
                os.getpid(),
                _now(),
                __version__,
                canonical_json(arguments),
                content_hash({"command": command, "arguments": arguments}),
                run_id,
            ),
        )


def _insert(store: Store, command: str, arguments: dict[str, Any]) -> int:
    commit, dirty = _git_state()
    now = _now()
    with store.write() as connection:
        cursor = connection.exec_driver_sql(
            "INSERT INTO run (command, arguments, config_hash, version, python, git_commit, git_dirty, host, pid, "
            "started_at, heartbeat_at, status, resumed) VALUES (?,?,?,?,?,?,?,?,?,?,?,'running',0)",
            (
                command,
                canonical_json(arguments),
                content_hash({"command": command, "arguments": arguments}),
                __version__,
                f"{platform.python_version()} {platform.platform()}",
                commit,
                dirty,
                socket.gethostname(),
                os.getpid(),
                now,
                now,
            ),
        )
        return int(cursor.lastrowid)


def _finish(store: Store, run_id: int, status: str, message: str | None) -> None:
    with store.write() as connection:
        connection.exec_driver_sql(
            "UPDATE run SET status=?, message=?, ended_at=?, heartbeat_at=? WHERE id=?",
            (status, message, _now(), _now(), run_id),
        )


def _message(error: BaseException) -> str:
    """What to keep of an error: our own messages whole, of others only the type (they may quote patient data)."""
    return error.message if isinstance(error, RadvlmError) else type(error).__name__


@contextmanager
def _heartbeat(store: Store, run_id: int) -> Iterator[None]:
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(HEARTBEAT_S):
            try:
                with store.write() as connection:
                    connection.exec_driver_sql("UPDATE run SET heartbeat_at=? WHERE id=?", (_now(), run_id))
            except StoreError:
                continue  # the store is busy; the next beat tells

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _git_state() -> tuple[str | None, int | None]:
    """Commit and cleanliness of the checkout that this code lies in; (None, None) for an installed package."""
    folder = Path(__file__).resolve().parents[3]
    if not (folder / ".git").exists() or shutil.which("git") is None:
        return None, None

    def git(*arguments: str) -> str | None:
        result = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False)
        return result.stdout.strip() if result.returncode == 0 else None

    commit, changes = git("rev-parse", "HEAD"), git("status", "--porcelain", "--untracked-files=no")
    return commit, None if changes is None else int(bool(changes))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
