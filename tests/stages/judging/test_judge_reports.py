"""GREEN's model judges the reports of a run: a scripted one in its place, with real worker processes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from radvlm_cli.adapters import card
from radvlm_cli.errors import ConfigError
from radvlm_cli.stages.evaluation.models import Model
from radvlm_cli.stages.judging.reports import JudgeRequest, judge_reports, plan_reports, report_evaluations
from radvlm_cli.store.engine import open_store
from radvlm_cli.store.runs import open_run
from radvlm_cli.training.launch import Ranks
from tests.stages.evaluation.evaluating import Bench, make_bench, rows, run_eval, script

LOADING = {"weights": [], "device": "cpu", "dtype": "auto", "attention": None, "protocol": "default", "options": {}}


@pytest.fixture(autouse=True)
def unscored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores have tests of their own."""
    monkeypatch.setattr("radvlm_cli.stages.evaluation.scoring.score", lambda *_given: [])


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    bench = make_bench(tmp_path_factory.mktemp("pristine"))
    answers = {"reports-i0": ["Edema."], "reports-i1": [""], "reports-i2": ["Clear."]}
    run_eval(bench, model=script(bench, answers=answers, fail=["reports-i4"]), task=["report", "classification"])
    return bench


@pytest.fixture
def bench(pristine: Bench, tmp_path: Path) -> Bench:
    shutil.copytree(pristine.folder, tmp_path / "bench")
    return Bench(tmp_path / "bench")


def request_of(bench: Bench, processes: int = 2, **content: Any) -> JudgeRequest:
    """A script in the place of GREEN's model."""
    model = Model("green", card(script(bench, "judge.json", **content)), ())
    return JudgeRequest(model, {**LOADING, "base_url": None}, 2, Ranks(0, processes), 0, bench.folder / "judging")


def judged(bench: Bench, processes: int = 2, wanted: int | None = None, **content: Any) -> dict[str, int]:
    """Let a script judge an evaluation run, by default the first."""
    request = request_of(bench, processes, **content)
    run_id = wanted or rows(bench, "SELECT min(run_id) FROM answering")[0][0]
    with open_store(bench.path) as store, open_run(store, "green", {}) as run:
        return judge_reports(run, report_evaluations(store, run_id), request, resume="radvlm eval --green 1")


def judgements(bench: Bench) -> dict[str, tuple[str, str]]:
    """Sample -> status and text."""
    sql = (
        "SELECT s.sample_id, j.status, j.text FROM judgement j JOIN evaluation e ON e.id = j.evaluation_id "
        "JOIN test_sample s ON s.test_set_id = e.test_set_id AND s.position = j.position"
    )
    return {sample: (status, text) for sample, status, text in rows(bench, sql)}


def test_reports_are_judged_and_what_is_empty_or_failed_is_not_asked_about(bench: Bench) -> None:
    names = [f"reports-i{n}" for n in range(5)]
    assert judged(bench, answers={name: [f"About {name}."] for name in names}) == {"ok": 3, "empty": 2}
    found = judgements(bench)
    assert {sample: status for sample, (status, _text) in found.items()} == {
        "reports-i0": "ok",
        "reports-i1": "empty",
        "reports-i2": "ok",
        "reports-i3": "ok",
        "reports-i4": "empty",
    }
    assert found["reports-i0"][1] == "About reports-i0."
    assert rows(bench, "SELECT DISTINCT judge FROM judgement")[0][0].startswith("green/green/")


def test_a_plan_counts_what_would_be_judged_and_writes_nothing(bench: Bench) -> None:
    with open_store(bench.path) as store:
        run_id = store.value("SELECT min(run_id) FROM answering")
        (planned,) = plan_reports(store, report_evaluations(store, run_id), request_of(bench))
    assert (planned["reports"], planned["to judge"], planned["workers"]) == (5, 3, 2)
    assert judgements(bench) == {}


@pytest.mark.parametrize(("protocol", "judged"), [("default", 2), ("paper", 3)])
def test_a_report_that_was_cut_off_is_worth_nothing_unless_scored_as_published(
    bench: Bench, protocol: str, judged: int
) -> None:
    with open_store(bench.path) as store:
        with store.write() as connection:
            connection.exec_driver_sql("UPDATE prediction SET status = 'truncated' WHERE position = 2")
            connection.exec_driver_sql(
                "UPDATE evaluation SET identity = json_set(identity, '$.protocol', ?)", (protocol,)
            )
        run_id = store.value("SELECT min(run_id) FROM answering")
        (planned,) = plan_reports(store, report_evaluations(store, run_id), request_of(bench))
    assert planned["to judge"] == judged


def test_a_second_time_only_what_failed_is_judged(bench: Bench) -> None:
    assert judged(bench, fail=["reports-i2"]) == {"ok": 2, "empty": 2, "error": 1}
    before = judgements(bench)
    assert judged(bench, fail=[]) == {"ok": 3, "empty": 2}
    assert {sample: said for sample, said in judgements(bench).items() if said != before[sample]}.keys() == {
        "reports-i2"
    }
    assert rows(bench, "SELECT count(*) FROM answering") == [(3,)]
    judged(bench)
    assert not (bench.folder / "judging" / str(rows(bench, "SELECT max(id) FROM run")[0][0]) / "asks.jsonl").exists()


@pytest.mark.slow
def test_a_report_that_was_answered_since_is_judged_then(bench: Bench) -> None:
    model = script(bench, fail=["reports-i1"])
    done = run_eval(bench, model=model, task=["report"])
    assert judged(bench, wanted=done.run_id) == {"ok": 4, "empty": 1}
    script(bench)
    run_eval(bench, model=model, task=["report"])
    assert judged(bench, wanted=done.run_id) == {"ok": 5}
    run_eval(bench, model=model, task=["report"], again=True)
    assert judgements(bench) == {}


@pytest.mark.slow
def test_a_report_on_which_judges_die_is_an_error(bench: Bench) -> None:
    assert judged(bench, processes=1, die_at="reports-i2") == {"ok": 2, "empty": 2, "error": 1}
    assert judgements(bench)["reports-i2"] == ("error", "2 workers died while they answered it")


@pytest.mark.slow
def test_a_run_without_reports_has_none_to_judge(bench: Bench) -> None:
    done = run_eval(bench, task=["classification"])
    with open_store(bench.path) as store, pytest.raises(ConfigError, match="no reports to judge"):
        report_evaluations(store, done.run_id)
