"""Answers as they are read, and the scores that come of them: a scripted model, each way an answer can fail."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from radvlm_cli.adapters import card
from radvlm_cli.adapters.boxes import codec
from radvlm_cli.errors import DataError
from radvlm_cli.metrics.radgraph import text_key
from radvlm_cli.stages.evaluation.evaluate import Evaluated, rescore
from radvlm_cli.stages.evaluation.metric_choice import MetricChoice
from radvlm_cli.stages.evaluation.reading import labelled_boxes, reader
from radvlm_cli.stages.evaluation.scoring import main_rows, score
from radvlm_cli.stages.reports.numbers import clusters_of
from radvlm_cli.store.engine import open_store
from radvlm_cli.store.judgements import JUDGEMENT_SQL
from radvlm_cli.store.runs import open_run
from radvlm_cli.store.scores import Answered
from radvlm_cli.store.snapshot import open_snapshot
from tests.metrics.tiny_bert import save_distilbert
from tests.stages.evaluation.evaluating import Bench, build_dataset, make_bench, rows, run_eval, script

ANSWERS = {
    "reports-i0": ["Report number 0."],
    "reports-i1": ["I'm sorry, but I cannot interpret medical images."],
    "reports-i2": [" "],
    "reports-i3": ["Report number 3. " + "word " * 600],
    "findings-i0": ["Edema. No fracture."],
    "findings-i1": ["No edema is seen."],
    "findings-i2": ["Lovely weather."],
    "findings-i3": ["There may be edema."],
    "phrases-i0-0": ["At [0.50, 0.50, 0.75, 0.75]."],
    "phrases-i1-0": ["There is none."],
    "phrases-i2-0": ["At [0.50, 0.50, 0.20]."],
    "phrases-i3-0": ["At [0.00, 0.00, 0.10, 0.10] and [0.50, 0.50, 0.75, 0.75]."],
    "boxes-i0": ["The abnormalities are: nodule/mass at [0.10, 0.20, 0.30, 0.40]."],
    "boxes-i1": ["The abnormalities are: cardiomegaly at [0.10, 0.20, 0.30, 0.40]."],
}
RIGHT = {
    "findings-i4": ["Edema."],
    "phrases-i4-0": ["[0.50, 0.50, 0.75, 0.75]"],
}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A store in which the scripted model was evaluated."""
    made = make_bench(tmp_path_factory.mktemp("scored"))
    run_eval(made, model=script(made, answers=ANSWERS | RIGHT, fail=["reports-i4"]))
    return made


def statuses(bench: Bench, test_set: str) -> list[str]:
    """How the answers were read, by position."""
    sql = f"SELECT parsed_status FROM prediction_view WHERE test_set = '{test_set}' ORDER BY position"
    return [status for (status,) in rows(bench, sql)]


def scores(bench: Bench, test_set: str, part: str = "") -> dict[str, Any]:
    """Metric -> value."""
    sql = f"SELECT metric, value FROM evaluation_result WHERE test_set = '{test_set}' AND part = '{part}'"
    return dict(rows(bench, sql))


def again(bench: Bench, number: int) -> list[dict[str, Any]]:
    """Score an evaluation anew."""
    with open_store(bench.path) as store, open_run(store, "rescore", {}) as run:
        return score(run, number)


def number_of(bench: Bench, test_set: str) -> int:
    """Its evaluation."""
    found = rows(
        bench,
        f"SELECT evaluation.id FROM evaluation JOIN test_set ON test_set.id = test_set_id WHERE name = '{test_set}'",
    )
    return int(found[0][0])


def test_each_way_to_fail_is_told_apart(bench: Bench) -> None:
    assert statuses(bench, "reports") == ["ok", "refused", "empty", "truncated", "error"]
    assert statuses(bench, "findings") == ["ok", "ok", "unparsable", "ok", "ok"]
    assert statuses(bench, "phrases") == ["ok", "ok", "unparsable", "ok", "ok"]


def test_failed_answers_count_as_wrong_and_the_others_stand_beside(bench: Bench) -> None:
    found, parsed = scores(bench, "findings"), scores(bench, "findings", "parsed-only")
    # Right: 0, 3 (uncertain counts as present) and 4; missed: 1, and 2 because nothing could be read from it.
    assert found["micro_recall"] == pytest.approx(3 / 5)
    assert parsed["micro_recall"] == pytest.approx(3 / 4)
    assert scores(bench, "findings", "Edema")["recall"] == pytest.approx(3 / 5)
    # Nobody has a fracture; what could not be read does not say so.
    assert scores(bench, "findings", "Fracture")["specificity"] == pytest.approx(4 / 5)
    assert rows(
        bench, "SELECT DISTINCT n, coverage FROM evaluation_result WHERE test_set = 'findings' AND part = ''"
    ) == [(5, 0.8)]


