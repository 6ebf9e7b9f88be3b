"""`radvlm chat`: one image, one model, questions and answers."""

from __future__ import annotations

import io
import json
import sqlite3
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.data import get_testdata_file

from radvlm_cli.adapters import card
from radvlm_cli.adapters.protocol import Loading, Reply, Request
from radvlm_cli.commands.chat_talk import Talk
from radvlm_cli.errors import ConfigError
from radvlm_cli.main import run
from radvlm_cli.pictures import PREDICTED
from radvlm_cli.stages.chat import Conditions, Session
from radvlm_cli.stages.chat_image import CONVERTED, open_image
from radvlm_cli.stages.evaluation.models import Model
from radvlm_cli.store.engine import open_store
from tests.commands.chatting import Terminal
from tests.sources.dicom_files import dataset_of, slope, write

CT = str(get_testdata_file("CT_small.dcm", download=False))
RESEARCH = "Research use only, not for clinical use."
Chat = Callable[..., tuple[str, str]]


@pytest.fixture
def chat(capsys: pytest.CaptureFixture[str]) -> Chat:
    def chatting(*arguments: str, code: int = 0) -> tuple[str, str]:
        ended = run(["chat", *arguments])
        said = capsys.readouterr()
        assert ended == code, said.err
        return said.out, said.err

    return chatting


@pytest.fixture
def chest(tmp_path: Path) -> str:
    """A grey picture of 200 x 100 pixels."""
    path = tmp_path / "chest.png"
    Image.new("L", (200, 100), 90).save(path)
    return str(path)


def scripted(folder: Path, **answers: list[str]) -> str:
    path = folder / "script.json"
    path.write_text(json.dumps({"answers": {name.replace("_", "."): texts for name, texts in answers.items()}}))
    return f"scripted:{path}"


def turns(store: Path, columns: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(store)) as connection:
        return connection.execute(f"SELECT {columns} FROM chat_turn ORDER BY run_id, position").fetchall()


def test_one_question_is_answered_to_a_pipe_and_the_rest_is_said_beside(chat: Chat, chest: str) -> None:
    out, err = chat(chest, "-m", "scripted", "-p", "Is the heart large?")
    assert out == "Nothing abnormal can be seen.\n"
    assert err.splitlines() == [RESEARCH, "chest.png: 200 x 100, preprocessing none."]


def test_a_dicom_file_is_shown_as_prepare_does_and_no_patient_is_named(chat: Chat) -> None:
    out, err = chat(CT, "-m", "scripted", "-p", "/report", "-p", "/locate heart", "--json")
    told = json.loads(out)
    assert (told["width"], told["height"], told["preprocessing"]) == (128, 128, CONVERTED)
    assert [each["task"] for each in told["exchanges"]] == ["report", "phrase"]
    assert told["exchanges"][1]["boxes"] == [[0.25, 0.25, 0.75, 0.75]]
    assert "not a radiograph" in err
    assert err.count(RESEARCH) == 1
    assert not [name for name in ("CompressedSamples", "1CT1", "JFK IMAGING", "19970430") if name in out + err]


def test_black_and_white_are_as_the_header_says_and_burned_in_words_are_warned_of(tmp_path: Path) -> None:
    dataset = dataset_of(slope(), PhotometricInterpretation="MONOCHROME1", WindowCenter=2048, WindowWidth=1024)
    dataset.BurnedInAnnotation, dataset.PatientName, dataset.Modality = "YES", "Doe^Jane", "DX"
    write(tmp_path / "one", dataset)  # without a suffix, as some archives have them
    picture = open_image(tmp_path / "one", tmp_path)
    with Image.open(picture.shown) as shown:
        grey = np.asarray(shown)
    assert (picture.size, grey.shape) == ((100, 72), (72, 100))
    assert grey[0, 0] > 250
    assert grey[-1, -1] < 5
    assert ((grey > 250).mean(), (grey < 5).mean()) == pytest.approx((0.28, 0.28), abs=0.03)  # outside the window
    (notice,) = picture.notices
    assert "burned into" in notice
    assert "Jane" not in notice


