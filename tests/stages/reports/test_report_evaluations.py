"""`radvlm report eval` and `failures`: the stored scores, nothing added, nothing left out."""

from __future__ import annotations

import pytest

from radvlm_cli.errors import ConfigError
from radvlm_cli.metrics.boxes import BoxMatching
from radvlm_cli.metrics.statistics import bootstrap, clusters
from radvlm_cli.reporting.formats import record
from radvlm_cli.reporting.tables import View
from radvlm_cli.stages.reports.evaluations import Shown, evaluations_view
from radvlm_cli.stages.reports.failures import causes, failures_view, worst_samples
from radvlm_cli.stages.reports.selection import Wanted, all_evaluations
from radvlm_cli.stages.reports.subgroups import subgroups_view
from radvlm_cli.store.engine import Store
from radvlm_cli.store.runs import Run
from radvlm_cli.store.snapshot import open_snapshot
from tests.stages.evaluation.evaluated import BOX, FAR, Sample, add_evaluation, add_test_set, phrases

ALL, MATRIX = Wanted(), Shown()


def _eval(store: Store, wanted: Wanted = ALL, shown: Shown = MATRIX) -> View:
    with open_snapshot(store.path) as snapshot:
        return evaluations_view(snapshot, wanted, shown)


def test_a_model_stands_with_its_stored_scores_n_and_failures(store: Store, run: Run) -> None:
    test_set = add_test_set(store, run, "phrases", "phrase", phrases(20), expected=189)
    statuses = {0: "unparsable", 1: "refused", 2: "truncated", 3: "error"}
    evaluation = add_evaluation(store, run, test_set, "chexagent", [[BOX]] * 15 + [[FAR]] * 5, statuses=statuses)
    view = _eval(store)
    table = view.tables[0]
    (row,) = (record(table, each) for each in table.rows)
    stored = next(
        store.rows("SELECT value, low, high FROM score WHERE metric = 'f1_50' AND evaluation_id = ?", (evaluation,))
    )
    assert tuple(row["f1_50"][name] for name in ("value", "low", "high")) == stored
    assert (row["f1_50"]["n"], row["f1_50"]["patients"]) == (20, 10)
    assert (row["n"], row["answered"], row["failures"], row["coverage"]) == (20, 20, 4, 0.8)
    assert table.title == "phrases (phrase): 20 of 189 published samples, 10 patients"


def test_what_was_not_asked_is_no_answer(store: Store, run: Run) -> None:
    test_set = add_test_set(store, run, "phrases", "phrase", phrases(10))
    add_evaluation(store, run, test_set, "maira2", [[BOX]] * 6, scored=False)
    row = _eval(store).tables[0].rows[0]
    assert (row.answered, row.outcomes) == (6, {"ok": 6, "unasked": 4})


def test_only_the_newest_evaluation_of_a_model_is_shown_unless_every_one_is_asked_for(store: Store, run: Run) -> None:
    test_set = add_test_set(store, run, "phrases", "phrase", phrases(10))
    first = add_evaluation(store, run, test_set, "maira2", [[FAR]] * 10)
    second = add_evaluation(store, run, test_set, "maira2", [[BOX]] * 10)
    view = _eval(store)
    assert [row.evaluation for row in view.tables[0].rows] == [second]
    assert any("1 older evaluations" in note for note in view.notes)
    assert [row.evaluation for row in _eval(store, Wanted(every=True)).tables[0].rows] == [first, second]
    assert [row.evaluation for row in _eval(store, Wanted(models=(str(first),))).tables[0].rows] == [first]


def test_an_evaluation_that_is_only_begun_hides_no_complete_one(store: Store, run: Run) -> None:
    test_set = add_test_set(store, run, "phrases", "phrase", phrases(10))
    first = add_evaluation(store, run, test_set, "maira2", [[FAR]] * 10)
    second = add_evaluation(store, run, test_set, "maira2", [[BOX]] * 3, scored=False)
    with store.write() as connection:
        connection.exec_driver_sql("UPDATE evaluation SET status = 'building' WHERE id = ?", (second,))
    assert [row.evaluation for row in _eval(store).tables[0].rows] == [first]


