"""curate through the command line, over HTTP, against the fake server."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from radvlm_cli.main import run
from tests.fakes import answers
from tests.fakes.faults import Faults
from tests.fakes.openai_server import FakeOpenAI
from tests.fakes.world import make_place, report_text, rows_of, texts_of


def test_rules_write_texts_without_comparisons_and_the_published_files(tmp_path: Path) -> None:
    place = make_place(tmp_path)
    assert run(["curate", *place, "--provider", "rules"]) == 0
    texts = texts_of(place)
    assert len(texts) == 60
    assert {origin for *_rest, origin in texts} == {"rules"}
    assert not any("prior" in text or "nchanged" in text for _study, text, _origin in texts)
    files = sorted((Path(place[-1]) / "Open-i" / "filtered_reports").iterdir())
    assert [f.read_text().strip() for f in files] == [
        text for _s, text, _o in sorted(texts, key=lambda t: f"{t[0]}.txt")
    ]


def test_a_finished_job_makes_no_call_when_run_again(tmp_path: Path) -> None:
    place = make_place(tmp_path)
    with FakeOpenAI(answer=answers.by_rules) as server:
        options = [*place, "--base-url", f"{server.url}/v1", "--no-files"]
        run(["curate", *options])
        first, texts = server.stats["requests"], texts_of(place)
        run(["curate", *options])
        assert server.stats["requests"] == first
    assert texts_of(place) == texts
    assert len(texts) == 60


def test_faults_change_nothing_but_the_number_of_attempts(tmp_path: Path) -> None:
    good, bad = make_place(tmp_path), make_place(tmp_path, name="bad")
    with FakeOpenAI(answer=answers.by_rules) as server:
        run(["curate", *good, "--base-url", f"{server.url}/v1", "--no-files"])
    with FakeOpenAI(answer=answers.by_rules, faults=Faults(rate=0.2, seed=4)) as server:
        assert run(["curate", *bad, "--base-url", f"{server.url}/v1", "--no-files"]) in (0, 4)
        assert max(server.answered.values()) == 1, "an answered call was asked again"
        assert server.stats["status fault"] > 5
    assert texts_of(bad) == texts_of(good)
    assert rows_of(bad, "SELECT sum(attempts) > count(*) FROM llm_call") == [(1,)]


def test_a_request_never_asks_to_be_stored(tmp_path: Path) -> None:
    place = make_place(tmp_path, 3)
    with FakeOpenAI(answer=answers.by_rules) as server:
        run(["curate", *place, "--base-url", f"{server.url}/v1"])
        assert server.bodies
        assert all(body["store"] is False for body in server.bodies)


def test_filtered_and_truncated_answers_are_quarantined_not_crashes(tmp_path: Path) -> None:
    place = make_place(tmp_path)
    with FakeOpenAI(answer=answers.by_rules, faults=Faults(final_rate=0.5, seed=1)) as server:
        assert run(["curate", *place, "--base-url", f"{server.url}/v1"]) == 4
    statuses = Counter(status for (status,) in rows_of(place, "SELECT status FROM llm_call"))
    assert statuses["filtered"] > 2
    assert statuses["refused"] > 2
    items = rows_of(
        place, "SELECT count(*) FROM (SELECT study_id FROM curated_text UNION ALL SELECT item FROM quarantine)"
    )
    assert items == [(60,)]


@pytest.mark.parametrize(("status", "word"), [(401, "key"), (403, "allow"), (404, "deployment")])
def test_a_refused_key_or_model_stops_at_once(tmp_path: Path, capsys: Any, status: int, word: str) -> None:
    place = make_place(tmp_path)
    with FakeOpenAI(status=status) as server:
        assert run(["curate", *place, "--base-url", f"{server.url}/v1", "--model", "m"]) == 3
    assert word in capsys.readouterr().err


def test_unknown_parameters_are_respelled(tmp_path: Path) -> None:
    place = make_place(tmp_path, 5)
    with FakeOpenAI(answer=answers.by_rules, knows_schema=False) as server:
        run(["curate", *place, "--base-url", f"{server.url}/v1", "--model", "gpt-5-mini"])
        sent = server.bodies[-1]
    assert len(texts_of(place)) == 5
    assert "max_completion_tokens" in sent
    assert "response_format" not in sent


def test_batches_give_the_same_texts_and_leave_no_file_behind(tmp_path: Path) -> None:
    online, batch = make_place(tmp_path), make_place(tmp_path, name="batch")
    with FakeOpenAI(answer=answers.by_rules, batch_seconds=0.05, batch_error_share=0.1) as server:
        run(["curate", *online, "--base-url", f"{server.url}/v1", "--no-files"])
        options = ["--base-url", f"{server.url}/v1", "--model", "test-model", "--no-files", "--batch", "--poll", "0.05"]
        run(["curate", *batch, *options])
        assert server.batches.files == {}
        assert max(server.batches.submitted.values()) == 1
    kept = {study for study, *_rest in texts_of(batch)}
    assert [row for row in texts_of(online) if row[0] in kept] == texts_of(batch)
    assert rows_of(batch, "SELECT DISTINCT tier FROM llm_call") == [("batch",)]


def test_the_estimate_is_within_five_percent_of_what_the_server_counts(tmp_path: Path, capsys: Any) -> None:
    place = make_place(tmp_path, 200)
    with FakeOpenAI(answer=answers.unspoiled) as server:
        options = [*place, "--base-url", f"{server.url}/v1"]
        run(["curate", *options, "--dry-run", "--json"])
        (told,) = json.loads(capsys.readouterr().out)
        assert server.stats["requests"] == 0
        run(["curate", *options])
        assert told["input tokens"] == pytest.approx(server.stats["input_tokens"], rel=0.05)


def test_a_budget_stops_the_job_cleanly_and_a_larger_one_goes_on(tmp_path: Path, capsys: Any) -> None:
    place = make_place(tmp_path)
    with FakeOpenAI(answer=answers.by_rules) as server:
        options = [*place, "--base-url", f"{server.url}/v1", "--price", "10,10,10", "--no-files"]
        assert run(["curate", *options, "--max-cost", "0.2"]) == 3
        assert "budget" in capsys.readouterr().err
        assert 0 < rows_of(place, "SELECT sum(cost) FROM llm_call")[0][0] <= 0.2
        assert 0 < len(texts_of(place)) < 60
        run(["curate", *options, "--max-cost", "20", "--resume"])
        assert max(server.answered.values()) == 1
    assert len(texts_of(place)) == 60


def test_quarantine_can_be_shown_accepted_and_edited(tmp_path: Path, capsys: Any) -> None:
    place = make_place(tmp_path, 12)
    with FakeOpenAI(answer=answers.inventing) as server:
        assert run(["curate", *place, "--base-url", f"{server.url}/v1"]) == 4
    capsys.readouterr()
    run(["curate", *place, "--show", "failed", "--json"])
    shown = json.loads(capsys.readouterr().out)
    assert len(shown) == 12
    assert all("a finding that the source does not have: " in row["words"] for row in shown)
    assert rows_of(place, "SELECT count(*) FROM quarantined WHERE candidate LIKE '%fracture%'") == [(12,)]
    text = tmp_path / "mine.txt"
    text.write_text("The heart is mildly enlarged.")
    assert run(["curate", *place, "--accept", "3"]) == 0
    assert run(["curate", *place, "--edit", "4", "--text", str(text)]) == 0
    reviewed = rows_of(place, "SELECT study_id, reviewed FROM curated_text ORDER BY study_id")
    assert reviewed == [("3", "accepted"), ("4", "edited")]
    assert rows_of(place, "SELECT count(*) FROM quarantine") == [(10,)]


def test_an_answer_with_what_is_no_character_is_a_text_all_the_same(tmp_path: Path) -> None:
    place = make_place(tmp_path, 1)
    with FakeOpenAI(answer=answers.garbled) as server:
        assert run(["curate", *place, "--base-url", f"{server.url}/v1"]) == 0
    assert texts_of(place) == [("0", report_text(0), "endpoint")]


def test_words_that_say_nothing_of_the_image_are_no_report(tmp_path: Path) -> None:
    place = make_place(tmp_path, 4)
    with FakeOpenAI(answer=answers.chattering) as server:
        assert run(["curate", *place, "--base-url", f"{server.url}/v1"]) == 4
    assert texts_of(place) == []
    assert rows_of(place, "SELECT DISTINCT reason FROM quarantined") == [("none of the report's findings is left",)]