def test_a_png_of_16_bits_goes_through_the_same_door(tmp_path: Path) -> None:
    Image.fromarray(slope(16)).save(tmp_path / "deep.png")
    picture = open_image(tmp_path / "deep.png", tmp_path)
    assert (picture.preprocessing, picture.size) == (CONVERTED, (100, 72))
    with Image.open(picture.shown) as shown:
        assert (shown.mode, np.asarray(shown).max() > 240, np.asarray(shown).min() < 15) == ("L", True, True)


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["none.jpg", "-m", "scripted"], "There is no image", None),
        ([".", "-m", "scripted"], "is a folder", "FILE"),
        (["words.png", "-m", "scripted"], "is not an image", ".dcm"),
        (["words.dcm", "-m", "scripted"], "not a DICOM file", None),
        (["half.png", "-m", "scripted"], "is not an image", None),
        (["chest.png"], "No model is named", "radvlm eval --list"),
        (["chest.png", "-m", "llavaov", "--weights", "none"], "none does not exist", None),
        (["chest.png", "-m", "radvlm"], "are not on this machine", "--weights"),
        (["chest.png", "-m", "endpoint:m"], "is not said", "--base-url"),
        (
            ["chest.png", "-m", "endpoint:m", "--base-url", "https://example.com/v1"],
            "The image would be sent to example.com",
            "--confirm-zero-retention",
        ),
        (["chest.png", "-m", "radvlm:4"], "knows no training run 4", None),
        (["chest.png", "-m", "scripted", "--save-boxes", "b.gif"], "no name of a picture", None),
        (["chest.png", "-m", "scripted", "--save-boxes", "./chest.png"], "over the image itself", None),
        (["chest.png", "-m", "scripted", "--save-boxes", "folder/../chest.png"], "over the image itself", None),
        (["chest.png", "-m", "scripted", "-p", "/locat"], "There is no /locat", "/locate"),
    ],
)
def test_what_cannot_be_done_is_said_with_a_way_out(
    chat: Chat, chest: str, tmp_path: Path, arguments: list[str], message: str, hint: str | None
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "words.png").write_text("no picture")
    (tmp_path / "words.dcm").write_text("no picture")
    (tmp_path / "half.png").write_bytes(Path(chest).read_bytes()[:60])
    _out, err = chat(*arguments, *([] if "-p" in arguments else ["-p", "What is seen?"]), code=3)
    assert message in err
    assert hint is None or hint in err.partition("Try:")[2]


def test_json_wants_a_question(chat: Chat, chest: str) -> None:
    _out, err = chat(chest, "-m", "scripted", "--json", code=3)
    assert "--json goes with a question" in err


def test_exchanges_are_kept_unless_not_wanted(chat: Chat, chest: str, tmp_path: Path) -> None:
    store = tmp_path / "radvlm.db"
    _out, err = chat(chest, "-m", "scripted", "-p", "Hello?", "--store", str(store))
    assert f"There is no store at {store}" in err
    with open_store(store):
        pass
    where = ("--store", str(store))
    out, _err = chat(chest, "-m", "scripted", "-p", "Hello?", "-p", "/locate svc", "--json", *where)
    chat(chest, "-m", "scripted", "-p", "Secret.", "--no-log", *where)
    kept = turns(store, "run_id, position, dialogue, image, model, task, prompt, text, status, boxes")
    text = "It is located at [0.25, 0.25, 0.75, 0.75]."
    question = "Where in this chest X-ray can I find the superior vena cava?"
    number = json.loads(out)["run"]
    assert kept == [
        (number, 0, 0, chest, "scripted", "conversation", "Hello?", "Nothing abnormal can be seen.", "ok", "[]"),
        (number, 1, 0, chest, "scripted", "region", question, text, "ok", "[[0.25,0.25,0.75,0.75]]"),
    ]
    with closing(sqlite3.connect(store)) as connection:
        assert connection.execute("SELECT command, status FROM run").fetchall() == [("chat", "done")]