def test_boxes_are_matched_whatever_their_order_and_published_scores_by_theirs(bench: Bench) -> None:
    found = scores(bench, "phrases")
    assert found["recall_50"] == pytest.approx(3 / 5)
    assert found["precision_50"] == pytest.approx(3 / 4)
    assert found["radvlm_map50"] == pytest.approx((1 + 0 + 0 + 0.5 + 1) / 5)
    assert found["miou"] == pytest.approx((1 + 0 + 0 + 0.0625 / 0.0725 + 1) / 5)


def test_a_box_of_detection_needs_its_label(bench: Bench) -> None:
    found = scores(bench, "boxes")
    assert found["detection_recall_50"] == pytest.approx(1 / 5)
    assert found["any_label_f1_50"] > found["detection_f1_50"]


def test_a_metric_whose_weights_are_not_here_has_no_value_but_says_what_it_needs(bench: Bench) -> None:
    (value, remark) = rows(
        bench, "SELECT value, remark FROM evaluation_result WHERE metric = 'chexbert_micro_f1_14' AND part = ''"
    )[0]
    assert value is None
    assert "StanfordAIMI/RRG_scorers" in remark
    assert "hf download" in remark
    assert scores(bench, "reports")["rouge_l"] > 0


def test_scoring_again_changes_nothing(bench: Bench) -> None:
    before = (
        rows(bench, "SELECT * FROM score"),
        rows(bench, "SELECT * FROM sample_score"),
        rows(bench, "SELECT * FROM parsed"),
    )
    for name in ("reports", "findings", "phrases", "boxes", "talks"):
        again(bench, number_of(bench, name))
    assert before == (
        rows(bench, "SELECT * FROM score"),
        rows(bench, "SELECT * FROM sample_score"),
        rows(bench, "SELECT * FROM parsed"),
    )


TWO = {"Edema": 1, "Nodule": 3}
FIRST, SECOND = "[100, 0, 200, 200]", "[300, 0, 400, 200]"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"Edema at {FIRST}. Also nodule {SECOND}.", TWO),
        (f'[{{"bbox_2d": {FIRST}, "label": "edema"}}, {{"bbox_2d": {SECOND}, "label": "Nodule"}}]', TWO),
        (f'{{"label": "Edema", "bbox_2d": {FIRST}}}, {{"label": "x", "bbox_2d": {SECOND}}}', {"Edema": 1, "": 3}),
        (f'{{"edema": [{FIRST}], "nodule": [{SECOND}]}}', TWO),
        (f'Edema: {{"bbox_2d": {FIRST}}}', {"Edema": 1}),
        (f'[{{"bbox_2d": {FIRST}, "label": "edema"}}, {{"bbox_2d": {SECOND}, "la', {"Edema": 1, "": 3}),
    ],
)
def test_a_box_has_the_label_before_it_or_that_of_its_object(text: str, expected: dict[str, int]) -> None:
    found, malformed = labelled_boxes(text, ["Edema", "Nodule"], codec("qwen3"), (10, 10), None)
    assert {label: round(10 * box.x_min) for label, (box,) in found.items()} == expected
    assert malformed == 0


def test_a_model_cut_off_while_it_thinks_has_given_no_answer() -> None:
    thinker = replace(card("scripted"), extractor="think")
    thought = "<think>Is it edema? Perhaps at [0.10, 0.10, 0.20, 0.20]."
    for task in ("report", "classification", "phrase", "detection"):
        read = reader(thinker, task, ["Edema"]).read
        sample = Answered(0, "s", "patient 1", (10, 10), {}, "truncated", thought, None)
        assert read(sample)[:2] == ("truncated", None)
        assert reader(thinker, task, ["Edema"], unfinished=True).read(sample)[:2] == ("truncated", None)
        assert read(sample._replace(status="ok", text="Edema at [0.10, 0.10, 0.20, 0.20]."))[0] == "ok"


@pytest.mark.parametrize(
    ("task", "text"),
    [
        ("report", "The heart is large. There is"),
        ("classification", "Edema, Consolidation,"),
        ("phrase", "At [0.10, 0.10, 0.20, 0.20] and [0.30,"),
        ("detection", "Edema at [0.10, 0.10, 0.20, 0.20], Consolidation at"),
    ],
)
def test_an_answer_that_was_cut_off_is_wrong_unless_scored_as_published(task: Any, text: str) -> None:
    cut_off = Answered(0, "s", "patient 1", (10, 10), {}, "truncated", text, None)
    assert reader(card("scripted"), task, ["Edema", "Consolidation"]).read(cut_off)[:2] == ("truncated", None)
    as_published = reader(card("scripted"), task, ["Edema", "Consolidation"], unfinished=True)
    whole = as_published.read(cut_off._replace(status="ok"))
    assert as_published.read(cut_off) == whole
    assert whole.status in ("ok", "unparsable")


