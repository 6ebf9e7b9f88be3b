"""`radvlm chat --web`: the page's server, over HTTP, with a model that follows a script."""

from __future__ import annotations

import io
import json
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.data import get_testdata_file

from radvlm_cli.commands.chat_page import desk, server
from radvlm_cli.main import run as radvlm
from radvlm_cli.pictures import PREDICTED
from radvlm_cli.stages.chat_image import CONVERTED
from radvlm_cli.store.engine import open_store
from radvlm_cli.store.runs import Run
from tests.commands.chat_pages import Browser, browsing, connect_with, session_of

CT = Path(str(get_testdata_file("CT_small.dcm", download=False)))
EVIL = "<img src=x onerror=alert(1)>\x1b]0;\u202e"


@pytest.fixture
def chest(tmp_path: Path) -> Path:
    """A grey picture of 200 x 100 pixels."""
    path = tmp_path / "chest.png"
    Image.new("L", (200, 100), 90).save(path)
    return path


@pytest.fixture
def browser(tmp_path: Path, chest: Path) -> Iterator[Browser]:
    with browsing(session_of(tmp_path, chest, answers={"chest.png": ["First.", EVIL]})) as opened:
        yield opened


def png(mode: str = "L", size: tuple[int, int] = (60, 40)) -> bytes:
    stream = io.BytesIO()
    Image.new(mode, size, 90).save(stream, "PNG")
    return stream.getvalue()


def test_a_dialogue_goes_on_in_the_page_with_history_boxes_and_a_new_beginning(browser: Browser) -> None:
    first = browser.get("state").values
    assert first["picture"] == {
        "number": 0,
        "name": "chest.png",
        "width": 200,
        "height": 100,
        "preprocessing": "none",
        "notices": [],
    }
    assert (first["exchanges"], first["kept"], first["model"]["locates"]) == ([], False, True)
    browser.say("What is seen?")
    second = browser.say("And?")["state"]["exchanges"]
    assert [(said["prompt"], said["answer"][:6]) for said in second] == [
        ("What is seen?", "First."),
        ("And?", "<img s"),
    ]
    reset = browser.say("/reset")
    assert (reset["notes"], reset["state"]["exchanges"]) == (["A new dialogue."], [])
    assert browser.say("What is seen?")["state"]["exchanges"][0]["answer"] == "First."


def test_boxes_are_placed_on_the_picture_and_drawn_into_a_copy(tmp_path: Path, chest: Path) -> None:
    with browsing(session_of(tmp_path, chest)) as browser:
        (said,) = browser.say("/locate heart")["state"]["exchanges"]
        assert said["prompt"].startswith("Where in")
        assert said["boxes"] == [
            {"box": [0.25, 0.25, 0.75, 0.75], "words": "1 heart", "pixels": "(50, 25) - (150, 75)"}
        ]
        assert browser.say("/boxes")["lines"] == ["1: [0.250, 0.250, 0.750, 0.750] = (50, 25) - (150, 75) pixels"]
        drawn = browser.get("boxes/0.png")
        assert 'filename="boxes.png"' in drawn.headers["Content-Disposition"]
        pixels = np.asarray(Image.open(io.BytesIO(drawn.content))).astype(int)
        assert np.abs(pixels[150, 160] - PREDICTED).sum() < 10  # left edge, of a picture enlarged to 640
        text = browser.get("dialogue.txt").content.decode()
        assert text.startswith("scripted on chest.png. Research use only.\n\n> Where in")
        assert browser.get("boxes/1.png").status == 404


def test_mistakes_of_the_user_are_told_and_end_nothing(browser: Browser) -> None:
    wrong = browser.say("/locat heart")
    assert (wrong["error"], wrong["hint"]) == ("There is no /locat.", "/locate")
    for line in ("/save x.png", "/image /etc/passwd", "/quit"):
        assert browser.say(line)["error"].startswith("There is no /"), line
    assert "Anything else is asked." in browser.say("/help")["notes"]
    assert browser.say("Hello?")["error"] is None