def test_a_model_that_fails_ends_with_the_code_of_failed_items(chat: Chat, chest: str, tmp_path: Path) -> None:
    (tmp_path / "script.json").write_text('{"fail": ["chest.png"]}')
    out, err = chat(chest, "-m", f"scripted:{tmp_path / 'script.json'}", "-p", "Hello?", code=4)
    assert (out, "No answer: the script says so." in err) == ("", True)


def test_a_terminal_obeys_nothing_that_a_model_says(chat: Chat, chest: str, tmp_path: Path) -> None:
    out, _err = chat(chest, "-m", scripted(tmp_path, chest_png=["a\x1b]0;owned\x07b\u202ec\tü\n"]), "-p", "Hello?")
    assert out == "a\ufffd]0;owned\ufffdb\ufffdc\tü\n"
    chat(chest, "-m", f"scripted:{tmp_path / 'script.json'}", "-p", "Hello?", "-p", "/save said.txt")
    assert "\na\ufffd]0;owned\ufffdb\ufffdc" in (tmp_path / "said.txt").read_text()


def test_halves_of_characters_are_no_end(chat: Chat, chest: str, tmp_path: Path) -> None:
    with open_store(tmp_path / "radvlm.db"):
        pass
    words = (chest, "-m", scripted(tmp_path, chest_png=["half \ud800."]), "--store", str(tmp_path / "radvlm.db"))
    typed = "/locate caf\udce9"  # as Python takes a byte that is not UTF-8 from the command line
    assert chat(*words, "-p", "Hello\udce9?", "-p", typed, "-p", "/save said.txt")[0] == "half ?.\n" * 2
    assert json.loads(chat(*words, "-p", "Hello?", "--json")[0])["exchanges"][0]["answer"] == "half ?."
    assert [row[0] for row in turns(tmp_path / "radvlm.db", "text")] == ["half ?."] * 3


def test_boxes_are_drawn_where_they_are_with_a_caption(chat: Chat, chest: str, tmp_path: Path) -> None:
    model = scripted(tmp_path, chest_png=["There: [0.1, 0.2, 0.5, 0.6] and [0.75, 0.0, 1.0, 0.5]."])
    _out, err = chat(chest, "-m", model, "-p", "Where?", "--save-boxes", "boxes.png")
    assert "2 boxes drawn into boxes.png." in err
    with Image.open("boxes.png") as drawn:
        pixels, (width, height) = np.asarray(drawn).astype(int), drawn.size
    assert (width, 320 < height < 400) == (640, True)  # 200 x 100, enlarged, and a strip below
    orange = np.abs(pixels - PREDICTED).sum(axis=2) < 10
    assert orange[64 + 40, 64]  # left edge of the first box, below its number
    assert orange[64 : 64 + 120, 319].mean() > 0.9
    assert orange[10:150, 639].mean() > 0.9  # at the picture's own edge
    assert not orange[64 + 30 : 180, 90:300].any()  # inside nothing is covered
    assert (pixels[325:] > 200).any()
    assert (pixels[200, 400] == 90).all()


def test_boxes_are_not_drawn_over_an_image_that_is_opened_later(chat: Chat, chest: str, tmp_path: Path) -> None:
    later = tmp_path / "later.png"
    words = (chest, "-m", "scripted", "--save-boxes", "later.png")
    Image.new("L", (60, 40), 9).save(later)
    before = later.read_bytes()
    _out, err = chat(*words, "-p", "/image later.png", "-p", "/locate heart", code=3)
    assert "over the image itself" in err
    assert later.read_bytes() == before


def test_boxes_are_drawn_in_the_resolution_of_the_original(chat: Chat, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((600, 1500), np.uint16)).save(tmp_path / "deep.png")
    chat("deep.png", "-m", "scripted", "-p", "/locate heart", "--save-boxes", "boxes.png")
    with Image.open("boxes.png") as drawn:
        pixels = np.asarray(drawn).astype(int)
    assert pixels.shape[1] == 1500
    assert (np.abs(pixels[200:440, 375] - PREDICTED).sum(axis=1) < 10).all()


