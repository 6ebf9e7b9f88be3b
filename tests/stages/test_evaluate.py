"""Evaluate a scripted model over a small store, with real worker processes."""

from __future__ import annotations

import pytest

from tests.stages import evaluating
from tests.stages.evaluating import Bench, make_bench, run_eval, texts


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A store that tests of this file add to."""
    return make_bench(tmp_path_factory.mktemp("bench"))


def test_every_sample_of_every_test_set_is_answered_once(made: Bench) -> None:
    done = run_eval(made, processes=3)
    assert {(line["test set"], line["samples"], line["ok"]) for line in done.lines} == {
        *(("reports", 5, 5), ("findings", 5, 5), ("phrases", 5, 5), ("boxes", 5, 5), ("talks", 5, 5)),
    }
    assert evaluating.rows(made, "SELECT count(*), count(DISTINCT worker) FROM prediction") == [(25, 3)]
    assert {row[2] for row in texts(made)} == {"ok"}
    again = run_eval(made, processes=2)
    assert [line["evaluation"] for line in again.lines] == [line["evaluation"] for line in done.lines]
    assert evaluating.rows(made, "SELECT count(DISTINCT run_id) FROM prediction") == [(1,)]
