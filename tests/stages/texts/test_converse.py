"""converse through the command line, over HTTP, against the fake server: who is asked what, and what is written."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from radvlm_cli.main import run
from radvlm_cli.stages.texts.converse import Dialogues
from tests.fakes import dialogues
from tests.fakes.openai_server import FakeOpenAI
from tests.fakes.world import SPLITS, lesions
from tests.stages.texts.conversing import NUMBER, WANTED, at, kept, place, rows

SOURCES = ("mimic", "mscxr", "padchest-gr")
_FOLDERS = {"train": "train", "validation": "valid", "test": "test"}


@pytest.mark.parametrize("source", SOURCES)
def test_a_dialogue_is_written_about_every_image_that_has_something_to_tell(tmp_path: Path, source: str) -> None:
    options = place(tmp_path, source)
    with FakeOpenAI(answer=dialogues.right) as server:
        assert run(["converse", *options, *at(server)]) == 0
        assert server.stats["requests"] == len(WANTED[source])
    found = kept(options)
    assert {image for image, *_rest in found} == WANTED[source]
    assert {kind for _image, kind, *_rest in found} == {"standard" if source == "mimic" else "grounded"}
    assert all(SPLITS[int(image.split("-")[-1].removesuffix(".png")) % 5] == split for image, _k, split, _t in found)


def test_rules_write_about_the_same_images_without_a_call(tmp_path: Path) -> None:
    options = place(tmp_path, "all")
    assert run(["converse", *options, "--provider", "rules"]) == 0
    assert Counter(image for image, *_rest in kept(options)) == sum((Counter(w) for w in WANTED.values()), Counter())
    assert rows(options, "SELECT DISTINCT origin FROM conversation") == [("rules",)]


@pytest.mark.parametrize("source", SOURCES)
def test_files_lie_in_the_published_layout_and_hold_the_dialogue(tmp_path: Path, source: str) -> None:
    options = place(tmp_path, source)
    with FakeOpenAI(answer=dialogues.right) as server:
        run(["converse", *options, *at(server)])
    home = tmp_path / "work" / ("PadChest" if source == "padchest-gr" else "MIMIC-CXR-JPG") / "conversations"
    folder = "standard" if source == "mimic" else "grounding"
    expected = {
        f"{_FOLDERS[split]}/{folder}/{image.removesuffix('.png')}.json": json.loads(turns)
        for image, _kind, split, turns in kept(options)
    }
    files = {path.relative_to(home).as_posix(): json.loads(path.read_text()) for path in home.rglob("*.json")}
    assert {name: [[turn["from"], turn["value"]] for turn in turns] for name, turns in files.items()} == expected
    assert len(expected) == len(WANTED[source])


def test_grounded_dialogues_quote_the_boxes_and_the_model_was_told_them(tmp_path: Path) -> None:
    options = place(tmp_path, "mscxr")
    with FakeOpenAI(answer=dialogues.right) as server:
        run(["converse", *options, *at(server)])
        told = [body["messages"][-1]["content"] for body in server.bodies]
    assert any("- Nodule in the left upper lung. [0.10, 0.12, 0.25, 0.80]" in text for text in told)
    for image, _kind, _split, turns in kept(options):
        assert turns.count("0.80]") == len(lesions(int(image.split("-")[-1])))


def test_without_files_none_is_written_until_they_are_wanted_and_no_call_is_made_for_them(tmp_path: Path) -> None:
    options = place(tmp_path, "mimic")
    with FakeOpenAI(answer=dialogues.right) as server:
        run(["converse", *options, *at(server), "--no-files"])
        assert not list((tmp_path / "work").rglob("*.json"))
        asked = server.stats["requests"]
        run(["converse", *options, *at(server)])
        assert server.stats["requests"] == asked
    assert len(list((tmp_path / "work").rglob("*.json"))) == len(WANTED["mimic"])


def test_a_finished_job_makes_no_call_when_run_again(tmp_path: Path) -> None:
    options = place(tmp_path, "all")
    with FakeOpenAI(answer=dialogues.right_in_the_end) as server:
        assert run(["converse", *options, *at(server)]) == 0
        asked, found = server.stats["requests"], kept(options)
        assert run(["converse", *options, *at(server)]) == 0
        assert server.stats["requests"] == asked
    assert kept(options) == found
    assert asked > len(found)


def test_files_that_were_written_are_not_adopted_by_the_next_run(tmp_path: Path) -> None:
    options = place(tmp_path, "all")
    run(["converse", *options, "--provider", "rules"])
    run(["converse", *options, "--provider", "rules"])
    assert rows(options, "SELECT DISTINCT origin FROM conversation") == [("rules",)]


def test_a_dialogue_of_somebody_else_is_adopted_and_not_written_over(tmp_path: Path) -> None:
    options = place(tmp_path, "mimic")
    file = tmp_path / "work/MIMIC-CXR-JPG/conversations/train/standard/mimic-1.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps([{"from": "human", "value": "Mine?"}, {"from": "gpt", "value": "Yours."}]))
    with FakeOpenAI(answer=dialogues.right) as server:
        run(["converse", *options, *at(server)])
        assert server.stats["requests"] == len(WANTED["mimic"]) - 1
    adopted = rows(options, "SELECT turns FROM conversation WHERE origin = 'adopted'")
    assert adopted == [('[["human","Mine?"],["gpt","Yours."]]',)]
    assert "Yours." in file.read_text()


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_split_can_be_chosen(tmp_path: Path, split: str) -> None:
    options = place(tmp_path, "mscxr")
    run(["converse", *options, "--provider", "rules", "--split", split])
    found = kept(options)
    assert found
    assert {chosen for _image, _kind, chosen, _turns in found} == {split}


def test_a_limit_chooses_the_same_images_of_each_split_whatever_else_there_is(tmp_path: Path) -> None:
    chosen = []
    for name, number in (("small", NUMBER), ("large", NUMBER + 35)):
        options = place(tmp_path, "mimic", number=number, name=name)
        run(["converse", *options, "--provider", "rules", "--limit", "4"])
        found = kept(options)
        assert Counter(split for _i, _k, split, _t in found) == {"train": 4, "validation": 4, "test": 4}
        chosen.append({image for image, *_rest in found if int(image.split("-")[-1]) < NUMBER})
    assert chosen[1] <= chosen[0]


def test_the_schema_is_sent_where_the_endpoint_takes_it(tmp_path: Path) -> None:
    options = place(tmp_path, "mimic")
    with FakeOpenAI(answer=dialogues.right) as server:
        run(["converse", *options, *at(server)])
        for body in server.bodies:
            assert body["response_format"]["json_schema"] == {
                "name": "answer",
                "strict": True,
                "schema": Dialogues.schema,
            }
            assert body["store"] is False


_WRAPPINGS = {
    "bare": ("", ""),
    "fence": ("```json\n", "\n```"),
    "prose": ("Sure! Here is the conversation:\n\n", "\n\nLet me know if you need more."),
    "braces": ("I follow {the rules}. ", " {end}"),
    "thought": ('<think>It must look like {"rounds": []}, I see.</think>\n', ""),
    "another object": ('{"status": "ok"}\n', ""),
}


@pytest.mark.parametrize("wrapping", _WRAPPINGS.values(), ids=_WRAPPINGS)
def test_without_a_schema_the_dialogue_is_found_among_words(tmp_path: Path, wrapping: tuple[str, str]) -> None:
    options = place(tmp_path, "mscxr")
    with FakeOpenAI(answer=dialogues.wrapped(*wrapping), knows_schema=False) as server:
        assert run(["converse", *options, *at(server)]) == 0
        assert "response_format" not in server.bodies[-1]
        assert server.answered.total() == len(WANTED["mscxr"])
    assert len(kept(options)) == len(WANTED["mscxr"])


def test_batches_give_the_same_dialogues(tmp_path: Path) -> None:
    online, batch = place(tmp_path, "all"), place(tmp_path, "all", name="batch")
    with FakeOpenAI(answer=dialogues.right_in_the_end, batch_seconds=0.02) as server:
        assert run(["converse", *online, *at(server)]) == 0
        assert run(["converse", *batch, *at(server), "--batch", "--poll", "0.02"]) == 0
        assert server.batches.files == {}
        assert max(server.batches.submitted.values()) == 1
    assert kept(batch) == kept(online)
    assert rows(batch, "SELECT DISTINCT tier FROM llm_call") == [("batch",)]


@pytest.mark.parametrize("source", ["mimic", "padchest-gr"])
def test_the_estimate_is_within_five_percent_of_what_the_server_counts(
    tmp_path: Path, capsys: Any, source: str
) -> None:
    options = [*place(tmp_path, source, number=300), "--split", "all"]
    with FakeOpenAI(answer=dialogues.right) as server:
        run(["converse", *options, *at(server), "--dry-run", "--json"])
        told = json.loads(capsys.readouterr().out)
        assert server.stats["requests"] == 0
        run(["converse", *options, *at(server), "--no-files"])
        assert sum(row["calls"] for row in told) == server.stats["requests"] >= 200
        tokens = sum(row["input tokens"] for row in told)
        assert tokens == pytest.approx(server.stats["input_tokens"], rel=0.05)


def test_results_and_estimates_tell_the_splits_of_a_source_apart(tmp_path: Path, capsys: Any) -> None:
    options = place(tmp_path, "mscxr")
    with FakeOpenAI(answer=dialogues.right) as server:
        run(["converse", *options, *at(server), "--dry-run", "--json"])
        told = json.loads(capsys.readouterr().out)
        run(["converse", *options, *at(server), "--json"])
        done = json.loads(capsys.readouterr().out)["jobs"]
    assert [(row["source"], row["split"]) for row in told] == [("mscxr", split) for split in _FOLDERS]
    assert [(row["source"], row["split"]) for row in done] == [("mscxr", split) for split in _FOLDERS]
    assert [row["calls"] for row in told] == [row["written"] for row in done]