def test_an_image_can_be_opened_in_the_page_and_replaces_the_last(tmp_path: Path) -> None:
    with browsing(session_of(tmp_path, None)) as browser:
        assert browser.get("state").values["picture"] is None
        assert browser.say("What is seen?")["error"] == "There is no image yet."
        assert browser.get("picture/0").status == 404
        state = browser.upload("a%20CT.dcm", CT.read_bytes())["state"]
        picture = state["picture"]
        assert (picture["name"], picture["width"], picture["preprocessing"]) == ("a CT.dcm", 128, CONVERTED)
        assert "not a radiograph" in picture["notices"][0]
        shown = browser.get(f"picture/{picture['number']}")
        assert (shown.headers["Content-Type"], shown.content[:2]) == ("image/jpeg", b"\xff\xd8")
        assert browser.say("/locate heart")["state"]["exchanges"]
        state = browser.upload("..%5C..%2Fnext.png", png())["state"]
        assert (state["picture"]["name"], state["picture"]["width"], state["exchanges"]) == ("next.png", 60, [])
        assert browser.get(f"picture/{picture['number']}").status == 404
        assert browser.get(f"picture/{state['picture']['number']}").content == png()
        assert len(list(browser.page.uploads.iterdir())) == 1
        failed = browser.upload("words.dcm", b"no picture")
        assert "words.dcm" in failed["error"]
        assert str(browser.page.uploads) not in failed["error"]
        assert failed["state"]["picture"]["name"] == "next.png"
        assert len(list(browser.page.uploads.iterdir())) == 1


def test_exchanges_are_kept_as_those_of_the_terminal(tmp_path: Path, chest: Path, run: Run) -> None:
    with browsing(session_of(tmp_path, chest, run)) as browser:
        assert browser.get("state").values["kept"]
        browser.say("/locate svc")
        browser.upload("other.png", png())
        browser.say("Hello?")
    rows = list(run.store.rows("SELECT position, dialogue, image, task, boxes FROM chat_turn ORDER BY position"))
    assert rows == [(0, 0, str(chest), "region", "[[0.25,0.25,0.75,0.75]]"), (1, 1, "other.png", "conversation", "[]")]


def test_what_a_model_says_is_text_and_nothing_of_it_steers(browser: Browser) -> None:
    browser.say("What is seen?")
    answer = browser.say("And?")["state"]["exchanges"][1]["answer"]
    assert answer == "<img src=x onerror=alert(1)>\ufffd]0;\ufffd"
    assert browser.get("state").headers["Content-Type"] == "application/json"
    script = browser.get("page.js").content.decode()
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b", script)


def test_who_does_not_know_the_address_gets_nothing(browser: Browser) -> None:
    assert browser.get("").status == 200
    for path in (
        "/",
        "/state",
        "/page.js",
        f"/{'x' * 32}/state",
        browser.base[:-2] + "/state",
        browser.base[:-1] + "x/",
    ):
        got = browser.get(path)
        assert (got.status, b"chest" in got.content) == (403, False), path
    assert browser.ask("POST", "/say", b'{"line": "Hello?"}', "application/json").status == 403
    assert browser.get("../../etc/passwd").status == 404
    assert connect_with(browser, b"GET http://[/state HTTP/1.1\r\nHost: localhost\r\n\r\n").startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8000", 200),  # forwarded by ssh -L
        ("127.0.0.1", 200),
        ("rebound.example:80", 403),
        ("127.0.0.1.rebound.example", 403),
        ("localhost@rebound.example", 403),
        ("[", 403),
        ("", 403),
    ],
)
def test_only_names_of_this_machine_are_answered_to(browser: Browser, host: str, status: int) -> None:
    assert browser.get("state", Host=host).status == status


def test_another_page_cannot_post(browser: Browser) -> None:
    line = b'{"line": "Hello?"}'
    assert browser.ask("POST", "say", line, "application/json", Origin="http://evil.example").status == 403
    assert browser.ask("POST", "say", line, "text/plain").status == 415
    own = f"http://127.0.0.1:{browser.port}"
    assert browser.ask("POST", "say", line, "application/json", Origin=own).status == 202


def test_every_answer_is_fenced_in(browser: Browser) -> None:
    for got in (browser.get(""), browser.get("/"), browser.get("picture/0"), browser.ask("PUT", "state")):
        assert got.headers["Content-Security-Policy"] == server.POLICY
        assert got.headers["X-Content-Type-Options"] == "nosniff"
        assert got.headers["Referrer-Policy"] == "no-referrer"
        assert got.headers["Cache-Control"] == "no-store"
        assert "Python" not in got.headers["Server"]
    assert "default-src 'none'" in server.POLICY


