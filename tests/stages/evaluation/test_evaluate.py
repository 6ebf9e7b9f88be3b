"""Evaluate a scripted model over a small store, with real worker processes."""

from __future__ import annotations

import json
import shutil

import pytest

from radvlm_cli.errors import ConfigError, EvaluationError, Interrupted, StoreError
from radvlm_cli.progress import StopSignal
from radvlm_cli.store.engine import open_store
from radvlm_cli.store.lock import stage_lock
from tests.stages.evaluation.evaluating import Bench, rows, run_eval, script, texts


@pytest.fixture(autouse=True)
def unscored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores have tests of their own."""
    monkeypatch.setattr("radvlm_cli.stages.evaluation.scoring.score", lambda _run, _evaluation, _choice: [])


def test_every_sample_of_every_test_set_is_answered_once(bench: Bench) -> None:
    done = run_eval(bench, processes=3)
    assert {(line["test set"], line["samples"], line["ok"]) for line in done.lines} == {
        *(("reports", 5, 5), ("findings", 5, 5), ("phrases", 5, 5), ("boxes", 5, 5), ("talks", 5, 5)),
    }
    assert rows(bench, "SELECT count(*), count(DISTINCT worker) FROM prediction") == [(25, 3)]
    again = run_eval(bench, processes=2)
    assert [line["evaluation"] for line in again.lines] == [line["evaluation"] for line in done.lines]
    assert rows(bench, "SELECT DISTINCT run_id FROM prediction") == [(done.run_id,)]
    assert rows(bench, "SELECT DISTINCT status FROM evaluation") == [("complete",)]


def test_a_sample_that_fails_is_a_row_and_is_asked_again_by_the_next_run(bench: Bench) -> None:
    model = script(bench, fail=["reports-i1", "talks-i2"])
    done = run_eval(bench, model=model, task=["report", "conversation"])
    assert {line["test set"]: (line["ok"], line["error"], line["status"]) for line in done.lines} == {
        "reports": (4, 1, "complete"),
        "talks": (4, 1, "complete"),
    }
    assert rows(bench, "SELECT status FROM run WHERE command = 'eval'") == [("partial",)]
    script(bench)
    run_eval(bench, model=model, task=["report", "conversation"])
    assert rows(bench, "SELECT status, attempt, count(*) FROM prediction GROUP BY 1, 2") == [("ok", 1, 8), ("ok", 2, 2)]


def test_a_sample_on_which_two_workers_die_is_an_error_and_the_others_are_answered(bench: Bench) -> None:
    model = script(bench, die_at="reports-i3")
    done = run_eval(bench, model=model, task=["report"], processes=2, batch="3")
    assert [(line["ok"], line["error"]) for line in done.lines] == [(4, 1)]
    failed = rows(bench, "SELECT sample_id, error FROM prediction_view WHERE status = 'error'")
    assert failed == [("reports-i3", "2 workers died while they answered it")]


@pytest.mark.slow
def test_a_limit_is_a_choice_by_seed_and_an_evaluation_of_its_own(bench: Bench) -> None:
    first = run_eval(bench, task=["report"], limit=3)
    assert [line["samples"] for line in first.lines] == [3]
    chosen = {row[1] for row in texts(bench)}
    same, other = run_eval(bench, task=["report"], limit=3), run_eval(bench, task=["report"], limit=3, seed=5)
    assert same.lines[0]["evaluation"] == first.lines[0]["evaluation"] != other.lines[0]["evaluation"]
    assert chosen != {row[1] for row in texts(bench)}


def test_what_decides_an_answer_makes_another_evaluation_and_the_number_of_workers_does_not(bench: Bench) -> None:
    first = run_eval(bench, task=["report"], processes=1)
    assert run_eval(bench, task=["report"], processes=4).lines[0]["evaluation"] == first.lines[0]["evaluation"]
    for changed in ({"max_new_tokens": 3}, {"batch": "2"}):
        assert run_eval(bench, task=["report"], **changed).lines[0]["samples"] == 5
    assert rows(bench, "SELECT count(*) FROM evaluation") == [(3,)]
    assert rows(bench, "SELECT DISTINCT status FROM prediction WHERE evaluation_id = 2") == [("truncated",)]


@pytest.mark.slow
def test_again_forgets_the_answers_and_asks_anew(bench: Bench) -> None:
    model = script(bench, answers={"reports-i0": ["Before."]})
    run_eval(bench, model=model, task=["report"])
    script(bench, answers={"reports-i0": ["After."]})
    run_eval(bench, model=model, task=["report"])
    assert ("reports", "reports-i0", "ok", "Before.") in texts(bench)
    run_eval(bench, model=model, task=["report"], again=True)
    assert ("reports", "reports-i0", "ok", "After.") in texts(bench)


@pytest.mark.slow
def test_answers_are_not_mixed_with_those_of_a_model_that_says_otherwise_of_itself(bench: Bench) -> None:
    model = script(bench, answers={"reports-i0": ["Before."]}, fail=["reports-i4"])
    run_eval(bench, model=model, task=["report"])
    script(bench, answers={"reports-i0": ["After."]})
    with pytest.raises(EvaluationError, match="would not answer as it did"):
        run_eval(bench, model=model, task=["report"])
    assert {row[3] for row in texts(bench) if row[1] == "reports-i0"} == {"Before."}


def test_two_runs_do_not_work_on_one_evaluation(bench: Bench) -> None:
    run_eval(bench, task=["report"])
    with stage_lock(bench.path, "evaluation-1"), pytest.raises(StoreError, match="Another run is at work on"):
        run_eval(bench, task=["report"])


@pytest.mark.slow
def test_a_stop_keeps_what_is_answered_and_a_resume_with_other_workers_asks_the_rest(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = script(bench, delay=0.05)
    monkeypatch.setattr(StopSignal, "requested", property(lambda _self: stopping(), lambda _self, _value: None), False)

    def stopping() -> bool:
        return len(rows(bench, "SELECT 1 FROM prediction")) > 2

    with pytest.raises(Interrupted, match="left to ask") as stopped:
        run_eval(bench, model=model, processes=1, batch="1")
    monkeypatch.undo()
    assert "radvlm eval --resume --run" in str(stopped.value.hint)
    before = texts(bench)
    assert 2 < len(before) < 25
    done = run_eval(bench, model=None, resume=True, processes=3)
    assert sum(line["ok"] for line in done.lines) == 25
    assert set(before) <= set(texts(bench))
    assert rows(bench, "SELECT count(*), max(resumed) FROM run WHERE command = 'eval'") == [(1, 1)]


def test_what_a_killed_run_left_in_its_spools_is_not_asked_again(bench: Bench) -> None:
    done = run_eval(bench, task=["report"])
    kept = rows(bench, "SELECT * FROM prediction ORDER BY position")
    with open_store(bench.path) as store, store.write() as connection:
        connection.exec_driver_sql("DELETE FROM prediction")
        connection.exec_driver_sql("DELETE FROM spool")
    with (done.folder / "rank0.spool.jsonl").open("a") as spool:
        spool.write('{"kind":"answer","evaluation_id":1,"pos')
    run_eval(bench, task=["report"])
    assert rows(bench, "SELECT * FROM prediction ORDER BY position") == kept


def test_a_run_whose_folder_is_gone_is_gone_on_with(bench: Bench) -> None:
    model = script(bench, fail=["reports-i4"])
    done = run_eval(bench, model=model, task=["report"])
    script(bench)
    with open_store(bench.path) as store, store.write() as connection:
        connection.exec_driver_sql("UPDATE run SET status = 'interrupted' WHERE command = 'eval'")
        connection.exec_driver_sql("DELETE FROM prediction WHERE position < 2")
    shutil.rmtree(done.folder)
    assert [line["ok"] for line in run_eval(bench, model=None, resume=True).lines] == [5]
    kept = rows(bench, "SELECT * FROM prediction")
    # As after a power failure: the store knows of more than the file holds.
    (done.folder / "rank0.spool.jsonl").write_text("")
    run_eval(bench, model=model, task=["report"])
    assert rows(bench, "SELECT * FROM prediction") == kept


def test_a_model_that_cannot_be_loaded_says_so_in_its_own_words(bench: Bench) -> None:
    model = script(bench)
    with pytest.raises(EvaluationError, match="A script has no 'nonsense'"):
        run_eval(bench, model=model, task=["report"], set=["nonsense=1"])
    assert rows(bench, "SELECT status FROM run WHERE command = 'eval'") == [("failed",)]


def test_workers_that_die_before_they_begin_end_the_run(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(bench.folder / "nowhere"))
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(EvaluationError, match="ended without a word"):
        run_eval(bench, task=["report"])


@pytest.mark.slow
def test_workers_on_a_named_host_are_those_of_this_machine(bench: Bench) -> None:
    done = run_eval(bench, task=["report", "conversation"], hosts="localhost", processes=2)
    assert [line["ok"] for line in done.lines] == [5, 5]


@pytest.mark.slow
def test_a_resume_with_other_conditions_is_refused(bench: Bench) -> None:
    model = script(bench)
    with pytest.raises(EvaluationError):
        run_eval(bench, model=model, task=["report"], set=["nonsense=1"])
    with pytest.raises(ConfigError, match="max_new_tokens"):
        run_eval(bench, model=None, resume=True, max_new_tokens=7)


def test_a_run_is_not_resumed_as_another_evaluation(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("sys.executable", "/bin/false")
        with pytest.raises(EvaluationError):
            run_eval(bench, task=["report"])
    with monkeypatch.context() as patched:
        patched.setattr("radvlm_cli.stages.evaluation.request.backend", lambda _model: {"torch": "9"})
        with pytest.raises(ConfigError, match=r'other conditions.*backend: was \{\}, now \{"torch": "9"\}'):
            run_eval(bench, model=None, resume=True)
    assert rows(bench, "SELECT count(*) FROM evaluation") == [(1,)]
    assert [line["ok"] for line in run_eval(bench, model=None, resume=True).lines] == [5]


def test_conversations_are_kept_as_a_list_of_answers(bench: Bench) -> None:
    run_eval(bench, model=script(bench, answers={"talks-i0": ["One.", "Two."]}), task=["conversation"])
    found = {row[1]: json.loads(row[3]) for row in texts(bench)}
    assert found["talks-i0"] == ["One.", "Two."]
    prompts = rows(bench, "SELECT DISTINCT prompt FROM prediction")
    assert [json.loads(prompt) for (prompt,) in prompts] == [["What is seen?", "Where?"]]
