"""The judge over HTTP, against the fake server: who is asked what, what is kept, what is never paid twice."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from radvlm_cli.errors import ConfigError, Interrupted
from radvlm_cli.llm.meter import BudgetError
from radvlm_cli.llm.pricing import Price
from radvlm_cli.metrics.judge import ConversationJudge
from radvlm_cli.stages.evaluation.models import answer_of
from radvlm_cli.stages.judging.judge import choose_judge, judge_name, judged_conversations
from radvlm_cli.store.engine import Store
from radvlm_cli.store.judgements import judge_replies, judges
from radvlm_cli.store.runs import Run
from tests.fakes import judges as fakes
from tests.fakes.faults import Faults
from tests.fakes.openai_server import FakeOpenAI
from tests.stages.judging.judging import CONCURRENCY, choice, judged_by, kept, make_evaluation, predict, right_answers

ROOT = Path(__file__).parents[3]


def _values(store: Store, url: str) -> dict[str, Any]:
    name = judge_name(choose_judge(store, 1, choice(url)))
    judged = judged_conversations(store, 1, name)
    family = ConversationJudge()
    return family.values(family.per_sample(judged, [None] * len(judged)).sum(axis=0))


def test_every_conversation_is_graded_once_and_empty_ones_without_a_call(run: Run) -> None:
    make_evaluation(run.store, [right_answers(0), ["Hazy.", ""], ["", " "], [], right_answers(4)[:1], None])
    with FakeOpenAI(answer=fakes.sound) as server:
        counts = judged_by(run, server.url)
        values = _values(run.store, server.url)
        assert server.stats["requests"] == 3
        told = [fakes.told(body) for body in server.bodies]
    assert [counts[name] for name in ("items", "graded", "nothing to grade", "not answered yet")] == [6, 3, 2, 1]
    assert kept(run.store.path) == [
        (0, "ok", [10, 10, 10]),
        (1, "ok", [0, 4, 0]),
        (2, "empty", []),
        (3, "empty", []),
        (4, "ok", [0, 10, 0]),
    ]
    assert {"question": "Is 1 clear?", "reference": "1 is clear.", "answer": "Hazy."} in told[1]["rounds"]
    assert values["judge_overall"] == pytest.approx(10 / 6)
    assert values["judge_coverage"] == pytest.approx(5 / 6)
    assert run.store.value("SELECT value FROM tally WHERE name = 'graded'") == 3


def test_a_round_that_was_cut_off_while_the_model_thought_has_no_answer(run: Run) -> None:
    make_evaluation(run.store, [None])
    with run.store.write() as connection:
        connection.exec_driver_sql("""UPDATE evaluation SET identity = '{"model": "chat:any@nv_reason"}'""")
    predict(run.store, 0, ["<think>Hm.</think><answer>Clear.</answer>", "<think>Is there a tube?"], "truncated")
    with FakeOpenAI(answer=fakes.sound) as server:
        judged_by(run, server.url, extract=answer_of(run.store, 1))
        (body,) = server.bodies
    assert [each["answer"] for each in fakes.told(body)["rounds"]] == ["Clear.", ""]


def test_the_call_of_a_judgement_and_its_judge_are_kept(run: Run) -> None:
    make_evaluation(run.store, [right_answers(0)])
    with FakeOpenAI(answer=fakes.sound) as server:
        judged_by(run, server.url)
    (name,) = judges(run.store, 1)
    assert name.startswith("judge-conversation/test-model/")
    sql = (
        "SELECT prompt.name, llm_call.status FROM judgement JOIN llm_call ON llm_call.id = judgement.call_id "
        "JOIN prompt ON prompt.id = llm_call.prompt_id"
    )
    assert list(run.store.rows(sql)) == [("judge-conversation", "ok")]
    assert json.loads(judge_replies(run.store, 1, name)[0].text)["overall"] == 10


def test_a_second_run_makes_no_call(run: Run) -> None:
    make_evaluation(run.store, [right_answers(n) for n in range(5)] + [[]])
    with FakeOpenAI(answer=fakes.sound) as server:
        judged_by(run, server.url)
        before = kept(run.store.path)
        counts = judged_by(run, server.url)
        assert server.stats["requests"] == 5
    assert counts["done before"] == 6
    assert kept(run.store.path) == before


def test_answers_that_have_changed_are_graded_anew(run: Run) -> None:
    make_evaluation(run.store, [right_answers(0), ["?", "?"], []])
    with FakeOpenAI(answer=fakes.sound) as server:
        judged_by(run, server.url)
        predict(run.store, 1, right_answers(1))
        predict(run.store, 2, right_answers(2))
        counts = judged_by(run, server.url)
        assert server.stats["requests"] == 4
    assert (counts["graded"], counts["done before"]) == (2, 1)
    assert [numbers for _p, _s, numbers in kept(run.store.path)] == [[10, 10, 10]] * 3


def test_a_reply_that_is_not_of_the_form_is_sent_back_once(run: Run) -> None:
    make_evaluation(run.store, [right_answers(0)])
    with FakeOpenAI(answer=fakes.in_the_end) as server:
        counts = judged_by(run, server.url)
        assert "not exactly one JSON object" in server.bodies[1]["messages"][-1]["content"]
        assert judged_by(run, server.url)["done before"] == 1
        assert server.stats["requests"] == 2
    assert counts["graded"] == 1
    assert kept(run.store.path) == [(0, "ok", [10, 10, 10])]


@pytest.mark.parametrize(
    ("answer", "final", "status", "calls"),
    [
        (fakes.prose, None, "unparsable", 2),
        (fakes.twice, None, "unparsable", 2),
        (fakes.sound, "length", "truncated", 2),
        (fakes.sound, "refusal", "refused", 1),
        (fakes.sound, "content filter", "refused", 1),
    ],
)
def test_a_judge_that_fails_is_counted_and_not_asked_again(
    run: Run, answer: Any, final: str | None, status: str, calls: int
) -> None:
    make_evaluation(run.store, [right_answers(0), []])
    with FakeOpenAI(answer=answer, faults=Faults(final_shares={final: 1.0} if final else {})) as server:
        counts = judged_by(run, server.url)
        assert counts[status] == 1
        assert run.failed_items == 1
        assert judged_by(run, server.url)["failed before"] == 1
        assert server.stats["requests"] == calls
        values = _values(run.store, server.url)
    assert kept(run.store.path) == [(0, status, []), (1, "empty", [])]
    assert values["judge_overall"] == 0
    assert values["judge_coverage"] == 0.5


def test_failures_are_asked_anew_with_another_seed_and_what_came_of_it_stays(run: Run) -> None:
    make_evaluation(run.store, [right_answers(0)])
    with FakeOpenAI(answer=fakes.prose) as server:
        judged_by(run, server.url)
        assert judged_by(run, server.url, retry_failed=True)["unparsable"] == 1
        assert [body.get("seed") for body in server.bodies] == [None, None, 1, 1]
        server.behaviour.answer = fakes.sound_with_a_seed
        assert judged_by(run, server.url, retry_failed=True)["graded"] == 1
        assert server.bodies[-1]["seed"] == 2
        assert judged_by(run, server.url)["done before"] == 1
    assert kept(run.store.path) == [(0, "ok", [10, 10, 10])]


def test_a_call_that_nobody_answered_is_made_by_the_next_run(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("radvlm_cli.llm.engine.ATTEMPTS", 1)
    make_evaluation(run.store, [right_answers(0), right_answers(1)])
    with FakeOpenAI(answer=fakes.sound, faults=Faults(rate=1.0, kinds=("500",))) as server:
        assert judged_by(run, server.url)["unanswered"] == 2
        assert kept(run.store.path) == [(0, "error", []), (1, "error", [])]
        server.behaviour.faults = Faults()
        assert judged_by(run, server.url)["graded"] == 2
    assert [status for _position, status, _numbers in kept(run.store.path)] == ["ok", "ok"]


def test_the_budget_holds_and_the_next_run_goes_on(run: Run) -> None:
    make_evaluation(run.store, [right_answers(n) for n in range(20)])
    price = {"price": Price(100.0, 100.0, 100.0)}
    with FakeOpenAI(answer=fakes.sound) as server:
        with pytest.raises(BudgetError):
            judged_by(run, server.url, calls={**price, "max_cost": 0.9})
        first = server.stats["requests"]
        assert 0 < first < 20
        counts = judged_by(run, server.url, calls=price)
        assert server.stats["requests"] == 20
    assert counts["graded"] + counts["done before"] == 20
    assert run.store.value("SELECT count(*) FROM llm_call WHERE cost > 0") == 20


def test_stopping_keeps_what_was_graded(run: Run) -> None:
    make_evaluation(run.store, [right_answers(n) for n in range(40)])

    def stopping(body: dict[str, Any]) -> str:
        run.stop.requested = True
        return fakes.sound(body)

    with FakeOpenAI(answer=stopping, latency_s=0.02) as server:
        with pytest.raises(Interrupted):
            judged_by(run, server.url)
        answered = server.stats["requests"]
        assert 0 < len(kept(run.store.path)) == answered < 40
        run.stop.requested = False
        server.behaviour.answer = fakes.sound
        assert judged_by(run, server.url)["graded"] == 40 - answered
        assert server.stats["requests"] == 40


def test_a_killed_judge_goes_on_without_paying_twice(run: Run) -> None:
    number, path = 60, run.store.path
    make_evaluation(run.store, [right_answers(n) for n in range(number)])
    with FakeOpenAI(answer=fakes.sound, latency_s=0.03) as server:
        command = [sys.executable, "-m", "tests.stages.judging.judging", str(path), server.url]
        with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as process:
            while server.answered.total() < number // 3 and process.poll() is None:
                time.sleep(0.005)
            process.send_signal(signal.SIGKILL)
        before, recorded = kept(path), run.store.value("SELECT count(*) FROM llm_call")
        assert 0 < len(before) < number
        assert judged_by(run, server.url)["calls"] == number - recorded, "an answer that was kept was asked for again"
        assert server.answered.total() <= number + CONCURRENCY, "more than the calls in flight were lost"
    assert set(map(str, before)) <= set(map(str, kept(path)))
    assert kept(path) == [(n, "ok", [10, 10, 10]) for n in range(number)]


def test_credentialed_text_goes_to_no_service_without_consent(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    make_evaluation(run.store, [right_answers(0)])
    cloud: dict[str, Any] = {"provider": "openai", "base_url": None}
    with pytest.raises(ConfigError, match="MIMIC"):
        choose_judge(run.store, 1, choice("", **cloud))
    assert choose_judge(run.store, 1, choice("", **cloud, zero_retention=True)).origin == "openai"


def test_a_source_that_nobody_knows_is_taken_for_credentialed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    make_evaluation(run.store, [right_answers(0)], source="our-hospital")
    with pytest.raises(ConfigError, match="our-hospital"):
        choose_judge(run.store, 1, choice("", provider="openai", base_url=None))


def test_a_judge_has_to_be_chosen_and_there_has_to_be_something_to_judge(run: Run) -> None:
    make_evaluation(run.store, [right_answers(0)])
    for other in ({"provider": "rules"}, {"base_url": None}):
        with pytest.raises(ConfigError, match="No judge"):
            choose_judge(run.store, 1, choice("", **other))
    with pytest.raises(ConfigError, match="no evaluation 7"):
        choose_judge(run.store, 7, choice("http://localhost:1"))
    with run.store.write() as connection:
        connection.exec_driver_sql("UPDATE test_set SET task = 'report'")
    with pytest.raises(ConfigError, match="grades conversations"):
        choose_judge(run.store, 1, choice("http://localhost:1"))