def test_lines_come_from_a_pipe_too(chat: Chat, chest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("/locate heart\n/boxes\n\n/save\nHello?\n/quit\nnever asked\n"))
    out, err = chat(chest, "-m", "scripted")
    assert out.splitlines() == [
        "It is located at [0.25, 0.25, 0.75, 0.75].",
        "1: [0.250, 0.250, 0.750, 0.750] = (50, 25) - (150, 75) pixels",
        "Nothing abnormal can be seen.",
    ]
    assert "Save to which file?" in err


def test_in_a_terminal_a_dialogue_goes_on_to_its_end(tmp_path: Path, chest: str) -> None:
    model = scripted(tmp_path, chest_png=["First.", "Second.", "At [0.1, 0.1, 0.4, 0.4]."])
    with open_store(tmp_path / "radvlm.db"):
        pass
    with Terminal("chat", chest, "-m", model, "--store", str(tmp_path / "radvlm.db"), folder=tmp_path) as terminal:
        assert RESEARCH in terminal.until("/help shows what else can be typed.\n> ")
        assert "First.\n" in terminal.type("What is seen?")
        assert "Second.\n" in terminal.type("And?")
        assert "holds no box" in terminal.type("/boxes")
        assert "[0.1, 0.1, 0.4, 0.4]" in terminal.type("Where?")
        assert "1 box drawn into b.png" in terminal.type("/save b.png")
        assert "is there already" in terminal.type("/save b.png")
        assert "/locate PHRASE" in terminal.type("/help")
        assert "Try:  /report" in terminal.type("/reprot")
        assert "A new dialogue." in terminal.type("/reset")
        assert "First.\n" in terminal.type("What is seen?")
        assert "CT_small.dcm: 128 x 128" in terminal.type(f"/image {CT}")
        assert "Nothing was asked yet" in terminal.type("/boxes")
        terminal.press_ctrl_c()
        assert "/quit ends" in terminal.until()
        terminal.hang_up()
        assert terminal.ended() == 130
    kept = turns(tmp_path / "radvlm.db", "position, dialogue, prompt, text")
    assert [row[:3] for row in kept] == [
        (0, 0, "What is seen?"),
        (1, 0, "And?"),
        (2, 0, "Where?"),
        (3, 1, "What is seen?"),
    ]


