"""Who is let in by `radvlm serve`, what they cannot do: write, read other files, wait for ever."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from datasette.app import Datasette
from datasette.utils.asgi import Forbidden
from PIL import Image

from radvlm_cli.demo.mark import MARK
from radvlm_cli.stages.serving import read_only
from radvlm_cli.stages.serving.access import held
from radvlm_cli.stages.serving.read_only import NAME, ReadOnlyStore
from radvlm_cli.store.engine import Store, open_store
from radvlm_cli.store.runs import open_run
from radvlm_cli.store.snapshot import open_snapshot
from tests.stages.evaluation.evaluated import BOX, add_evaluation, add_test_set, phrases
from tests.stages.serving.asking import Asking, asking

TOKEN = "a-key-that-nobody-guesses"


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with an evaluation, and one image in the folder `data` beside it among other files; not to change."""
    folder = tmp_path_factory.mktemp("kept")
    data = folder / "data"
    data.mkdir()
    for file in (data / "a.png", folder / "outside.png"):
        Image.new("L", (40, 30), 9).save(file)
    (data / "notes.jpg").write_text("no image")
    rows = ("a.png", "../outside.png", str(folder / "outside.png"), "notes.jpg", "none.jpg", "", ".")
    with open_store(folder / "radvlm.db") as store, open_run(store, "test", {}) as run:
        test_set = add_test_set(store, run, "phrases", "phrase", phrases(4))
        add_evaluation(store, run, test_set, "maira2", [[BOX]] * 4)
        with store.write() as connection:
            for place, path in enumerate(rows, 1):
                connection.exec_driver_sql(
                    "INSERT INTO image (id, source, image_id, root, path, status, run_id) "
                    "VALUES (?, 'mimic', ?, 'data', ?, 'present', ?)",
                    (place, str(place), path, run.id),
                )
    return folder / "radvlm.db"


@pytest.fixture(scope="module")
def ask(kept: Path) -> Iterator[Asking]:
    """Whoever is on this machine, without a key."""
    with asking(kept, data=kept.parent / "data") as client:
        yield client


@pytest.fixture(scope="module")
def closed(kept: Path) -> Iterator[Asking]:
    """The same with a key."""
    with asking(kept, token=TOKEN) as client:
        yield client