def test_what_is_too_long_or_no_question_is_refused(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    json_type = "application/json"
    assert browser.ask("POST", "say", b"[" * 60_000, json_type).status == 400
    monkeypatch.setattr(server, "MOST_JSON", 100)
    monkeypatch.setattr(server, "MOST_UPLOAD", 200)
    assert browser.ask("POST", "say", json.dumps({"line": "x" * 100}).encode(), json_type).status == 413
    assert browser.ask("POST", "image", b"x" * 201, "application/octet-stream").status == 413
    assert browser.ask("POST", "say", None, json_type, Content_Length="-1").status == 411
    assert browser.ask("POST", "say", b"", json_type, Content_Length="many").status == 411
    assert browser.ask("POST", "say", b"", json_type, Content_Length="9" * 5000).status == 411
    assert browser.get("job/" + "9" * 5000).status == 404
    for content in (b"{", b"[]", b'{"line": 1}', b"null", b"\xff"):
        assert browser.ask("POST", "say", content, json_type).status == 400, content
    assert browser.say("\ud800?")["state"]["exchanges"][0]["prompt"] == "??"


def test_one_question_at_a_time_in_the_order_of_asking(
    tmp_path: Path, chest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk, "MOST_WAITING", 3)
    with browsing(session_of(tmp_path, chest), works=False) as browser:
        lines = [json.dumps({"line": f"Question {number}?"}).encode() for number in range(4)]
        jobs = [browser.hand_in("say", line, "application/json") for line in lines[:3]]
        assert [job["ahead"] for job in jobs] == [0, 1, 2]
        assert browser.ask("POST", "say", lines[3], "application/json").status == 429
        assert browser.ask("POST", "image?name=a.png", png(), "application/octet-stream").status == 429
        assert list(browser.page.uploads.iterdir()) == []
        browser.page.desk.end()
        browser.page.desk.work()
        said = browser.outcome(jobs[2])["state"]["exchanges"]
        assert [each["prompt"] for each in said] == ["Question 0?", "Question 1?", "Question 2?"]
        assert browser.get("job/99").status == 404


def test_a_browser_hears_that_its_answer_takes_long(
    tmp_path: Path, chest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("radvlm_cli.commands.chat_page.serving._PATIENCE_S", 0.05)
    with browsing(session_of(tmp_path, chest), works=False) as browser:
        first = browser.hand_in("say", b'{"line": "Hello?"}', "application/json")
        assert browser.get(f"job/{first['job']}").values == {"done": False, "ahead": 0}


@pytest.mark.parametrize("option", [["-p", "Hello?"], ["--save-boxes", "b.png"], ["-p", "Hello?", "--json"]])
def test_what_the_page_does_is_no_option_beside_it(
    option: list[str], chest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert radvlm(["chat", str(chest), "--web", "-m", "scripted", *option]) == 3
    assert "does not go with --web" in capsys.readouterr().err


def test_the_terminal_wants_an_image(capsys: pytest.CaptureFixture[str]) -> None:
    assert radvlm(["chat", "-m", "scripted"]) == 3
    assert "Which image?" in capsys.readouterr().err


@pytest.mark.parametrize(("delay", "end"), [(0.0, signal.SIGTERM), (60.0, signal.SIGINT)])
def test_it_ends_cleanly_also_within_an_answer(
    tmp_path: Path, chest: Path, delay: float, end: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    with open_store(tmp_path / "radvlm.db"):
        pass
    (tmp_path / "script.json").write_text(json.dumps({"delay": delay}))
    words = ["chat", "--web", str(chest), "-m", f"scripted:{tmp_path / 'script.json'}", "--store", "radvlm.db"]
    with subprocess.Popen(
        [sys.executable, "-m", "radvlm_cli", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        browser = Browser(url, None)  # type: ignore[arg-type]
        job = browser.hand_in("say", b'{"line": "Hello?"}', "application/json")
        if delay:
            time.sleep(0.2)
        else:
            browser.outcome(job)
        assert list((tmp_path / "temporary").iterdir())
        process.send_signal(end)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "")
    assert "Research use only, not for clinical use." in err
    assert ("nothing is kept of the question in hand" in err) == bool(delay)
    assert "Traceback" not in err
    assert list((tmp_path / "temporary").iterdir()) == []
    with closing(sqlite3.connect(tmp_path / "radvlm.db")) as connection:
        kept = connection.execute("SELECT prompt FROM chat_turn").fetchall()
        assert kept == ([] if delay else [("Hello?",)])
        assert connection.execute("SELECT status FROM run").fetchall() == [("done",)]
