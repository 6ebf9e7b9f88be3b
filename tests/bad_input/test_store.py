"""A store that is damaged, of another program, from the future, busy or in a bad place: every command says so."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from radvlm_cli.store import engine
from radvlm_cli.store.lock import stage_lock
from tests.bad_input.conftest import Begin
from tests.bad_input.trial import Ended, Trial, differences, said


def _sql(statement: str) -> Callable[[Path], object]:
    def damage(path: Path) -> None:
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(statement)

    return damage


def _half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _lost_block(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:8192] + bytes(40960) + content[49152:])


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a text file": (lambda path: path.write_text("notes " * 500), "is not a radvlm store"),
    "half of it": (_half, "is damaged: database disk image is malformed"),
    "another program's": (_sql("DROP TABLE run"), "is an SQLite file of another program"),
    "from the future": (
        _sql("UPDATE alembic_version SET version_num = '9999'"),
        "is at revision 9999; this radvlm knows",
    ),
    "of a revision that never was": (_sql("UPDATE alembic_version SET version_num = '0000'"), "is at revision 0000"),
    "without a revision": (_sql("DELETE FROM alembic_version"), "does not say which revision"),
    "a folder": (_folder, "is a folder, not a store|cannot be opened"),
}

COMMANDS: dict[str, Callable[[Trial], Ended]] = {
    "prepare": lambda trial: trial.prepare("chexpert"),
    "build": lambda trial: trial.build(),
    "build --dry-run": lambda trial: trial.build("--dry-run"),
    "db status": lambda trial: trial.run("db", "status", "--store", str(trial.store)),
    "db check": lambda trial: trial.run("db", "check", "--store", str(trial.store)),
    "db problems": lambda trial: trial.run("db", "problems", "--store", str(trial.store)),
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES)
def test_a_bad_store_is_one_clear_error(
    begin: Begin, damage: Callable[[Path], object], message: str, command: Callable[[Trial], Ended]
) -> None:
    trial, _ = begin("chexpert")
    trial.prepare("chexpert")
    damage(trial.store)
    before = trial.store.read_bytes() if trial.store.is_file() else None
    error = said(command(trial))
    assert re.search(message, error), error
    assert before is None or trial.store.read_bytes() == before


@pytest.mark.parametrize("command", ["prepare", "build", "db check"])
def test_a_lost_block_is_one_clear_error_to_all_that_read_it(begin: Begin, command: str) -> None:
    trial, _ = begin("chexpert")
    trial.prepare("chexpert")
    _lost_block(trial.store)
    assert "is damaged: database disk image is malformed" in said(COMMANDS[command](trial))


@pytest.mark.parametrize("damage", ["a text file", "half of it", "a folder"])
@pytest.mark.parametrize("command", ["upgrade", "backup"])
def test_a_bad_store_is_neither_upgraded_nor_copied(begin: Begin, damage: str, command: str) -> None:
    trial, _ = begin("chexpert")
    trial.prepare("chexpert")
    DAMAGES[damage][0](trial.store)
    error = said(trial.run("db", command, "--store", str(trial.store)))
    assert re.search(DAMAGES[damage][1], error), error


@pytest.mark.parametrize("damage", DAMAGES)
def test_doctor_looks_at_a_bad_store_without_stumbling(begin: Begin, damage: str) -> None:
    trial, _ = begin("chexpert")
    DAMAGES[damage][0](trial.store)
    assert trial.stage("doctor").code in (0, 4)


@pytest.mark.parametrize("command", ["status", "check", "problems", "upgrade", "backup"])
def test_a_store_that_is_not_there_is_not_made(tmp_path: Path, begin: Begin, command: str) -> None:
    trial, _ = begin("chexpert")
    missing = tmp_path / "nowhere.db"
    assert "There is no store at" in said(trial.run("db", command, "--store", str(missing)))
    assert not missing.exists()


def test_a_backup_overwrites_nothing(begin: Begin) -> None:
    trial, _ = begin("chexpert")
    target = trial.home / "copy.db"
    target.write_text("mine")
    assert "exists already" in said(trial.run("db", "backup", "--store", str(trial.store), "--to", str(target)))
    assert target.read_text() == "mine"


def test_a_backup_to_no_folder_says_so(begin: Begin) -> None:
    trial, _ = begin("chexpert")
    target = trial.home / "no" / "copy.db"
    assert "There is no folder" in said(trial.run("db", "backup", "--store", str(trial.store), "--to", str(target)))


def test_a_network_file_system_is_refused_unless_asked_for(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    trial, undamaged = begin("chexpert")
    monkeypatch.setattr(engine, "file_system", lambda _folder: "nfs4")
    assert "network file system (nfs4)" in said(trial.prepare("chexpert"))
    assert trial.prepare("chexpert", more=("--allow-network-store",)).code == 0
    assert not differences(undamaged, trial.content())


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_may_not_be_written_is_one_clear_error(begin: Begin) -> None:
    trial, _ = begin("chexpert")
    trial.store.unlink()
    trial.home.chmod(0o555)
    try:
        assert "permission denied" in said(trial.prepare("chexpert"))
    finally:
        trial.home.chmod(0o755)


@pytest.mark.parametrize("stage", ["prepare", "build"])
def test_two_at_once_are_told_of_each_other(begin: Begin, stage: str) -> None:
    trial, _ = begin("chexpert")
    trial.prepare("chexpert")
    before = trial.content()
    with stage_lock(trial.store, stage):
        error = said(trial.prepare("chexpert") if stage == "prepare" else trial.build())
    assert f"Another `radvlm {stage}` is at work" in error
    assert f"process {os.getpid()}" in error
    assert not differences(before, trial.content())


def test_the_lock_of_another_process_is_seen_and_goes_with_it(begin: Begin) -> None:
    trial, _ = begin("chexpert")
    code = (
        "import sys, pathlib; from radvlm_cli.store.lock import stage_lock\n"
        f"with stage_lock(pathlib.Path({str(trial.store)!r}), 'prepare'):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert f"process {holder.pid}" in said(trial.prepare("chexpert"))
        holder.kill()
    assert trial.prepare("chexpert").code == 0


def test_images_that_went_after_prepare_are_found_by_check(begin: Begin) -> None:
    trial, _ = begin("padchest-gr")
    trial.prepare("padchest-gr")
    places = ["--store", str(trial.store), "--data-dir", str(trial.data), "--derived-dir", str(trial.home / "derived")]
    assert trial.run("db", "check", *places).code == 0
    lost = sorted((trial.home / "derived").rglob("*.jpg"))[0]
    lost.unlink()
    ended = trial.run("db", "check", *places)
    assert ended.code == 4
    assert "images whose file is gone" in ended.out
    assert lost.name in ended.out
