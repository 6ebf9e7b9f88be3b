import sqlite3
import threading
from pathlib import Path

import pytest

from radvlm_cli.errors import StoreError
from radvlm_cli.store import engine
from radvlm_cli.store.engine import Store, open_store


def test_a_new_store_is_in_wal_mode_with_foreign_keys_on(store: Store) -> None:
    assert store.value("PRAGMA journal_mode") == "wal"
    assert store.value("PRAGMA foreign_keys") == 1
    assert store.value("PRAGMA synchronous") == 1


def test_a_write_that_fails_leaves_nothing_behind(store: Store, run: object) -> None:
    def write_and_fail() -> None:
        with store.write() as connection:
            connection.exec_driver_sql("INSERT INTO tally VALUES (1, 'a', 'b', 0)")
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        write_and_fail()
    assert store.value("SELECT count(*) FROM tally") == 0


def test_rows_stream_while_another_connection_writes(store: Store, run: object) -> None:
    with store.write() as connection:
        for number in range(12_000):
            connection.exec_driver_sql("INSERT INTO tally VALUES (1, 'a', ?, 1)", (f"{number:05}",))
    rows = store.rows("SELECT name FROM tally ORDER BY name")
    assert next(rows) == ("00000",)
    with store.write() as connection:
        connection.exec_driver_sql("INSERT INTO tally VALUES (1, 'b', 'x', 1)")
    assert sum(1 for _ in rows) == 11_999


def test_two_writers_take_turns(store: Store, run: object) -> None:
    def write(subject: str) -> None:
        for number in range(50):
            with store.write() as connection:
                connection.exec_driver_sql("INSERT INTO tally VALUES (1, ?, ?, 1)", (subject, str(number)))

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.value("SELECT count(*) FROM tally") == 200


def test_a_text_file_is_refused_as_a_store(tmp_path: Path) -> None:
    path = tmp_path / "radvlm.db"
    path.write_text("this is no database, whatever its name says" * 50)
    with pytest.raises(StoreError, match="not a radvlm store"), open_store(path):
        pass


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "radvlm.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE run (id INTEGER)")
    connection.close()
    with pytest.raises(StoreError, match="another program"), open_store(path):
        pass


def test_a_folder_is_refused_as_a_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is a folder"), open_store(tmp_path):
        pass


def test_a_missing_store_is_not_made_where_that_was_not_asked_for(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no store"), open_store(tmp_path / "radvlm.db", create=False):
        pass
    assert not (tmp_path / "radvlm.db").exists()


def test_a_network_file_system_is_refused_unless_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "file_system", lambda _folder: "nfs4")
    with pytest.raises(StoreError, match="network file system") as caught, open_store(tmp_path / "radvlm.db"):
        pass
    assert "--allow-network-store" in (caught.value.hint or "")
    with open_store(tmp_path / "radvlm.db", allow_network=True) as store:
        assert store.value("SELECT count(*) FROM run") == 0


def test_a_truncated_store_says_that_it_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "radvlm.db"
    with open_store(path):
        pass
    path.write_bytes(path.read_bytes()[:20_000])

    def use() -> None:
        with open_store(path) as store:
            list(store.rows("SELECT * FROM image"))
            list(store.rows("SELECT * FROM pair"))

    with pytest.raises(StoreError, match=r"damaged|not a radvlm store"):
        use()
