"""Intervals and tests against closed forms, enumeration, scipy, and simulated patients."""

from collections.abc import Mapping
from itertools import product

import numpy as np
import pytest
from scipy import stats

from radvlm_cli.metrics.family import Table
from radvlm_cli.metrics.ratios import ratio
from radvlm_cli.metrics.significance import holm, mcnemar, permutation_test
from radvlm_cli.metrics.statistics import (
    Clusters,
    bootstrap,
    bootstrap_difference,
    bootstrap_weighted,
    cluster_draws,
    cluster_t,
    clusters,
    minimum_detectable,
    wilson,
)


def mean_and_share(sums: Table) -> Mapping[str, Table]:
    """Columns: value, samples, positives, hits."""
    return {"mean": ratio(sums[..., 0], sums[..., 1]), "recall": ratio(sums[..., 3], sums[..., 2])}


def rows(values: np.ndarray) -> Table:
    return np.stack([values, np.ones_like(values), np.zeros_like(values), np.zeros_like(values)], axis=1)


def patients(rng: np.random.Generator, count: int, images: int, rho: float) -> tuple[np.ndarray, Clusters]:
    """Scores with an intra-patient correlation of rho, mean 0, variance 1."""
    shared = np.repeat(rng.normal(size=count), images)
    scores = np.sqrt(rho) * shared + np.sqrt(1 - rho) * rng.normal(size=count * images)
    return scores, Clusters(np.repeat(np.arange(count), images), count)


def alone(count: int) -> Clusters:
    return clusters([str(i) for i in range(count)])


def coverage(repetitions: int, draws: int, count: int) -> dict[str, float]:
    """How often the 95% interval of each method holds the true mean 0, patients of six images, rho 0.5."""
    rng = np.random.default_rng(2024)
    held = dict.fromkeys(("bootstrap", "t", "naive bootstrap", "naive t"), 0)
    for _ in range(repetitions):
        scores, of = patients(rng, count, 6, 0.5)
        for prefix, unit in (("", of), ("naive ", alone(len(scores)))):
            drawn = bootstrap(rows(scores), unit, mean_and_share, draws=draws)["mean"]
            held[f"{prefix}bootstrap"] += drawn.low <= 0 <= drawn.high
            robust = cluster_t(scores, unit)
            held[f"{prefix}t"] += robust.low <= 0 <= robust.high
    return {name: count / repetitions for name, count in held.items()}


def test_intervals_by_patient_cover_and_naive_ones_do_not() -> None:
    shares = coverage(repetitions=100, draws=250, count=80)
    assert shares["bootstrap"] >= 0.89
    assert shares["t"] >= 0.89
    assert shares["naive bootstrap"] <= 0.82
    assert shares["naive t"] <= 0.82


@pytest.mark.slow
def test_coverage_over_400_simulated_test_sets() -> None:
    shares = coverage(repetitions=400, draws=2000, count=300)
    print(shares)
    assert 0.93 <= shares["bootstrap"] <= 0.97
    assert 0.93 <= shares["t"] <= 0.97
    assert shares["naive bootstrap"] < 0.85
    assert shares["naive t"] < 0.85


@pytest.mark.slow
def test_coverage_of_a_ratio_over_400_simulated_test_sets() -> None:
    """Recall, of which numerator and denominator both vary by patient."""
    rng = np.random.default_rng(77)
    held = {"patients": 0, "images": 0}
    for _ in range(400):
        skill = np.repeat(rng.beta(2, 1, 250), 6)  # mean 2/3, the same for all images of a patient
        positive = rng.random(1500) < 0.4
        hit = positive & (rng.random(1500) < skill)
        table = np.stack([hit, np.ones(1500), positive, hit], axis=1).astype(float)
        for name, of in (("patients", Clusters(np.repeat(np.arange(250), 6), 250)), ("images", alone(1500))):
            interval = bootstrap(table, of, mean_and_share)["recall"]
            held[name] += interval.low <= 2 / 3 <= interval.high
    print(held)
    assert 0.93 <= held["patients"] / 400 <= 0.97
    assert held["images"] / 400 < 0.93


def test_draws_are_resampling_with_replacement_and_repeat() -> None:
    weights = np.concatenate(list(cluster_draws(50, draws=4000, seed=1)))
    assert (weights.sum(axis=1) == 50).all()
    assert weights.mean() == 1
    assert weights.var(axis=0).mean() == pytest.approx(1 - 1 / 50, rel=0.02)  # multinomial
    again = np.concatenate(list(cluster_draws(50, draws=4000, seed=1)))
    assert (weights == again).all()
    assert (weights != np.concatenate(list(cluster_draws(50, draws=4000, seed=2)))).any()


