"""What the tests of the judge share: a store with an evaluation of conversations, and a judge over it.

As a program (`python -m tests.stages.judging.judging STORE URL`) it judges evaluation 1, to be killed.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from radvlm_cli.stages.judging.judge import JudgeOptions, choose_judge, judge
from radvlm_cli.stages.texts.asking import Options
from radvlm_cli.stages.texts.writing import Choice
from radvlm_cli.store.engine import Store, open_store
from radvlm_cli.store.runs import Run, open_run

CONCURRENCY = 4


def choice(url: str, **other: Any) -> Choice:
    """Ask the fake server at `url`."""
    told: dict[str, Any] = {
        "provider": None,
        "model": "test-model",
        "azure_model": None,
        "base_url": f"{url}/v1",
        "temperature": 0.0,
        "max_tokens": None,
        "reasoning_effort": None,
        "zero_retention": False,
        "batch_retention": False,
        "batch": False,
    }
    return Choice(**(told | other))


def judged_by(run: Run, url: str, **other: Any) -> dict[str, int]:
    """Let the server at `url` judge evaluation 1."""
    calls = Options(concurrency=CONCURRENCY, backoff_s=0.001, **other.pop("calls", {}))
    return judge(run, 1, JudgeOptions(choose_judge(run.store, 1, choice(url)), calls, **other))


def make_evaluation(store: Store, answers: list[list[str] | None], *, source: str = "mimic") -> None:
    """Evaluation 1, of conversations of two rounds: a list of answers each, None for one without a prediction.

    The right answers of sample n are `n is clear.` and `n has none.`
    """
    with store.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO run (id, command, arguments, config_hash, version, python, host, pid, started_at, "
            "heartbeat_at, status, resumed) VALUES (90, 'eval', '{}', '', '', '', '', 1, '', '', 'done', 0)"
        )
        connection.exec_driver_sql(
            "INSERT INTO test_set (id, key, name, task, source, options, samples, patients, run_id) "
            "VALUES (1, 'k', 'conversations', 'conversation', ?, '[]', ?, ?, 90)",
            (source, len(answers), len(answers)),
        )
        connection.exec_driver_sql(
            "INSERT INTO evaluation (id, key, test_set_id, model, identity, folder, status, run_id, created_at) "
            "VALUES (1, 'k', 1, 'radvlm', '{}', '', 'complete', 90, '')"
        )
        for position in range(len(answers)):
            questions = [f"Is {position} clear?", "Any tubes?"]
            right = right_answers(position)
            turns = [["human", questions[0]], ["gpt", right[0]], ["human", questions[1]], ["gpt", right[1]]]
            connection.exec_driver_sql(
                "INSERT INTO test_sample (test_set_id, position, sample_id, path, turns, reference) "
                "VALUES (1, ?, ?, '', ?, ?)",
                (position, f"s{position}", json.dumps(questions), json.dumps({"turns": turns})),
            )
    for position, said in enumerate(answers):
        if said is not None:
            predict(store, position, said)


def right_answers(position: int) -> list[str]:
    """What the reference says."""
    return [f"{position} is clear.", f"{position} has none."]


def predict(store: Store, position: int, said: list[str], status: str = "ok") -> None:
    """A model's answers to a sample; a later call replaces."""
    with store.write() as connection:
        connection.exec_driver_sql(
            "INSERT OR REPLACE INTO prediction (evaluation_id, position, status, text, prompt, worker, attempt, "
            "run_id, at) VALUES (1, ?, ?, ?, '[]', '', 1, 90, '')",
            (position, status, json.dumps(said)),
        )


def kept(path: Path) -> list[tuple[Any, ...]]:
    """Position, status and numbers of every judgement."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT position, status, numbers FROM judgement ORDER BY judge, position")
        return [(position, status, json.loads(numbers)) for position, status, numbers in rows]


if __name__ == "__main__":
    with open_store(Path(sys.argv[1])) as opened, open_run(opened, "eval", {}) as at_work:
        judged_by(at_work, sys.argv[2])
