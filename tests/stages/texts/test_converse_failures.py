"""converse where things go wrong: bad dialogues, quarantine and its ways out, faults of the endpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from radvlm_cli.main import run
from tests.fakes import dialogues
from tests.fakes.faults import TRANSIENT, USAGE, Faults
from tests.fakes.openai_server import FakeOpenAI
from tests.stages.texts.conversing import WANTED, at, kept, place, rows

_FEW = 14
"""Images where every fault costs a wait."""
GOOD = json.dumps(
    [
        {"from": speaker, "value": text}
        for question, answer in [("Is this an X-ray?", "Yes."), ("Of what?", "Of the chest.")]
        for speaker, text in (("human", question), ("gpt", answer))
    ]
)


def quarantined(options: list[str]) -> list[tuple[Any, ...]]:
    return rows(options, "SELECT item, reason, candidate FROM quarantined WHERE stage = 'converse' ORDER BY 1")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Any, ...]]:
    """What a job without faults writes about few images."""
    options = place(tmp_path_factory.mktemp("good"), "mimic", number=_FEW)
    with FakeOpenAI(answer=dialogues.right) as server:
        run(["converse", *options, *at(server), "--no-files"])
    return kept(options)


def test_a_bad_dialogue_is_repaired_once_with_its_faults_named(tmp_path: Path, capsys: Any) -> None:
    options = place(tmp_path, "mscxr")
    with FakeOpenAI(answer=dialogues.right_in_the_end) as server:
        assert run(["converse", *options, *at(server), "--json"]) == 0
        last = [body["messages"][-1]["content"] for body in server.bodies]
    complaints = [text for text in last if "not right yet" in text]
    jobs = json.loads(capsys.readouterr().out)["jobs"]
    assert sum(job["repaired"] or 0 for job in jobs) == len(complaints) > 0
    assert all("- comparison language is used: has changed; unchanged" in text for text in complaints)
    assert {image for image, *_rest in kept(options)} == WANTED["mscxr"]
    assert quarantined(options) == []


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (dialogues.compared, "comparison language is used"),
        (dialogues.swapped, "a box is not beside the name of its finding"),
        (dialogues.cut, "the answer holds no list of rounds"),
        (lambda _body: "I cannot see any image.", "the answer holds no list of rounds"),
        (lambda _body: '{"rounds": [{"question": "Why?"}]}', "a round lacks its question or its answer"),
        (lambda _body: '{"rounds": []}', "the dialogue is not a list of at least two turns"),
        (
            lambda _body: '{"rounds": [{"question": "a\\ud800", "answer": "b"}]}',
            "fewer than 5 or more than 10 rounds",  # half a character is a blank by then
        ),
    ],
    ids=["compared", "swapped", "cut", "prose", "no answer", "no rounds", "surrogate"],
)
def test_what_is_no_good_twice_is_quarantined_and_not_asked_again(tmp_path: Path, answer: Any, reason: str) -> None:
    options = place(tmp_path, "mscxr")
    with FakeOpenAI(answer=answer) as server:
        assert run(["converse", *options, *at(server)]) == 4
        asked = server.stats["requests"]
        assert run(["converse", *options, *at(server)]) == 4
        assert server.stats["requests"] == asked
    held = {item: why for item, why, _candidate in quarantined(options)}
    single = {image for image in WANTED["mscxr"] if answer is dialogues.swapped and int(image.split("-")[-1]) % 4 == 0}
    assert held == dict.fromkeys(WANTED["mscxr"] - single, reason)  # a single box cannot be swapped
    assert {image for image, *_rest in kept(options)} == single
    assert asked == 2 * len(held) + len(single)


def _two_bad_ones(tmp_path: Path) -> list[str]:
    """A job of which every dialogue is quarantined."""
    options = place(tmp_path, "mscxr")
    with FakeOpenAI(answer=dialogues.compared) as server:
        assert run(["converse", *options, *at(server)]) == 4
    return options


def test_quarantined_dialogues_are_shown_with_reason_and_words(tmp_path: Path, capsys: Any) -> None:
    options = _two_bad_ones(tmp_path)
    capsys.readouterr()
    assert run(["converse", *options, "--show", "failed", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert {row["item"] for row in shown} == WANTED["mscxr"]
    assert {row["words"] for row in shown} == {"comparison language is used: unchanged; since; prior"}
    assert run(["converse", *options, "--show", "failed"]) == 0
    assert "They are unchanged since the prior study." in capsys.readouterr().out


def test_a_quarantined_dialogue_is_accepted_and_edited_and_gets_its_file(tmp_path: Path) -> None:
    options = _two_bad_ones(tmp_path)
    mine = tmp_path / "mine.json"
    mine.write_text(GOOD)
    assert run(["converse", *options, "--accept", "mimic-1"]) == 0
    assert run(["converse", *options, "--edit", "mimic-2", "--text", str(mine)]) == 0
    reviewed = "SELECT i.image_id, v.reviewed, v.split FROM conversation v JOIN image i ON i.id = v.image_id ORDER BY 1"
    assert rows(options, reviewed) == [("mimic-1", "accepted", "train"), ("mimic-2", "edited", "train")]
    assert {item for item, *_rest in quarantined(options)} == WANTED["mscxr"] - {"mimic-1", "mimic-2"}
    with FakeOpenAI(answer=dialogues.right) as server:
        assert run(["converse", *options, *at(server), "--retry", "failed"]) == 0
    assert {row for row in rows(options, reviewed) if row[1]} == {
        ("mimic-1", "accepted", "train"),
        ("mimic-2", "edited", "train"),
    }
    folder = tmp_path / "work/MIMIC-CXR-JPG/conversations/train/grounding"
    assert json.loads((folder / "mimic-2.json").read_text()) == json.loads(GOOD)
    assert "unchanged" in (folder / "mimic-1.json").read_text()


def test_the_editor_is_given_the_dialogue_as_the_files_have_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = _two_bad_ones(tmp_path)
    monkeypatch.setenv("VISUAL", "sed -i s/unchanged.since.the.prior.study/normal/")
    assert run(["converse", *options, "--edit", "mimic-1"]) == 0
    ((_image, _kind, _split, turns),) = kept(options)
    assert json.loads(turns)[-1] == ["gpt", "They are normal."]


@pytest.mark.parametrize(
    ("text", "told"),
    [("no JSON", "not JSON"), ("[]", "at least two turns"), ('[{"from": "gpt", "value": "a"}, 1]', "not an object")],
)
def test_an_edit_that_is_no_dialogue_changes_nothing(tmp_path: Path, capsys: Any, text: str, told: str) -> None:
    options = _two_bad_ones(tmp_path)
    mine = tmp_path / "mine.json"
    mine.write_text(text)
    assert run(["converse", *options, "--edit", "mimic-1", "--text", str(mine)]) == 3
    assert told in capsys.readouterr().err
    assert kept(options) == []


def test_an_answer_without_a_dialogue_cannot_be_accepted(tmp_path: Path, capsys: Any) -> None:
    options = place(tmp_path, "mscxr")
    with FakeOpenAI(answer=dialogues.cut) as server:
        run(["converse", *options, *at(server)])
    assert run(["converse", *options, "--accept", "mimic-1"]) == 3
    assert "holds no text to accept" in capsys.readouterr().err
    assert kept(options) == []


def test_a_retry_asks_anew_with_another_seed_and_releases_what_is_good(tmp_path: Path) -> None:
    options = _two_bad_ones(tmp_path)
    with FakeOpenAI(answer=dialogues.right) as server:
        assert run(["converse", *options, *at(server), "--retry", "failed"]) == 0
        assert server.answered.total() == len(WANTED["mscxr"])
        assert {body["seed"] for body in server.bodies} == {1}
    assert quarantined(options) == []
    assert {image for image, *_rest in kept(options)} == WANTED["mscxr"]
    assert rows(options, "SELECT count(*) FROM outcome WHERE stage = 'converse'") == [(0,)]


@pytest.mark.parametrize("kind", [*TRANSIENT, *USAGE])
def test_a_fault_changes_nothing_but_the_number_of_attempts(
    tmp_path: Path, kind: str, good: list[tuple[Any, ...]]
) -> None:
    options = place(tmp_path, "mimic", number=_FEW)
    with FakeOpenAI(answer=dialogues.right, faults=Faults(rate=0.25, kinds=(kind,))) as server:
        assert run(["converse", *options, *at(server), "--no-files"]) == 0
        assert max(server.answered.values()) == 1
        assert kind in USAGE or server.stats["status fault"] > 0
    assert kept(options) == good
    assert len(good) == 11


_OUTCOMES = {
    "content filter": ("the provider's content filter refused it", "filtered", 1),
    "output filter": ("the provider's content filter refused it", "filtered", 1),
    "refusal": ("the model refused", "refused", 1),
    "length": ("the answer was cut off at max_tokens", "truncated", 2),
}


@pytest.mark.parametrize("final", _OUTCOMES)
def test_an_answer_that_is_none_is_quarantined_under_its_own_reason(tmp_path: Path, final: str) -> None:
    reason, status, calls = _OUTCOMES[final]
    options = place(tmp_path, "mimic")
    with FakeOpenAI(answer=dialogues.right, faults=Faults(final_shares={final: 1.0})) as server:
        assert run(["converse", *options, *at(server)]) == 4
        assert server.stats["requests"] == calls * len(WANTED["mimic"]), "only what was cut off is asked for again"
    assert {item for item, *_rest in quarantined(options)} == WANTED["mimic"]
    assert all(why.startswith(reason) and candidate is None for _item, why, candidate in quarantined(options))
    assert rows(options, "SELECT DISTINCT status FROM llm_call") == [(status,)]


@pytest.mark.parametrize(("status", "word"), [(401, "key"), (404, "deployment"), (500, "answer")])
def test_an_endpoint_that_answers_nothing_stops_the_job_and_a_good_one_goes_on(
    tmp_path: Path, capsys: Any, status: int, word: str
) -> None:
    options = place(tmp_path, "mimic")
    with FakeOpenAI(answer=dialogues.right, status=status) as server:
        assert run(["converse", *options, *at(server), "--concurrency", "4"]) == 3
        assert word in capsys.readouterr().err
        assert kept(options) == []
        assert quarantined(options) == []
        server.behaviour.status = None
        assert run(["converse", *options, *at(server), "--resume"]) == 0
    assert {image for image, *_rest in kept(options)} == WANTED["mimic"]


def test_a_dialogue_that_is_not_good_any_more_takes_its_file_with_it(tmp_path: Path) -> None:
    options = place(tmp_path, "mscxr")
    assert run(["converse", *options, "--provider", "rules"]) == 0
    folder = tmp_path / "work/MIMIC-CXR-JPG/conversations"
    assert len(list(folder.rglob("*.json"))) == len(WANTED["mscxr"])
    with FakeOpenAI(answer=dialogues.compared) as server:
        assert run(["converse", *options, *at(server), "--split", "train"]) == 4
    assert {image for image, *_rest in kept(options)} == {path.stem for path in folder.rglob("*.json")}
    assert not list((folder / "train").rglob("*.json"))
    assert list((folder / "test").rglob("*.json"))
    assert rows(options, "SELECT count(*) FROM artifact WHERE kind = 'conversation'") == [(len(kept(options)),)]