def test_the_published_protocol_scores_what_there_is_of_it(tmp_path: Path) -> None:
    bench = make_bench(tmp_path)
    model = script(bench, answers={f"reports-i{number}": [f"Report number {number}."] for number in range(5)})
    for protocol in ("default", "paper"):
        run_eval(bench, model=model, task=["report"], max_new_tokens=2, protocol=protocol)
    read = rows(bench, "SELECT evaluation_id, parsed_status, count(*) FROM prediction_view GROUP BY 1, 2")
    assert read == [(1, "truncated", 5), (2, "ok", 5)]
    found = dict(rows(bench, "SELECT evaluation_id, value FROM score WHERE metric = 'rouge_1' AND part = ''"))
    assert found[1] == 0 < found[2]


def test_a_conversation_is_judged_as_far_as_it_goes() -> None:
    cut_off = Answered(0, "s", "patient 1", (10, 10), {}, "truncated", '["The heart is", "No."]', None)
    assert reader(card("scripted"), "conversation", ()).read(cut_off).prediction == ["The heart is", "No."]


def test_numbers_per_sample_sum_to_the_metric(bench: Bench) -> None:
    evaluation = number_of(bench, "phrases")
    kept = rows(
        bench, f"SELECT numbers FROM sample_score WHERE evaluation_id = {evaluation} AND family = 'radvlm_map50'"
    )
    sums = [sum(column) for column in zip(*(json.loads(numbers) for (numbers,) in kept), strict=True)]
    assert sums[0] / sums[1] == pytest.approx(scores(bench, "phrases")["radvlm_map50"])


def test_conversations_have_no_score_until_they_are_judged(bench: Bench) -> None:
    evaluation = number_of(bench, "talks")
    before = {row["metric"]: row for row in again(bench, evaluation)}
    assert before["judge_overall"]["value"] is None
    ((began,),) = rows(bench, f"SELECT run_id FROM evaluation WHERE id = {evaluation}")
    assert f"radvlm eval --judge {began} " in before["judge_overall"]["remark"]
    reply = json.dumps(
        {
            "rounds": [{"round": n, "reason": "r", "score": 6} for n in (1, 2)],
            "reason": "r",
            "overall": 7,
        }
    )
    with open_store(bench.path) as store, store.write() as connection:
        for position in range(4):
            status, text = ("ok", reply) if position < 3 else ("unparsable", "?")
            row = (evaluation, "judge-conversation/m/1", position, status, text, None, "[7]")
            connection.exec_driver_sql(JUDGEMENT_SQL, row)
    after = {row["metric"]: row["value"] for row in again(bench, evaluation)}
    assert after["judge_overall"] == pytest.approx(3 * 7 / 5)
    assert after["judge_overall_judged"] == pytest.approx(7)
    assert after["judge_coverage"] == pytest.approx(3 / 5)


def test_where_no_patient_is_named_questions_about_one_image_are_drawn_together(tmp_path: Path) -> None:
    made = make_bench(tmp_path)
    with open_store(made.path) as store, store.write() as connection:
        connection.exec_driver_sql("UPDATE image SET patient_id = NULL, study_id = NULL WHERE source = 'vindr'")
        connection.exec_driver_sql(
            "INSERT INTO grounding (source, image_id, ordinal, kind, split, label, boxes, run_id) SELECT source, "
            "image_id, 1, kind, split, 'Edema', boxes, run_id FROM grounding WHERE source = 'vindr'"
        )
    recipe = "name: test\ncomponents:\n  - {name: b, task: abnormality-grounding, source: vindr, split: test}\n"
    with open_store(made.path) as store:
        build_dataset(made, store, "images", recipe)
    run_eval(made, dataset=str(made.folder / "datasets" / "images"))
    assert rows(made, "SELECT samples, patients FROM test_set") == [(10, 5)]
    assert rows(made, "SELECT DISTINCT n, clusters FROM score") == [(10, 5)]
    with open_snapshot(made.path) as snapshot:
        of, _ids = clusters_of(snapshot, 1)
    assert of.sizes().tolist() == [2] * 5


def test_the_table_for_people_has_value_interval_and_what_was_parsed(bench: Bench) -> None:
    (line,) = [row for row in main_rows(again(bench, number_of(bench, "phrases"))) if row["metric"] == "F1@0.5"]
    assert line["value [95% interval]"].startswith("0.667 [")
    assert line["parsed only"].endswith("n = 4")
    assert line["patients"] == 3


def test_a_run_is_scored_anew_without_asking(bench: Bench) -> None:
    (run_id,) = {run for (run,) in rows(bench, "SELECT run_id FROM answering")}
    with open_store(bench.path) as store, open_run(store, "rescore", {}) as run:
        done: Evaluated = rescore(run, run_id)
    assert len(done.lines) == 5
    assert Path(done.folder).is_dir()


