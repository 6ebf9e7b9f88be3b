"""`radvlm serve`: what it refuses, and that it begins and ends as it should."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
import webbrowser
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from radvlm_cli.main import run
from radvlm_cli.store.engine import open_store
from radvlm_cli.store.runs import open_run

RISK = "not encrypted"


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An empty store, and one with an image under an agreement."""
    folder = tmp_path_factory.mktemp("stores")
    for name in ("open", "credentialed"):
        with (
            open_store(folder / f"{name}.db") as store,
            open_run(store, "test", {}) as made,
            store.write() as connection,
        ):
            if name == "credentialed":
                connection.exec_driver_sql(
                    "INSERT INTO image (source, image_id, root, path, status, run_id) "
                    "VALUES ('mimic', '1', 'data', 'a.jpg', 'present', ?)",
                    (made.id,),
                )
    return {name: folder / f"{name}.db" for name in ("open", "credentialed")}


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the command, which must end with a user error; what it says."""

    def refusing(store: Path, *arguments: str) -> str:
        assert run(["serve", "--store", str(store), "--port", "0", *arguments]) == 3
        said = capsys.readouterr()
        assert said.out == ""  # no address
        return said.err

    return refusing


def test_without_the_extra_it_says_what_installs_it(
    refused: Any, stores: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "datasette" else find(name))
    said = refused(stores["open"])
    assert "datasette" in said
    assert "pip install 'radvlm[serve]'" in said


def test_a_store_that_is_not_there_is_not_made(refused: Any, tmp_path: Path) -> None:
    assert "There is no store" in refused(tmp_path / "none.db")
    assert not (tmp_path / "none.db").exists()


def test_a_store_of_another_program_or_ahead_is_refused(refused: Any, tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("no database, but long enough to be looked at")
    assert "not a radvlm store" in refused(tmp_path / "text.db")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7"])
def test_the_network_is_let_in_only_where_the_risk_is_named(refused: Any, stores: dict[str, Path], host: str) -> None:
    said = refused(stores["open"], "--host", host)
    assert RISK in said
    assert "ssh -L" in said
    assert "--show-to-network" in said
    assert "--no-token" in refused(stores["open"], "--host", host, "--show-to-network", "--no-token")


def test_credentialed_data_ask_for_more(refused: Any, stores: dict[str, Path]) -> None:
    said = refused(stores["credentialed"], "--host", "0.0.0.0", "--show-to-network")
    assert "mimic" in said
    assert "--confirm-agreements" in said


@pytest.mark.parametrize("host", ["nowhere.invalid", "two..dots", "x" * 64])
def test_a_host_that_is_no_address_is_said(refused: Any, stores: dict[str, Path], host: str) -> None:
    assert "no address" in refused(stores["open"], "--host", host)


def test_a_port_that_is_taken_is_said(refused: Any, stores: dict[str, Path]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = refused(stores["open"], "--port", str(taken.getsockname()[1]))
    assert "in use" in said
    assert "--port 0" in said


@pytest.mark.parametrize(("store", "warned"), [("credentialed", True), ("open", False)])
def test_opening_a_browser_shows_the_key_to_others_on_this_machine(
    stores: dict[str, Path],
    store: str,
    warned: bool,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened = threading.Event()
    monkeypatch.setattr(webbrowser, "open", lambda _address: opened.set())
    monkeypatch.setattr(uvicorn.Server, "run", lambda _server, sockets: opened.wait(10))
    assert run(["serve", "--open", "--store", str(stores[store]), "--port", "0"]) == 130
    assert opened.is_set()
    assert ("can read the key off" in capsys.readouterr().err) == warned


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_on_this_machine_alone_until_it_is_told_to_stop(stores: dict[str, Path], number: int) -> None:
    command = [sys.executable, "-m", "radvlm_cli", "serve", "--store", str(stores["credentialed"]), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        watch = threading.Timer(60, server.kill)
        watch.start()
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:")
        with urllib.request.build_opener(urllib.request.HTTPCookieProcessor()).open(address) as answer:
            assert "mimic" in answer.read().decode()
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(address.partition("?")[0])
        os.kill(server.pid, number)
        out, err = server.communicate(timeout=30)
        watch.cancel()
    assert server.returncode == 130
    assert out == ""  # the address alone stood there
    assert err.splitlines()[-1] == "Stopped."
    assert "Traceback" not in err