def test_a_name_that_is_not_there_is_answered_with_those_that_are(store: Store, run: Run) -> None:
    with pytest.raises(ConfigError, match="Nothing has been evaluated"):
        _eval(store)
    test_set = add_test_set(store, run, "phrases", "phrase", phrases(4))
    add_evaluation(store, run, test_set, "maira2", [[BOX]] * 4)
    with pytest.raises(ConfigError, match="No evaluation has the model 'maira'; there are: maira2"):
        _eval(store, Wanted(models=("maira",)))


def test_grounding_is_the_name_of_three_tasks(store: Store, run: Run) -> None:
    evaluated = add_evaluation(store, run, add_test_set(store, run, "phrases", "phrase", phrases(4)), "m", [[BOX]] * 4)
    add_evaluation(
        store, run, add_test_set(store, run, "texts", "report", [Sample("p")]), "m", ["Clear."], scored=False
    )
    assert [row.evaluation for row in _eval(store, Wanted(tasks=("grounding",))).tables[0].rows] == [evaluated]
    with pytest.raises(ConfigError, match="No evaluation has the task 'detection'; there are: phrase, report"):
        _eval(store, Wanted(tasks=("detection",)))


def test_findings_stand_with_their_prevalence_and_one_that_is_in_no_sample_has_no_score(store: Store, run: Run) -> None:
    samples = [Sample(f"p{n}", reference=["Edema"] if n < 3 else []) for n in range(12)]
    test_set = add_test_set(store, run, "findings", "classification", samples)
    add_evaluation(store, run, test_set, "chexagent", [{"Edema": 1}] * 6 + [{}] * 6)
    view = _eval(store, shown=Shown(labels=True))
    table = next(each for each in view.tables if each.name == "findings-labels")
    rows = {row["finding"]: row for row in (record(table, each) for each in table.rows)}
    assert (rows["Edema"]["support"], rows["Edema"]["prevalence"], rows["Edema"]["samples"]) == (3, 0.25, 12)
    assert rows["Edema"]["precision"]["value"] == pytest.approx(0.5)
    assert rows["Edema"]["recall"]["value"] == pytest.approx(1.0)
    assert (rows["Fracture"]["support"], rows["Fracture"]["f1"]["value"]) == (0, None)


def test_published_figures_stand_beside_ours_and_say_what_differs(store: Store, run: Run) -> None:
    for name, count in (("mscxr-phrase-test", 189), ("padchest-gr-phrase-test", 20)):
        test_set = add_test_set(store, run, name, "phrase", phrases(count), expected=count)
        add_evaluation(store, run, test_set, "maira2", [[BOX]] * count)
    view = _eval(store)
    tables = {table.name: table for table in view.tables}
    whole = [record(tables["mscxr-phrase-test-published"], row) for row in tables["mscxr-phrase-test-published"].rows]
    published = next(row for row in whole if row["model"] == "MAIRA-2")
    assert (published["comparable"], published["radvlm_map50"]["value"], published["differs"]) == (True, 0.801, None)
    ours = whole[whole.index(published) + 1]
    assert (ours["model"].split()[0], ours["by"], ours["radvlm_map50"]["value"]) == ("maira2", "us", 1.0)
    other = [
        record(tables["padchest-gr-phrase-test-published"], row)
        for row in tables["padchest-gr-phrase-test-published"].rows
    ]
    assert {row["comparable"] for row in other if row["by"] == "publication"} == {False}
    assert {row["differs"] for row in other if row["by"] == "publication"} == {"number of samples is not published"}


def test_a_part_of_the_published_samples_is_not_comparable(store: Store, run: Run) -> None:
    test_set = add_test_set(store, run, "mscxr-phrase-test", "phrase", phrases(20), expected=189)
    add_evaluation(store, run, test_set, "maira2", [[BOX]] * 20)
    table = next(each for each in _eval(store).tables if each.name.endswith("-published"))
    assert record(table, table.rows[0])["differs"] == "20 samples here, 189 published"


# Subgroups


