"""A tiny LLaVA-OneVision through real workers: any number of them gives the same samples and texts."""

from __future__ import annotations

from pathlib import Path

import pytest

from radvlm_cli.demo.tiny_model import write_tiny_model
from tests.stages.evaluation.evaluating import make_bench, rows, run_eval, texts

pytest.importorskip("transformers")


@pytest.mark.slow
def test_a_tiny_model_says_the_same_with_one_worker_and_with_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    bench = make_bench(tmp_path / "bench", 3)
    model = tmp_path / "model"
    write_tiny_model(model, ["What is seen? Edema. Where? Left. Report number 0."])
    asked = {"model": f"radvlm:{model}", "gpus": 0, "max_new_tokens": 8, "dtype": "float32", "batch": "2"}
    two = run_eval(bench, **asked, processes=2)
    assert sum(line["answered"] for line in two.lines) == 15
    assert sum(line["error"] for line in two.lines) == 0
    kept = texts(bench)
    assert rows(bench, "SELECT count(DISTINCT worker), min(tokens_in) > 0 FROM prediction") == [(2, 1)]
    again = run_eval(bench, **asked, processes=1, again=True)
    assert [line["evaluation"] for line in again.lines] == [line["evaluation"] for line in two.lines]
    assert texts(bench) == kept
