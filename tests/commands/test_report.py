"""`radvlm report` on the command line."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from radvlm_cli.main import run as radvlm
from radvlm_cli.store.engine import open_store
from radvlm_cli.store.runs import open_run
from tests.stages.evaluation.evaluated import BOX, FAR, add_evaluation, add_test_set, phrases

VIEWS = (
    [],
    ["data"],
    ["llm"],
    ["training"],
    ["eval"],
    ["eval", "--labels", "--readable", "--all-metrics", "--every"],
    ["eval", "--by", "sex"],
    ["compare", "maira2", "chexagent"],
    ["calibration"],
    ["failures"],
    ["sql", "SELECT id, command FROM run"],
)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two models on one test set; nothing writes to it."""
    path = tmp_path_factory.mktemp("evaluated") / "radvlm.db"
    with open_store(path) as store, open_run(store, "eval", {}) as run:
        test_set = add_test_set(store, run, "mscxr-phrase-test", "phrase", phrases(60), expected=189)
        add_evaluation(store, run, test_set, "maira2", [[BOX]] * 50 + [[FAR]] * 10, statuses={0: "unparsable"})
        add_evaluation(store, run, test_set, "chexagent", [[BOX]] * 20 + [[FAR]] * 40)
    return path


@pytest.mark.parametrize("view", VIEWS, ids=" ".join)
@pytest.mark.parametrize("form", ["table", "md", "csv", "json", "latex"])
def test_every_view_comes_in_every_form(
    evaluated: Path, capsys: pytest.CaptureFixture[str], view: list[str], form: str
) -> None:
    assert radvlm(["report", *view, "--store", str(evaluated), "--format", form]) == 0
    written = capsys.readouterr().out
    assert written.endswith("\n")
    if form == "json":
        assert json.loads(written)["tables"]
    if form == "csv":
        assert len(list(csv.reader(io.StringIO(written)))) >= 1


def test_options_may_stand_before_the_view_or_behind_it(evaluated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        ["report", "--store", str(evaluated), "--json", "eval"],
        ["report", "eval", "--store", str(evaluated), "--json"],
    ]
    written = []
    for each in words:
        assert radvlm(each) == 0
        written.append(capsys.readouterr().out)
    assert written[0] == written[1]
    assert json.loads(written[0])["view"] == "eval"
    assert radvlm(["report", "--store", str(evaluated), "--json", "eval", "--format", "csv"]) == 0
    assert "model,evaluation,n" in capsys.readouterr().out


def test_one_table_of_a_view_is_a_csv_that_any_program_reads(
    evaluated: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["report", "eval", "--store", str(evaluated), "--table", "mscxr-phrase-test", "--format", "csv"]
    assert radvlm(words) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["model"] for row in rows] == ["chexagent", "maira2"]
    assert float(rows[1]["f1_50 low"]) <= float(rows[1]["f1_50"]) <= float(rows[1]["f1_50 high"])
    assert radvlm(["report", "eval", "--store", str(evaluated), "--table", "nothing"]) == 3
    assert "there are: mscxr-phrase-test" in capsys.readouterr().err


def test_without_a_store_the_way_to_one_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert radvlm(["report", "--store", str(tmp_path / "none.db")]) == 3
    assert "radvlm prepare" in capsys.readouterr().err


def test_a_report_changes_nothing_and_needs_no_store_packages(evaluated: Path) -> None:
    before = evaluated.read_bytes()
    code = (
        "import sys; from radvlm_cli.main import run; "
        f"code = run(['report', '--store', {str(evaluated)!r}]); "
        "heavy = [m for m in ('sqlalchemy', 'alembic', 'numpy', 'torch', 'pandas') if m in sys.modules]; "
        "sys.exit(code or str(heavy) if heavy else code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "What is there" in done.stdout
    assert evaluated.read_bytes() == before


def test_by_goes_with_no_other_selection_of_metrics(evaluated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert radvlm(["report", "eval", "--by", "sex", "--labels", "--store", str(evaluated)]) == 3
    assert "--by" in capsys.readouterr().err
