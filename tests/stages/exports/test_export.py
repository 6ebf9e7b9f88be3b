"""`radvlm export`: what the files hold, and what is never written over."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from faster_coco_eval import COCO, COCOeval_faster
from pyarrow import parquet

from radvlm_cli.errors import Interrupted
from radvlm_cli.main import run
from radvlm_cli.progress import StopSignal
from radvlm_cli.recipes import parse_recipe
from radvlm_cli.stages.datasets.build import BuildOptions, build
from radvlm_cli.stages.exports.export import export_predictions_of
from radvlm_cli.store.engine import open_store
from radvlm_cli.store.runs import open_run
from tests.stages.evaluation.evaluating import RECIPE, TURNS, Bench, make_bench, rows, run_eval, script

NODULE = "There is a nodule/mass at"
ANSWERS = {
    "reports-i0": ["Clear lungs."],
    "reports-i1": ["I'm sorry, but I cannot help with that."],
    "boxes-i0": [f"{NODULE} [0.1, 0.2, 0.3, 0.4]."],
    "boxes-i1": [f"{NODULE} [0.1, 0.2, 0.3, 0.38] and [0.6, 0.6, 0.9, 0.9]."],
    "boxes-i2": [f"{NODULE} [0.7, 0.2, 0.9, 0.4]."],
    "boxes-i3": ["At [0.1, 0.2, 0.3, 0.4] there is something."],  # named by nobody: of no category
    "phrases-i4-0": ["At [0.5, 0.5, 0.75, 0.75]."],
}


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """All answered; not to be changed."""
    bench = make_bench(tmp_path_factory.mktemp("pristine"))
    run_eval(bench, model=script(bench, answers=ANSWERS, fail=["reports-i2"]))
    return bench


@pytest.fixture
def bench(pristine: Bench, tmp_path: Path) -> Bench:
    """A copy, whose store knows the dataset where the copy has it."""
    shutil.copytree(pristine.folder, tmp_path / "bench")
    before, after = str(pristine.folder), str(tmp_path / "bench")
    with closing(sqlite3.connect(tmp_path / "bench" / "radvlm.db")) as connection, connection:
        connection.execute("UPDATE dataset SET output = replace(output, ?, ?)", (before, after))
        connection.execute("UPDATE artifact SET path = replace(path, ?, ?)", (before, after))
    return Bench(tmp_path / "bench")


@pytest.fixture
def export(bench: Bench, capsys: pytest.CaptureFixture[str]) -> Any:
    def exporting(*arguments: str, code: int = 0) -> tuple[str, str]:
        ended = run(["export", *arguments, "--data-dir", str(bench.data), "--store", str(bench.path)])
        said = capsys.readouterr()
        assert ended == code, said.err
        return said.out, said.err

    return exporting


def number_of(bench: Bench, test_set: str) -> str:
    """The evaluation of a test set."""
    sql = f"SELECT e.id FROM evaluation e JOIN test_set t ON t.id = e.test_set_id WHERE t.name = '{test_set}'"
    return str(rows(bench, sql)[0][0])


def artifacts(bench: Bench) -> dict[str, str]:
    return dict(rows(bench, "SELECT path, kind FROM artifact WHERE root = 'output' AND kind <> 'dataset'"))


def test_lines_hold_sample_answer_and_what_was_read(bench: Bench, export: Any, tmp_path: Path) -> None:
    out, err = export("predictions", number_of(bench, "reports"), "--output", "reports.jsonl")
    lines = [json.loads(line) for line in Path("reports.jsonl").read_text().splitlines()]
    assert [line["sample_id"] for line in lines] == [f"reports-i{n}" for n in range(5)]
    assert [line["status"] for line in lines] == ["ok", "ok", "error", "ok", "ok"]
    assert [line["parsed_status"] for line in lines[:3]] == ["ok", "refused", "error"]
    assert lines[0]["reference"] == {"text": "Report number 0."}
    assert (lines[0]["text"], lines[0]["parsed"], lines[1]["parsed"]) == ("Clear lungs.", "Clear lungs.", None)
    assert out.strip() == str(tmp_path / "reports.jsonl")
    assert "PhysioNet Credentialed" in err
    assert artifacts(bench) == {str(tmp_path / "reports.jsonl"): "export"}
    assert rows(bench, "SELECT status FROM run WHERE command = 'export'") == [("done",)]


def test_rounds_of_conversations_are_lists(bench: Bench, export: Any) -> None:
    export("predictions", number_of(bench, "talks"), "--output", "talks.jsonl")
    first = json.loads(Path("talks.jsonl").read_text().splitlines()[0])
    assert first["prompt"] == ["What is seen?", "Where?"]
    assert first["text"] == ["Nothing abnormal can be seen."] * 2
    assert first["reference"]["turns"] == TURNS


def test_a_table_holds_what_the_lines_do(bench: Bench, export: Any) -> None:
    for name in ("reports", "findings", "boxes"):
        number = number_of(bench, name)
        export("predictions", number, "--output", f"{name}.jsonl")
        export("predictions", number, "--format", "parquet", "--output", f"{name}.parquet")
        lines = [json.loads(line) for line in Path(f"{name}.jsonl").read_text().splitlines()]
        table = parquet.read_table(f"{name}.parquet").to_pylist()
        decoded = [
            {**row, **{key: None if row[key] is None else json.loads(row[key]) for key in ("reference", "parsed")}}
            for row in table
        ]
        assert decoded == lines


def test_rexrank_gets_one_answer_a_study_and_empty_ones_for_failures(bench: Bench, export: Any) -> None:
    with open_store(bench.path) as store, store.write() as connection:
        # Two more images of the first study, one of them seen from behind.
        connection.exec_driver_sql("UPDATE test_sample SET study_id = 's0', view = 'AP' WHERE sample_id = 'reports-i0'")
        connection.exec_driver_sql("UPDATE test_sample SET study_id = 's0', view = 'PA' WHERE sample_id = 'reports-i4'")
        connection.exec_driver_sql("UPDATE report SET findings = 'F.', impression = 'I.' WHERE study_id = 's1'")
    _out, err = export("predictions", number_of(bench, "reports"), "--format", "rexrank", "--output", "r.json")
    told = json.loads(Path("r.json").read_text())
    assert list(told) == ["s0", "s1", "s2", "s3"]
    assert "1 of further images are left out" in err
    assert told["s0"]["key_image_path"].endswith("mimic/4.jpg")
    assert [Path(path).name for path in told["s0"]["image_path"]] == ["4.jpg", "0.jpg"]
    assert [told[study]["model_prediction"] for study in ("s1", "s2")] == ["", ""]
    assert told["s3"]["model_prediction"].startswith("The lungs are clear.")
    # What ReXrank's script makes of it: findings and impression apart.
    assert (told["s1"]["section_findings"], told["s1"]["section_impression"]) == ("F.", "I.")
    assert (told["s3"]["section_findings"], told["s3"]["section_impression"]) == ("Report number 3.", None)
    assert told["s3"]["context"] == "Age:60.Gender:F.Indication: Cough."


def test_coco_results_and_truth_score_as_our_own_metric(bench: Bench, export: Any) -> None:
    number = number_of(bench, "boxes")
    out, err = export("predictions", number, "--format", "coco", "--output", "boxes.json")
    assert [Path(line).name for line in out.split()] == ["boxes.json", "boxes.annotations.json"]
    assert "no scores" in err
    truth = COCO("boxes.annotations.json")
    results = json.loads(Path("boxes.json").read_text())
    assert [result["image_id"] for result in results] == [1, 2, 2, 3]
    # The picture is 60 x 80 pixels; the box from 0.1, 0.2 to 0.3, 0.4.
    assert results[0]["bbox"] == pytest.approx([6, 16, 12, 16])
    assert truth.loadImgs([2])[0]["width"] == 61
    judge = COCOeval_faster(truth, truth.loadRes("boxes.json"), iouType="bbox", print_function=lambda *_words: None)
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    sql = f"SELECT value FROM score WHERE evaluation_id = {number} AND metric = 'detection_recall_50' AND part = ''"
    assert judge.eval["recall"][0].max() == pytest.approx(rows(bench, sql)[0][0])
    assert judge.eval["recall"][0].max() == pytest.approx(2 / 5)


def test_coco_of_phrases_has_one_category(bench: Bench, export: Any) -> None:
    export("predictions", number_of(bench, "phrases"), "--format", "coco", "--output", "phrases.json")
    truth = json.loads(Path("phrases.annotations.json").read_text())
    assert truth["categories"] == [{"id": 1, "name": "phrase"}]
    assert [image["subject"] for image in truth["images"]] == [f"edema {n}" for n in range(5)]
    assert len(truth["annotations"]) == 5
    last = json.loads(Path("phrases.json").read_text())[-1]
    assert (last["image_id"], last["bbox"]) == (5, truth["annotations"][4]["bbox"])


@pytest.mark.parametrize(("test_set", "form"), [("reports", "coco"), ("boxes", "rexrank"), ("talks", "rexrank")])
def test_a_form_that_does_not_fit_is_refused(bench: Bench, export: Any, test_set: str, form: str) -> None:
    _out, err = export("predictions", number_of(bench, test_set), "--format", form, "--output", "x.json", code=3)
    assert f"{form} is for" in err
    assert not Path("x.json").exists()
    _out, err = export("predictions", "99", "--output", "x.json", code=3)
    assert "no evaluation 99" in err


def test_nothing_is_written_over_unless_forced(bench: Bench, export: Any, tmp_path: Path) -> None:
    Path("x.annotations.json").write_text("mine")
    options = ("predictions", number_of(bench, "boxes"), "--format", "coco", "--output", "x.json")
    _out, err = export(*options, code=3)
    assert "x.annotations.json is there already" in err
    assert (Path("x.annotations.json").read_text(), Path("x.json").exists()) == ("mine", False)
    export(*options, "--force")
    assert json.loads(Path("x.annotations.json").read_text())["images"]
    _out, err = export("predictions", "1", "--output", str(tmp_path), code=3)
    assert "is a folder" in err


def test_an_export_that_is_stopped_leaves_nothing(bench: Bench, tmp_path: Path) -> None:
    stop = StopSignal()
    stop.requested = True
    with (
        open_store(bench.path) as store,
        pytest.raises(Interrupted),
        open_run(store, "export", {}, stop=stop) as running,
    ):
        export_predictions_of(running, 1, "jsonl", tmp_path / "x.jsonl", force=False)
    assert not list(tmp_path.glob("x*"))
    assert artifacts(bench) == {}


def test_a_dataset_comes_out_as_build_writes_it(bench: Bench, export: Any, tmp_path: Path) -> None:
    both = BuildOptions(seed=0, formats=("llava", "messages"))
    with open_store(bench.path) as store, open_run(store, "build", {}) as running:
        places = {"data_dir": bench.data, "derived_dir": bench.data}
        recipe = parse_recipe(RECIPE, "test")
        build(running, recipe=recipe, evaluation=None, output=tmp_path / "two", options=both, **places)
    for form, suffix in (("llava", "json"), ("messages", "messages.jsonl"), ("parquet", "parquet")):
        out, _err = export("dataset", str(tmp_path / "two"), "--format", form, "--output", f"out.{suffix}", "--json")
        assert json.loads(out)["items"] == 25
        assert Path(f"out.{suffix}").read_bytes() == (tmp_path / "two" / f"test.{suffix}").read_bytes()
    assert len(artifacts(bench)) == 3


def test_components_are_chosen(bench: Bench, export: Any) -> None:
    folder = str(bench.folder / "datasets" / "test")
    for form in ("messages", "parquet"):
        export("dataset", folder, "--format", form, "--component", "phrases", "--output", f"part.{form}")
    messages = [json.loads(line) for line in Path("part.messages").read_text().splitlines()]
    table = parquet.read_table("part.parquet").to_pylist()
    assert [pair["id"] for pair in messages] == [row["id"] for row in table]
    assert {row["component"] for row in table} == {"phrases"}
    assert {row["image_id"] for row in table} == {f"i{n}" for n in range(5)}
    _out, err = export("dataset", folder, "--component", "phrase", "--output", "x", code=3)
    assert "it has reports, findings, phrases, boxes, talks" in err


def test_a_dataset_that_is_not_as_it_was_built_is_refused(bench: Bench, export: Any) -> None:
    folder = bench.folder / "datasets" / "test"
    with (folder / "test.parquet").open("ab") as stream:
        stream.write(b" ")
    _out, err = export("dataset", str(folder), "--output", "x.jsonl", code=3)
    assert "not as it was built" in err
    (folder / "test.parquet").unlink()
    _out, err = export("dataset", str(folder), "--output", "x.jsonl", code=3)
    assert "is gone" in err
    export("dataset", str(folder), "--format", "llava", "--output", "x.json")  # that file is there still
    assert Path("x.json").read_bytes() == (folder / "test.json").read_bytes()
    _out, err = export("dataset", str(folder), "--format", "llava", "--output", str(folder / "test.json"), code=3)
    assert "is there already" in err
    _out, err = export(
        "dataset", str(folder), "--format", "llava", "--output", str(folder / "test.json"), "--force", code=3
    )
    assert "own file" in err


def test_texts_without_files_get_them_in_the_published_folders(bench: Bench, export: Any) -> None:
    (bench.data / "mimic").rename(bench.data / "MIMIC-CXR-JPG")
    out, _err = export("files", "--json")
    assert [(line["kind"], line["written"], line["there"]) for line in json.loads(out)] == [
        ("filtered_report", 5, 0),
        ("conversation", 5, 0),
    ]
    home = bench.data / "MIMIC-CXR-JPG"
    assert (home / "filtered_reports" / "s1.txt").read_text() == "Report number 1.\n"
    spoken = json.loads((home / "conversations" / "test" / "standard" / "i1.json").read_text())
    assert spoken == [{"from": role, "value": text} for role, text in TURNS]
    out, _err = export("files", "--json")
    assert [(line["written"], line["there"]) for line in json.loads(out)] == [(0, 5), (0, 5)]
    (home / "filtered_reports" / "s1.txt").unlink()
    out, _err = export("files", "--force", "--json")
    assert (home / "filtered_reports" / "s1.txt").read_text() == "Report number 1.\n"
    assert rows(bench, "SELECT count(*) FROM artifact WHERE root = 'derived'") == [(10,)]


def test_texts_go_to_another_folder_and_leave_what_lies_there(bench: Bench, export: Any, tmp_path: Path) -> None:
    mine = tmp_path / "out" / "MIMIC-CXR-JPG" / "filtered_reports" / "s2.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("Mine.")
    out, err = export("files", "--source", "mimic", "--output", "out", "--json", code=4)
    counts = [(line["written"], line["there"], line["kept"]) for line in json.loads(out)]
    assert counts == [(4, 0, 1), (5, 0, 0)]
    assert mine.read_text() == "Mine."
    assert "--force" in err
    out, _err = export("files", "--output", "out", "--force", "--json")
    counts = [(line["written"], line["there"], line["kept"]) for line in json.loads(out)]
    assert counts == [(1, 4, 0), (0, 5, 0)]
    assert mine.read_text() == "Report number 2.\n"
    assert len(artifacts(bench)) == 10
    assert rows(bench, "SELECT count(*) FROM curated_text WHERE artifact_id IS NOT NULL") == [(0,)]


def test_files_of_a_source_without_texts_are_refused(bench: Bench, export: Any) -> None:
    _out, err = export("files", "--source", "openi", code=3)
    assert "no curated report and no dialogue of openi" in err
    _out, err = export("files", "--source", "mimmic", code=3)
    assert "There is no source 'mimmic'" in err