@pytest.fixture
def path(kept: Path, tmp_path: Path) -> Path:
    """A copy that may be changed, with its folder of data."""
    shutil.copytree(kept.parent, tmp_path / "copy")
    return tmp_path / "copy" / "radvlm.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    """The copy, open for writing."""
    with open_store(path) as opened:
        yield opened


def test_images_are_served_by_id_and_only_from_below_their_folder(ask: Asking) -> None:
    assert ask("/picture/image/1.jpg").content.startswith(b"\xff\xd8")
    for number in (2, 3, 4, 5, 6, 7, 8, 10**17):
        answer = ask(f"/picture/image/{number}.jpg")
        assert answer.status_code == 404, number
        assert "no image" not in answer.text


@pytest.mark.parametrize(
    "way",
    [
        "/picture/image/../../outside.png",
        "/picture/image/..%2F..%2Foutside.png",
        "/picture/image/1.jpg/../../outside.png",
        "/picture/sample/..%2F..%2Fetc%2Fpasswd/0.jpg",
        "/picture/image/a.png",
        "/-/static/..%2F..%2F..%2Fetc/passwd",
        "/-/radvlm/..%2Fpages.css",
        "/store.db",
    ],
)
def test_no_address_leads_to_a_file(ask: Asking, way: str) -> None:
    answer = ask(way)
    assert answer.status_code in (302, 403, 404)
    assert not answer.content.startswith((b"\xff\xd8", b"\x89PNG", b"root:", b"SQLite"))


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO run (id) VALUES (99)",
        "WITH x AS (SELECT 1) DELETE FROM run",
        "SELECT load_extension('x')",
        "ATTACH '/tmp/x.db' AS x",
        "PRAGMA journal_mode=DELETE",
        "SELECT * FROM pragma_journal_mode('delete')",
        "SELECT 1; DROP TABLE run",
    ],
)
def test_sql_that_does_more_than_read_is_refused(ask: Asking, kept: Path, sql: str) -> None:
    before = kept.read_bytes()
    assert ask("/store.json", params={"sql": sql}).status_code == 400
    assert kept.read_bytes() == before


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("where", ["/store/run", "/store/problems", "/store", "/-/messages", "/", "/prediction/1/0"])
def test_only_reading_methods_are_answered(ask: Asking, method: str, where: str) -> None:
    answer = ask(where, method, data={"sql": "DELETE FROM run"} if method == "POST" else None)
    assert answer.status_code == 405


def test_not_even_a_plugin_gets_a_connection_that_writes(kept: Path) -> None:
    database = ReadOnlyStore(Datasette(), kept)
    with pytest.raises(Forbidden):
        database.connect(write=True)
    with pytest.raises(Forbidden):
        asyncio.run(database.execute_write("DELETE FROM run"))
    with closing(database.connect()) as connection, pytest.raises(sqlite3.DatabaseError):
        connection.execute("CREATE TEMP TABLE t (x)")


def test_what_a_run_writes_meanwhile_is_seen_and_nobody_waits(path: Path, store: Store) -> None:
    with asking(path) as client:
        with store.write() as connection:
            connection.exec_driver_sql("UPDATE evaluation SET model = 'renamed'")
            assert "maira2" in client("/prediction/1/0").text  # while the writer holds its lock
        assert "renamed" in client("/prediction/1/0").text
        assert "renamed" in client("/store/failures").text


def test_a_store_in_a_folder_that_cannot_be_written_and_has_a_strange_name_is_read(kept: Path, tmp_path: Path) -> None:
    folder = tmp_path / "50% of ? #1"
    folder.mkdir()
    shutil.copy(kept, folder / "my store.db")
    folder.chmod(0o500)
    try:
        with asking(folder / "my store.db") as client:
            assert client("/prediction/1/0").status_code == 200
            assert client(f"/{NAME}/run").status_code == 200
    finally:
        folder.chmod(0o700)


def test_counting_gives_up_early(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_only, "_COUNT_MS", 20)
    with closing(sqlite3.connect(path)) as connection:
        endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
        connection.execute(f"CREATE VIEW endless AS {endless}")
    with asking(path) as client:
        client("/store/run")
        begun = time.monotonic()
        page = client("/store/endless")
        assert page.status_code == 200
        assert time.monotonic() - begun < 4  # the time limit of other queries is 5 s
        assert "1 row\n" in client("/store/run").text  # what can be counted is


def test_counts_that_a_user_asks_for_are_asked_as_they_stand(ask: Asking) -> None:
    for sql, rows in (
        ("select count(*) from test_sample group by position", [[1]] * 4),
        ("select count(*) from test_sample limit 1", [[4]]),
        ("select count(*) from run union all select 7", [[1], [7]]),
    ):
        assert ask("/store.json", params={"sql": sql, "_shape": "arrays"}).json()["rows"] == rows, sql


# Who is let in


@pytest.mark.parametrize("where", ["/", "/store", "/picture/image/1.jpg", "/-/static/app.css", "/store/run.json"])
def test_without_the_key_nothing_is_answered(closed: Asking, where: str) -> None:
    for options in ({}, {"params": {"token": "wrong"}}, {"params": {"token": ""}}, {"headers": {"cookie": "radvlm=x"}}):
        answer = closed(where, **options)
        assert answer.status_code == 403
        assert "radvlm serve printed" in answer.text


def test_the_key_becomes_a_cookie_and_leaves_the_address(closed: Asking) -> None:
    answer = closed(f"/store/answers?evaluation=1&token={TOKEN}")
    assert answer.status_code == 302
    assert answer.headers["location"] == "/store/answers?evaluation=1"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert closed("/store/answers", headers={"cookie": f"other=1; {cookie.partition(';')[0]}"}).status_code == 200
    assert closed("/", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("//elsewhere.example/x", "/elsewhere.example/x"),
        ("/%09/elsewhere.example/x", "/%09/elsewhere.example/x"),
        ("/%0D%0Aset-cookie:x=1", "/%0D%0Aset-cookie%3Ax%3D1"),
        ("/store/prediction/1,0", "/store/prediction/1,0"),
    ],
)
def test_the_key_leads_to_no_other_server(closed: Asking, path: str, location: str) -> None:
    assert closed(f"{path}?token={TOKEN}").headers["location"] == location


@pytest.mark.parametrize("host", ["elsewhere.example", "127.0.0.1.elsewhere.example:8001", "localhost.evil"])
def test_another_name_for_this_machine_is_refused(ask: Asking, host: str) -> None:
    assert ask("/", host=host).status_code == 421


@pytest.mark.parametrize("host", ["localhost:8001", "127.0.0.1", "[::1]:8001", "LOCALHOST"])
def test_its_own_names_are_not(ask: Asking, host: str) -> None:
    assert ask("/", host=host).status_code == 200


@pytest.mark.parametrize("where", ["/", "/prediction/1/0", "/picture/image/1.jpg", "/store", "/store/run", "/none"])
def test_pages_may_ask_nobody_else_and_stay_on_no_disk(ask: Asking, where: str) -> None:
    headers = ask(where).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy
    assert "'unsafe-inline'" not in policy.partition("script-src")[2].partition(";")[0]
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff"


# Whose data it is


def test_credentialed_sources_are_named(path: Path, store: Store) -> None:
    with open_snapshot(path) as snapshot:
        found = held(snapshot, None)
    assert (found.credentialed, found.own, found.phantoms) == (("mimic",), False, False)
    assert found.restricted
    assert "mimic" in found.banner().text
    with store.write() as connection:
        connection.exec_driver_sql("DELETE FROM image")
        connection.exec_driver_sql("UPDATE test_set SET source = 'openi'")
    with open_snapshot(path) as snapshot:
        assert not held(snapshot, None).restricted


def test_chats_about_images_of_ones_own_are_not_for_everybody(path: Path, store: Store) -> None:
    with store.write() as connection:
        connection.exec_driver_sql("DELETE FROM image")
        connection.exec_driver_sql("UPDATE test_set SET source = 'openi'")
        connection.exec_driver_sql(
            "INSERT INTO chat_turn (run_id, position, dialogue, image, image_sha256, preprocessing, model, adapter, "
            "task, prompt, status, text, parser, latency_ms, at) "
            "VALUES (1, 0, 0, '/home/me/a.dcm', '', 'none', 'm', '{}', 'report', '?', 'ok', 'Clear.', 'p/1', 1, '')"
        )
    with open_snapshot(path) as snapshot:
        found = held(snapshot, None)
    assert found.restricted
    assert found.what == "chats about images of your own"
    assert "who may see those patients." in found.banner().text
    both = found._replace(credentialed=("mimic",)).banner().text
    assert "who have signed their use agreements and may see those patients." in both


def test_only_images_of_the_demos_world_are_phantoms(path: Path, store: Store) -> None:
    data = path.parent / "data"
    with store.write() as connection:
        connection.exec_driver_sql("UPDATE test_sample SET path = ?", (str(data / "a.png"),))
    for marked, phantoms in ((False, False), (True, True)):
        if marked:
            (data / MARK).write_text("{}")
        with open_snapshot(path) as snapshot:
            assert held(snapshot, data).phantoms is phantoms
    (path.parent / "link").symlink_to(data)
    with open_snapshot(path) as snapshot:
        assert held(snapshot, path.parent / "link").phantoms
    for real in ("/data/real.png", f"{data}/../real.png"):
        with store.write() as connection:
            connection.exec_driver_sql("UPDATE test_sample SET path = ? WHERE position = 3", (real,))
        with open_snapshot(path) as snapshot:
            assert held(snapshot, data).restricted