def test_draws_come_in_blocks_that_fit_memory() -> None:
    blocks = [block.shape for block in cluster_draws(25_000, draws=170)]
    assert sum(rows for rows, _ in blocks) == 170
    assert max(rows * columns for rows, columns in blocks) <= 4_000_000


def test_bootstrap_is_that_of_drawn_rows() -> None:
    """The weights give what copying the rows of the drawn patients gives."""
    rng = np.random.default_rng(9)
    scores, of = patients(rng, 12, 3, 0.3)
    table = np.stack([scores, np.ones(36), rng.random(36) < 0.5, rng.random(36) < 0.2], axis=1).astype(float)
    drawn: dict[str, list[float]] = {"mean": [], "recall": []}
    for weights in np.concatenate(list(cluster_draws(12, draws=60))):
        copied = np.concatenate([np.tile(table[of.of_sample == c], (int(w), 1)) for c, w in enumerate(weights)])
        for name, value in mean_and_share(copied.sum(axis=0)).items():
            drawn[name].append(float(value))
    for name, interval in bootstrap(table, of, mean_and_share, draws=60).items():
        assert (interval.low, interval.high) == pytest.approx(np.nanquantile(drawn[name], [0.025, 0.975]))


def test_bootstrap_of_a_mean_agrees_with_theory() -> None:
    scores, of = patients(np.random.default_rng(4), 400, 4, 0.5)
    drawn, robust = bootstrap(rows(scores), of, mean_and_share)["mean"], cluster_t(scores, of)
    assert drawn.value == pytest.approx(robust.value)
    assert drawn.se == pytest.approx(robust.se, rel=0.05)
    assert (drawn.low, drawn.high) == pytest.approx((robust.low, robust.high), abs=0.1 * robust.se * 4)


def test_a_value_that_is_not_defined_is_nan_and_not_zero() -> None:
    intervals = bootstrap(rows(np.ones(10)), alone(10), mean_and_share, draws=100)
    assert np.isnan([intervals["recall"].value, intervals["recall"].low, intervals["recall"].high]).all()
    assert intervals["recall"].undefined == 1
    assert intervals["mean"][:4] == (1, 1, 1, 0)


def test_draws_without_a_positive_are_told() -> None:
    table = rows(np.ones(10))
    table[0, 2:] = 1  # one positive among ten patients: not drawn in (1 - 1/10)^10 = 35% of draws
    recall = bootstrap(table, alone(10), mean_and_share)["recall"]
    assert recall.undefined == pytest.approx(0.35, abs=0.04)
    assert recall[:3] == (1, 1, 1)


def test_no_sample_at_all() -> None:
    empty = bootstrap(np.empty((0, 4)), clusters([]), mean_and_share)
    assert all(np.isnan(interval.value) for interval in empty.values())
    assert np.isnan(cluster_t([], clusters([])).value)
    assert np.isnan(wilson(0, 0).value)


def test_paired_difference_is_narrower_than_that_of_strangers() -> None:
    rng = np.random.default_rng(8)
    scores, of = patients(rng, 200, 3, 0.6)
    better = scores + 0.1 + 0.05 * rng.normal(size=600)
    paired = bootstrap_difference(rows(better), rows(scores), of, mean_and_share)["mean"]
    theory, one = cluster_t(better - scores, of), cluster_t(scores, of)
    assert paired.value == pytest.approx(theory.value)
    assert (paired.low, paired.high) == pytest.approx((theory.low, theory.high), abs=0.1 * (theory.high - theory.low))
    assert paired.se < 0.1 * one.se
    assert np.isnan(bootstrap_difference(rows(better), rows(scores), of, mean_and_share)["recall"].value)


def test_weights_of_any_statistic() -> None:
    interval = bootstrap_weighted(lambda w: {"first": w[..., 0]}, 100)["first"]
    assert interval.value == 1
    assert interval.se == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize(("hits", "trials"), [(0, 10), (3, 10), (10, 10), (480, 500)])