@pytest.mark.parametrize(
    ("words", "until", "end"), [((), "\n> ", "interrupted"), (("--web",), "http://127.0.0.1", "done")]
)
def test_a_window_that_is_closed_is_an_end_like_any_other(
    words: tuple[str, ...], until: str, end: str, tmp_path: Path, chest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    with open_store(tmp_path / "radvlm.db") as store:
        with Terminal("chat", *words, chest, "-m", "scripted", "--store", "radvlm.db", folder=tmp_path) as terminal:
            terminal.until(until)
            terminal.close_window()
            terminal.ended()
        assert list(store.rows("SELECT status FROM run")) == [(end,)]
    assert list((tmp_path / "temporary").iterdir()) == []


class Listener:
    """Keeps what it is asked, and gives the replies that it was made with."""

    batches = True
    identity: dict[str, Any] = {"backend": "listener"}  # noqa: RUF012

    def __init__(self, *replies: Reply) -> None:
        self.replies, self.requests = list(replies), list[Request]()

    def cost(self, request: Request) -> int:
        return 1

    def answer(self, requests: Sequence[Request], most: int) -> list[Reply]:
        self.requests += requests
        return [self.replies.pop(0)]

    def close(self) -> None: ...


def session_of(name: str, adapter: Listener, image: str) -> Session:
    conditions = Conditions(Model(name, card(name), ()), Loading((), "cpu"), None, None)
    folder = Path(image).parent
    return Session(conditions, adapter, folder, open_image(Path(image), folder), None)


def test_a_model_is_asked_and_read_as_in_eval(chest: str) -> None:
    said = "<obj>Edema.<box><x50><y50><x75><y75></box></obj>"
    adapter = Listener(Reply(said, seen=(100, 100)), Reply("Clear.", truncated=True), Reply(""))
    session = session_of("maira2", adapter, chest)
    found = session.locate("edema ")
    assert adapter.requests[0].task == "abnormality"
    assert adapter.requests[0].turns[0].text.endswith("Finding: There is Edema.")
    # MAIRA-2 sees the middle square: of a picture twice as wide as high, half its width.
    assert found.boxes is not None
    assert found.boxes[0] == pytest.approx((0.5025, 0.505, 0.6275, 0.755), abs=0.01)
    assert session.report().status == "truncated"
    assert session.locate("Small effusion on the left.").status == "empty"
    assert adapter.requests[2].task == "phrase"
    with pytest.raises(ConfigError, match="maira2 cannot do conversation"):
        session.ask("Hello?")


def test_what_was_said_is_told_to_the_model_but_not_what_failed(chest: str) -> None:
    adapter = Listener(Reply("One."), Reply("", error="busy"), Reply("Three."), Reply("Four."))
    session = session_of("llavaov", adapter, chest)
    session.report()
    session.ask("Lost?")
    session.ask("Where?")
    assert [turn.text for turn in adapter.requests[2].turns][1:] == ["One.", "Where?"]
    session.reset()
    session.ask("Anew?")
    assert [turn.text for turn in adapter.requests[3].turns] == ["Anew?"]
    assert [said.dialogue for said in session.exchanges] == [0, 0, 0, 1]
    with pytest.raises(ConfigError, match="llavaov cannot do grounding"):
        session.locate("left lung")
    with pytest.raises(ConfigError, match="writes no boxes"):
        Talk(session).obey("/boxes")


def test_ctrl_c_stops_an_answer_and_not_the_dialogue(
    chest: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    adapter = Listener(Reply("First."), Reply("Second."), Reply("Third."))
    answer = adapter.answer

    def interrupted(requests: Sequence[Request], most: int) -> list[Reply]:
        replies = answer(requests, most)
        if replies[0].text == "Second.":
            raise KeyboardInterrupt
        return replies

    monkeypatch.setattr(adapter, "answer", interrupted)
    monkeypatch.setattr(sys, "stdin", io.StringIO("One?\nTwo?\nThree?\n"))
    session = session_of("llavaov", adapter, chest)
    Talk(session).over()
    said = capsys.readouterr()
    assert said.out == "First.\nThird.\n"
    assert "Stopped; nothing is kept of that question." in said.err
    assert [turn.text for turn in adapter.requests[2].turns] == ["One?", "First.", "Three?"]
    assert [each.position for each in session.exchanges] == [0, 1]


@pytest.mark.slow
def test_a_tiny_onevision_answers_about_a_dicom_in_a_terminal(tmp_path: Path) -> None:
    from radvlm_cli.demo.tiny_model import write_tiny_model

    write_tiny_model(tmp_path / "tiny", ["Where is the left lung? It is at [0.10, 0.20, 0.40, 0.80]. The heart."] * 20)
    with open_store(tmp_path / "radvlm.db"):
        pass
    options = ("-m", str(tmp_path / "tiny"), "--device", "cpu", "--max-new-tokens", "5")
    with Terminal("chat", CT, *options, "--store", str(tmp_path / "radvlm.db"), folder=tmp_path) as terminal:
        assert "Loading RadVLM" in terminal.until()
        terminal.type("/report")
        terminal.type("/locate left lung")
        terminal.type("Is the heart large?")
        assert terminal.end() == 0
    kept = turns(tmp_path / "radvlm.db", "task, seen_width, tokens_out <= 5, tokens_in > 60, json_valid(adapter)")
    assert kept == [(task, 1 * 128, 1, 1, 1) for task in ("report", "region", "conversation")]