def test_what_cannot_be_computed_this_time_stays_as_it_was_until_the_answers_are_others(
    bench: Bench, tmp_path: Path
) -> None:
    evaluation = number_of(bench, "reports")

    def similarity(choice: MetricChoice) -> tuple[Any, ...]:
        with open_store(bench.path) as store, open_run(store, "rescore", {}) as run:
            found = score(run, evaluation, choice)
        return next((row["value"], row["version"]) for row in found if row["metric"] == "bertscore" and not row["part"])

    folder = save_distilbert(tmp_path / "bert", layers=5)
    with_weights = similarity(MetricChoice(bertscore_distilbert=folder))
    assert with_weights[0] is not None
    assert similarity(MetricChoice()) == with_weights
    other = save_distilbert(tmp_path / "other", layers=6)
    assert similarity(MetricChoice(bertscore_distilbert=other))[0] != with_weights[0]
    with open_store(bench.path) as store, store.write() as connection:
        connection.exec_driver_sql(
            "UPDATE prediction SET text = 'Another report.' WHERE evaluation_id = ? AND position = 0", (evaluation,)
        )
    assert similarity(MetricChoice())[0] is None


def test_no_score_or_judgement_outlives_the_answers_that_it_is_of(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(Path(shutil.copytree(bench.folder, tmp_path / "bench")))
    evaluation = number_of(bench, "reports")
    again(bench, evaluation)
    with open_store(bench.path) as store, store.write() as connection:
        for position in (1, 3):
            row = (evaluation, "green/g/1", position, "ok", "old", None, "[]")
            connection.exec_driver_sql(JUDGEMENT_SQL, row)
        connection.exec_driver_sql(
            "UPDATE prediction SET text = 'Said later.' WHERE evaluation_id = ? AND position = 1", (evaluation,)
        )

    def killed(*_given: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("radvlm_cli.stages.evaluation.scoring._score_family", killed)
    with pytest.raises(KeyboardInterrupt):
        again(bench, evaluation)
    assert rows(bench, f"SELECT count(*) FROM sample_score WHERE evaluation_id = {evaluation}") == [(0,)]
    assert rows(bench, "SELECT position FROM judgement WHERE judge = 'green/g/1'") == [(3,)]


def test_graphs_of_reports_come_from_a_file_and_are_kept(bench: Bench, tmp_path: Path) -> None:
    evaluation = number_of(bench, "reports")
    texts = {
        text
        for pair in rows(bench, "SELECT text, reference FROM prediction_view WHERE test_set = 'reports'")
        for text in (pair[0], json.loads(pair[1])["text"])
    }
    entity = {"tokens": "report", "label": "OBS-DP", "relations": []}
    graphs = {text_key(text.strip()): {"entities": {"1": entity}} for text in texts}
    file = tmp_path / "graphs.json"
    file.write_text(json.dumps(graphs))
    for choice in (MetricChoice(radgraph_annotations=file), MetricChoice()):
        with open_store(bench.path) as store, open_run(store, "rescore", {}) as run:
            found = {row["metric"]: row["value"] for row in score(run, evaluation, choice) if not row["part"]}
        # One entity each, the same; answers that are refused, empty, cut off or failed have none.
        assert found["radgraph_simple"] == pytest.approx(1 / 5)


def test_replies_to_crimsons_prompt_come_from_a_file(bench: Bench, tmp_path: Path) -> None:
    evaluation = number_of(bench, "reports")
    finding = {"finding": "x", "clinical_significance": "urgent"}
    document = {
        "reference_findings": [{"id": "R0", **finding}],
        "predicted_findings": [{"id": "P0", **finding}],
        "matched_findings": [{"ref_id": "R0", "pred_id": "P0"}],
        "errors": {"false_findings": [], "missing_findings": [], "attribute_errors": []},
    }
    file = tmp_path / "replies.json"
    file.write_text(json.dumps({"reports-i0": json.dumps(document), "reports-i3": "?", "elsewhere": "?"}))
    with open_store(bench.path) as store, open_run(store, "rescore", {}) as run:
        rows_ = score(run, evaluation, MetricChoice(crimson_replies=file))
        file.write_text('{"elsewhere": "?"}')
        with pytest.raises(DataError, match="none of the samples"):
            score(run, evaluation, MetricChoice(crimson_replies=file))
    found = {row["metric"]: row["value"] for row in rows_ if not row["part"]}
    # Of five reports four count as wrong; the one of them that a judge was asked about was cut off.
    assert found["crimson"] == pytest.approx(1 / 5)
    assert found["crimson_coverage"] == pytest.approx(1)