def test_a_subgroup_has_its_own_value_and_differs_from_the_others_by_the_same_draws(store: Store, run: Run) -> None:
    samples = phrases(120)
    test_set = add_test_set(store, run, "phrases", "phrase", samples)
    answers = [[BOX] if each.sex == "F" or n % 4 == 0 else [FAR] for n, each in enumerate(samples)]
    add_evaluation(store, run, test_set, "maira2", answers)
    with open_snapshot(store.path) as snapshot:
        view = subgroups_view(snapshot, Wanted(), "sex")
    rows = {(row.group, row.metric.name): row for row in view.tables[0].rows}
    women, men = rows["F", "f1_50"], rows["M", "f1_50"]
    assert (women.samples, women.patients, women.value.value) == (60, 30, 1.0)
    hits = sum(answer == [BOX] for each, answer in zip(samples, answers, strict=True) if each.sex == "M")
    assert men.value.value == pytest.approx(hits / 60)
    assert men.difference.value == pytest.approx(hits / 60 - 1)
    assert men.difference.high is not None
    assert men.difference.high < 0
    # The group by itself, drawn by itself, has nearly the same interval.
    family = BoxMatching()
    of_men = [(each.patient or "", answer) for each, answer in zip(samples, answers, strict=True) if each.sex == "M"]
    table = family.per_sample([answer for _patient, answer in of_men], [[BOX]] * 60)
    alone = bootstrap(table, clusters([patient for patient, _answer in of_men]), family.values)["f1_50"]
    assert men.value.low == pytest.approx(alone.low, abs=0.04)
    assert men.value.high == pytest.approx(alone.high, abs=0.04)


def test_small_groups_are_not_shown_and_said_so(store: Store, run: Run) -> None:
    samples = [each._replace(view="AP" if n < 19 else "PA") for n, each in enumerate(phrases(60))]
    test_set = add_test_set(store, run, "phrases", "phrase", samples)
    add_evaluation(store, run, test_set, "maira2", [[BOX]] * 60)
    with open_snapshot(store.path) as snapshot:
        (table,) = subgroups_view(snapshot, Wanted(), "view").tables
    assert {row.group for row in table.rows} == {"PA"}
    assert "too small to be shown: view AP" in table.notes


def test_a_group_with_few_positives_is_not_shown_either(store: Store, run: Run) -> None:
    samples = [Sample(f"p{n}", sex="FM"[n % 2], reference=["Edema"] if n % 2 or n < 38 else []) for n in range(100)]
    test_set = add_test_set(store, run, "findings", "classification", samples)
    add_evaluation(store, run, test_set, "chexagent", [{"Edema": 1}] * 100)
    with open_snapshot(store.path) as snapshot:
        (table,) = subgroups_view(snapshot, Wanted(), "sex").tables
    assert {(row.group, row.positives) for row in table.rows} == {("M", 50)}
    assert "too small to be shown: sex F" in table.notes


def test_who_is_of_no_known_group_is_counted(store: Store, run: Run) -> None:
    samples = [each._replace(age=None if n < 5 else each.age) for n, each in enumerate(phrases(100))]
    test_set = add_test_set(store, run, "phrases", "phrase", samples)
    add_evaluation(store, run, test_set, "maira2", [[BOX]] * 100)
    with open_snapshot(store.path) as snapshot:
        (table,) = subgroups_view(snapshot, Wanted(), "age").tables
    assert {row.group for row in table.rows} == {"40 to 59", "60 to 79"}
    assert "too small to be shown: age 18 to 39" in table.notes
    assert any(note.startswith("age is not known of 5 samples") for note in table.notes)


# Failures


def test_failures_are_counted_by_cause_and_the_worst_shown_with_their_raw_text(store: Store, run: Run) -> None:
    test_set = add_test_set(store, run, "phrases", "phrase", phrases(12))
    answers = [[FAR] if n in (4, 7) else [BOX] for n in range(12)]
    statuses = {0: "unparsable", 1: "refused", 2: "error", 11: "truncated"}
    texts = {0: "[0.1.2, <b>", 4: "There: [0.7, 0.7, 0.9, 0.9]"}
    add_evaluation(store, run, test_set, "maira2", answers, statuses=statuses, texts=texts)
    with open_snapshot(store.path) as snapshot:
        (one,) = all_evaluations(snapshot)
        counted = {(cause.status, cause.reason, cause.answers) for cause in causes(snapshot, one)}
        worst, metric = worst_samples(snapshot, one, 3)
        view = failures_view(snapshot, Wanted(), worst=5)
    assert counted == {
        *((status, None, 1) for status in ("unparsable", "refused", "truncated")),
        ("error", "out of memory", 1),
    }
    assert metric == "mIoU"
    assert [(row.position, row.score) for row in worst] == [(4, 0.0), (7, 0.0), (3, 1.0)]
    assert worst[0].text == texts[4]
    unread = view.tables[1].rows
    assert {row.position: row.status for row in unread} == statuses
    assert next(row.text for row in unread if row.position == 0) == "[0.1.2, <b>"