def test_wilson_equals_scipy(hits: int, trials: int) -> None:
    expected = stats.binomtest(hits, trials).proportion_ci(method="wilson")
    assert wilson(hits, trials)[1:3] == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_cluster_t_of_single_samples_is_the_t_interval() -> None:
    values = np.random.default_rng(1).normal(size=20)
    expected = stats.t.interval(0.95, 19, values.mean(), stats.sem(values))
    assert cluster_t(values, alone(20))[1:3] == pytest.approx(expected)


def test_cluster_t_of_copies_is_that_of_the_originals() -> None:
    values = np.random.default_rng(1).normal(size=20)
    copies = cluster_t(np.repeat(values, 7), Clusters(np.repeat(np.arange(20), 7), 20))
    assert copies == pytest.approx(cluster_t(values, alone(20)))


def test_one_patient_has_no_interval() -> None:
    assert np.isnan(cluster_t([0.1, 0.2], clusters(["a", "a"])).low)


def test_exact_permutation_equals_enumeration() -> None:
    rng = np.random.default_rng(6)
    scores, of = patients(rng, 8, 3, 0.5)
    other = scores + 0.4 * rng.normal(size=24) - 0.2
    result = permutation_test(rows(scores), rows(other), of, mean_and_share)
    by_patient = of.sums((scores - other)[:, None])[:, 0]
    sums = [abs(np.dot(signs, by_patient)) for signs in product((1, -1), repeat=8)]
    assert result["mean"].exact
    assert result["mean"].p == pytest.approx(np.mean(np.array(sums) >= abs(by_patient.sum()) - 1e-12))
    assert np.isnan(result["recall"].p)


def test_permutation_of_single_samples_agrees_with_scipy() -> None:
    rng = np.random.default_rng(2)
    left, right = rng.normal(0.25, 1, 60), rng.normal(0, 1, 60)
    ours = permutation_test(rows(left), rows(right), alone(60), mean_and_share)["mean"]
    theirs = stats.permutation_test(
        (left - right,), np.mean, permutation_type="samples", n_resamples=9999, rng=np.random.default_rng(0)
    )
    assert not ours.exact
    assert ours.p == pytest.approx(theirs.pvalue, abs=0.02)


def test_permutation_keeps_its_level_with_patients_and_not_with_images() -> None:
    rng = np.random.default_rng(31)
    rejected = {"patients": 0, "images": 0}
    for _ in range(60):
        scores, of = patients(rng, 40, 5, 0.7)
        for name, unit in (("patients", of), ("images", alone(200))):
            test = permutation_test(rows(scores), rows(0 * scores), unit, mean_and_share, permutations=300)
            rejected[name] += test["mean"].p <= 0.05
    assert rejected["patients"] <= 8
    assert rejected["images"] >= 15


def test_equal_models_have_p_one() -> None:
    table = rows(np.arange(5.0))
    result = permutation_test(table, table, alone(5), mean_and_share)["mean"]
    assert result == (1, 1, True)


def test_holm_by_hand_and_monotone() -> None:
    adjusted = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005, "e": float("nan")})
    assert {name: round(p, 6) for name, p in adjusted.items() if p == p} == {"d": 0.02, "a": 0.03, "c": 0.06, "b": 0.06}
    assert np.isnan(adjusted["e"])
    assert holm({"a": 0.9, "b": 0.8}) == {"a": 1.0, "b": 1.0}


def test_mcnemar_equals_the_binomial_test() -> None:
    left = np.array([1] * 9 + [0] * 2 + [1] * 20 + [0] * 5)
    right = np.array([0] * 9 + [1] * 2 + [1] * 20 + [0] * 5)
    result = mcnemar(left, right, alone(36))
    assert result[:2] == (9, 2)
    assert result.p == pytest.approx(stats.binomtest(2, 11).pvalue)
    assert mcnemar([1, 0], [1, 0], alone(2)).p == 1


def test_mcnemar_is_refused_where_it_is_not_valid() -> None:
    with pytest.raises(ValueError, match="one sample per patient"):
        mcnemar([1, 0], [0, 0], clusters(["a", "a"]))
    with pytest.raises(ValueError, match="right or wrong"):
        mcnemar([0.5, 0], [0, 0], alone(2))


def test_minimum_detectable_difference_is_found_in_four_of_five() -> None:
    se = 0.02
    difference = minimum_detectable(se)
    drawn = np.random.default_rng(0).normal(difference, se, 20_000)
    assert (np.abs(drawn) > 1.959964 * se).mean() == pytest.approx(0.8, abs=0.01)
