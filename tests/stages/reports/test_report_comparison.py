"""`radvlm report compare`: paired, by patient, and no winner where the data tell of none."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from radvlm_cli.errors import ConfigError
from radvlm_cli.metrics.boxes import BoxMatching, RadvlmMap50
from radvlm_cli.metrics.significance import holm, permutation_test
from radvlm_cli.metrics.statistics import bootstrap_difference, clusters
from radvlm_cli.reporting.comparison import Compared
from radvlm_cli.reporting.formats import record, write_view
from radvlm_cli.reporting.tables import View
from radvlm_cli.stages.reports.comparison import Joined, comparison_view, intervals, right_or_wrong, won
from radvlm_cli.stages.reports.selection import Wanted
from radvlm_cli.store.engine import Store
from radvlm_cli.store.runs import Run
from radvlm_cli.store.snapshot import open_snapshot
from tests.stages.evaluation.evaluated import BOX, FAR, add_evaluation, add_test_set, phrases

ALL = Wanted()


def _compare(store: Store, first: str, second: str, wanted: Wanted = ALL) -> View:
    with open_snapshot(store.path) as snapshot:
        return comparison_view(snapshot, first, second, wanted)


def _rows(view: View) -> dict[str, Compared]:
    return {row.metric.name: row for row in view.tables[0].rows}


def _answers(samples: int, hits: int, seed: int) -> list[list[tuple[float, ...]]]:
    right = set(np.random.default_rng(seed).permutation(samples)[:hits].tolist())
    return [[BOX] if place in right else [FAR] for place in range(samples)]


def test_the_figures_are_those_of_the_statistics_on_the_same_rows(store: Store, run: Run) -> None:
    samples = phrases(60)
    test_set = add_test_set(store, run, "phrases", "phrase", samples)
    answers = _answers(60, 40, 1), _answers(60, 25, 2)
    for model, each in zip(("maira2", "chexagent"), answers, strict=True):
        add_evaluation(store, run, test_set, model, each)
    rows = _rows(_compare(store, "maira2", "chexagent"))
    of, family = clusters([each.patient or "" for each in samples]), BoxMatching()
    first, second = (family.per_sample(each, [[BOX]] * 60) for each in answers)
    expected = bootstrap_difference(first, second, of, family.values)["f1_50"]
    row = rows["f1_50"]
    assert tuple(row.difference[:3]) == pytest.approx(expected[:3])
    assert (row.n, row.patients) == (60, 30)
    tests = permutation_test(first, second, of, family.values)
    assert row.p == pytest.approx(tests["f1_50"].p, abs=0.01)
    adjusted = holm({name: each.p or 0.0 for name, each in rows.items()})
    assert {name: each.p_adjusted for name, each in rows.items()} == pytest.approx(adjusted)
    assert (row.wins, row.ties, row.losses) == (
        sum(a == [BOX] and b == [FAR] for a, b in zip(*answers, strict=True)),
        sum(a == b for a, b in zip(*answers, strict=True)),
        sum(a == [FAR] and b == [BOX] for a, b in zip(*answers, strict=True)),
    )


def test_a_clear_winner_is_marked_and_two_alike_are_not(store: Store, run: Run) -> None:
    test_set = add_test_set(store, run, "phrases", "phrase", phrases(120))
    for model, hits in (("maira2", 110), ("chexagent", 40), ("llavaov", 42)):
        add_evaluation(store, run, test_set, model, _answers(120, hits, hits))
    clear, alike = _compare(store, "maira2", "chexagent"), _compare(store, "llavaov", "chexagent")
    assert _rows(clear)["f1_50"].winner == "first"
    assert _rows(_compare(store, "chexagent", "maira2"))["f1_50"].winner == "second"
    assert all(row.winner is None for row in _rows(alike).values())
    assert "**" in write_view(clear, "md")
    assert "**" not in write_view(alike, "md")
    assert {record(alike.tables[0], row)["better"] for row in alike.tables[0].rows} == {None}


def test_an_interval_without_0_is_not_enough_where_many_questions_were_asked(store: Store, run: Run) -> None:
    test_set = add_test_set(store, run, "phrases", "phrase", phrases(120))
    add_evaluation(store, run, test_set, "maira2", _answers(120, 110, 1))
    add_evaluation(store, run, test_set, "chexagent", _answers(120, 40, 2))
    row = _rows(_compare(store, "maira2", "chexagent"))["f1_50"]
    assert row._replace(p_adjusted=0.06).winner is None
    assert row._replace(difference=row.difference._replace(low=-0.001)).winner is None


def test_low_is_better_where_the_metric_says_so(store: Store, run: Run) -> None:
    test_set = add_test_set(store, run, "phrases", "phrase", phrases(120))
    add_evaluation(store, run, test_set, "maira2", [[BOX]] * 120)
    add_evaluation(store, run, test_set, "chexagent", [[]] * 80 + [[BOX]] * 40)
    with open_snapshot(store.path) as snapshot:
        view = comparison_view(snapshot, "maira2", "chexagent", ALL, every_metric=True)
    row = _rows(view)["no_box_rate"]
    assert (row.first.value, row.winner, row.wins, row.losses) == (0.0, "first", 80, 0)


def test_only_samples_that_both_have_are_compared(store: Store, run: Run) -> None:
    whole = phrases(40)
    large = add_test_set(store, run, "phrases", "phrase", whole, key="large")
    changed = [whole[0]._replace(reference=[FAR]), *whole[1:10]]
    small = add_test_set(store, run, "phrases", "phrase", changed, key="small")
    add_evaluation(store, run, large, "maira2", [[BOX]] * 40)
    add_evaluation(store, run, small, "chexagent", [[FAR]] * 10)
    view = _compare(store, "maira2", "chexagent")
    row = _rows(view)["f1_50"]
    assert (row.n, row.first.value, row.second.value) == (9, 1.0, 0.0)
    assert "9 samples in common, of 40 and 10" in view.tables[0].notes[0]


def test_models_without_a_common_sample_are_refused(store: Store, run: Run) -> None:
    for name, model in (("phrases", "maira2"), ("others", "chexagent")):
        add_evaluation(store, run, add_test_set(store, run, name, "phrase", phrases(4)), model, [[BOX]] * 4)
    with pytest.raises(ConfigError, match="were not asked the same samples"):
        _compare(store, "maira2", "chexagent")


def test_two_evaluations_of_one_model_are_compared_by_number_and_conditions_named(store: Store, run: Run) -> None:
    test_set = add_test_set(store, run, "phrases", "phrase", phrases(10))
    ids = [
        add_evaluation(store, run, test_set, "maira2", [[BOX]] * 10, identity={"model": "maira2", "dtype": dtype})
        for dtype in ("float32", "bfloat16")
    ]
    view = _compare(store, str(ids[0]), str(ids[1]))
    assert "asked under other conditions: dtype" in view.tables[0].notes
    row = _rows(view)["f1_50"]
    assert (row.difference.value, row.detectable) == (0.0, None)


def test_numbers_of_another_version_are_not_compared(store: Store, run: Run) -> None:
    test_set = add_test_set(store, run, "phrases", "phrase", phrases(10))
    for model in ("maira2", "chexagent"):
        add_evaluation(store, run, test_set, model, [[BOX]] * 10)
    with store.write() as connection:
        connection.exec_driver_sql("UPDATE score SET version = 99 WHERE family = 'boxes' AND evaluation_id = 1")
    view = _compare(store, "maira2", "chexagent")
    assert set(_rows(view)) == {"radvlm_map50"}
    assert any("boxes was scored by another version: radvlm eval --rescore" in note for note in view.tables[0].notes)


def test_samples_in_which_a_metric_means_nothing_are_ties() -> None:
    nan = float("nan")
    assert won(np.array([1.0, nan, 0.2, nan]), np.array([0.0, nan, 0.4, 1.0]), "higher") == (1, 2, 1)
    assert won(np.array([1.0, 0.0]), np.array([0.0, 1.0]), "lower") == (1, 0, 1)


def test_mcnemar_is_the_binomial_test_where_a_patient_has_one_sample(store: Store, run: Run) -> None:
    test_set = add_test_set(store, run, "phrases", "phrase", phrases(60, per_patient=1))
    answers = _answers(60, 45, 1), _answers(60, 25, 2)
    for model, each in zip(("maira2", "chexagent"), answers, strict=True):
        add_evaluation(store, run, test_set, model, each)
    row = _rows(_compare(store, "maira2", "chexagent"))["accuracy_50"]
    alone = [sum(a == [BOX] and b == [FAR] for a, b in zip(*each, strict=True)) for each in (answers, answers[::-1])]
    assert row.mcnemar is not None
    assert (row.mcnemar.only_first, row.mcnemar.only_second) == (row.wins, row.losses) == tuple(alone)
    assert row.mcnemar.p == pytest.approx(binomtest(alone[0], sum(alone)).pvalue)
    assert row.p == pytest.approx(row.mcnemar.p, abs=0.005)  # exchanging patients is the same test here, by chance


def test_mcnemar_calls_right_what_is_good_of_a_metric_that_is_to_be_low(store: Store, run: Run) -> None:
    test_set = add_test_set(store, run, "phrases", "phrase", phrases(12, per_patient=1))
    add_evaluation(store, run, test_set, "maira2", [[BOX]] * 12)
    add_evaluation(store, run, test_set, "chexagent", [[]] * 8 + [[BOX]] * 4)
    with open_snapshot(store.path) as snapshot:
        view = comparison_view(snapshot, "maira2", "chexagent", ALL, every_metric=True)
    row = _rows(view)["no_box_rate"]
    assert row.mcnemar is not None
    assert (row.mcnemar.only_first, row.mcnemar.only_second) == (row.wins, row.losses) == (8, 0)


def test_where_mcnemar_is_not_valid_it_is_not_given_and_why_is_said(store: Store, run: Run) -> None:
    test_set = add_test_set(store, run, "phrases", "phrase", phrases(60))
    for model, hits in (("maira2", 45), ("chexagent", 25)):
        add_evaluation(store, run, test_set, model, _answers(60, hits, hits))
    view = _compare(store, "maira2", "chexagent")
    assert {row.mcnemar for row in _rows(view).values()} == {None}
    assert "McNemar's test is not valid here: 60 samples are of 30 patients" in view.tables[0].notes


def test_mcnemar_is_not_given_of_what_is_no_mean_of_right_and_wrong() -> None:
    first, second, of = np.array([1.0, 0.0, 1.0]), np.array([0.0, 0.0, 1.0]), clusters(["a", "b", "c"])
    assert right_or_wrong((first, second), (2 / 3, 1 / 3), of, "higher") == (1, 0, 1.0)
    assert right_or_wrong((first, second), (2 / 3, 1 / 3), of, "lower") == (0, 1, 1.0)
    assert right_or_wrong((first, second), (2 / 3, 1 / 3), of, "") is None
    assert right_or_wrong((first, second), (0.8, 1 / 3), of, "higher") is None  # a ratio of sums
    assert right_or_wrong((first / 2, second), (1 / 3, 1 / 3), of, "higher") is None
    assert right_or_wrong((first, second), (2 / 3, 1 / 3), clusters(["a", "a", "c"]), "higher") is None
    with_gap = np.array([1.0, np.nan, 1.0]), np.array([0.0, np.nan, 1.0])
    assert right_or_wrong(with_gap, (1.0, 0.5), clusters(["a", "a", "c"]), "higher") == (1, 0, 1.0)


@pytest.mark.slow
def test_intervals_cover_a_known_difference_on_clustered_patients_and_naive_ones_do_not() -> None:
    """400 times 150 patients with 6 images each, whose difficulty the images of a patient share."""
    generator = np.random.default_rng(7)
    family, true = RadvlmMap50(), 0.1
    covered = naive = 0
    for _ in range(400):
        # A patient's own difference between the models; its mean over patients is the true one.
        apart = generator.normal(true, 0.3, (150, 1))
        second = generator.normal(0.5, 0.2, (150, 1)) + generator.normal(0, 0.1, (150, 6))
        first = second + apart + generator.normal(0, 0.1, (150, 6))
        of = np.repeat(np.arange(150), 6)
        tables = [np.column_stack([each.ravel(), np.ones(900)]) for each in (first, second)]
        for name, keys in (("patients", of), ("images", np.arange(900))):
            joined = Joined((family,), tables[0], tables[1], clusters([str(key) for key in keys]))
            found = intervals(joined)["-radvlm_map50"]
            hit = found.low <= true <= found.high
            covered += hit and name == "patients"
            naive += hit and name == "images"
    assert 0.93 <= covered / 400 <= 0.97
    assert naive / 400 < 0.8
