"""Label metrics against scikit-learn, and where they differ on purpose."""

import numpy as np
import pytest
from sklearn.metrics import multilabel_confusion_matrix, precision_recall_fscore_support

from radvlm_cli.labels import ABNORMALITIES
from radvlm_cli.metrics.labels import LabelScores
from radvlm_cli.metrics.statistics import bootstrap, clusters


def scored(family: LabelScores, predictions: list, references: list) -> dict[str, float]:  # type: ignore[type-arg]
    sums = family.per_sample(predictions, references).sum(axis=0)
    return {name: float(value) for name, value in family.values(sums).items()}


def as_labels(table: np.ndarray) -> list[dict[str, int]]:
    return [dict(zip(ABNORMALITIES, map(int, row), strict=True)) for row in table]


@pytest.mark.parametrize("seed", range(5))
def test_equals_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    true, said = (rng.random((80, 13)) < 0.3).astype(int), (rng.random((80, 13)) < 0.4).astype(int)
    values = scored(LabelScores(), as_labels(said), as_labels(true))
    for average in ("micro", "macro"):
        expected = precision_recall_fscore_support(true, said, average=average)[:3]
        names = [f"{average}_{name}" for name in ("precision", "recall", "f1")]
        assert [values[name] for name in names] == pytest.approx(expected, abs=1e-12)
    each = precision_recall_fscore_support(true, said, average=None)
    confusion = multilabel_confusion_matrix(true, said)
    for place, label in enumerate(ABNORMALITIES):
        names = [f"{name}/{label}" for name in ("precision", "recall", "f1")]
        assert [values[name] for name in names] == pytest.approx([column[place] for column in each[:3]])
        (tn, fp), _ = confusion[place]
        assert values[f"specificity/{label}"] == pytest.approx(tn / (tn + fp))
    assert values["exact_match"] == (true == said).all(axis=1).mean()


@pytest.mark.parametrize("seed", range(3))
def test_published_equals_scikit_learn_with_labels_that_never_occur(seed: int) -> None:
    rng = np.random.default_rng(seed)
    true, said = (rng.random((40, 13)) < 0.2).astype(int), (rng.random((40, 13)) < 0.2).astype(int)
    true[:, [2, 7]] = 0
    said[:, [4, 7]] = 0
    expected = precision_recall_fscore_support(true, said, average="macro", zero_division=0)
    values = scored(LabelScores(published=True), as_labels(said), as_labels(true))
    assert [values[f"macro_{n}"] for n in ("precision", "recall", "f1")] == pytest.approx(expected[:3], abs=1e-12)


def test_a_label_without_positives_has_no_f1_and_does_not_pull_down_the_mean() -> None:
    values = scored(LabelScores(), [["Edema", "Fracture"]], [["Edema"]])
    assert np.isnan(values["f1/Fracture"])
    assert np.isnan(values["recall/Fracture"])
    assert values["precision/Fracture"] == 0
    assert values["macro_f1"] == 1
    assert values["micro_f1"] == pytest.approx(2 / 3)
    assert scored(LabelScores(published=True), [["Edema"]], [["Edema"]])["macro_f1"] == pytest.approx(1 / 13)


@pytest.mark.parametrize(("uncertain", "counts"), [("positive", (1, 0)), ("negative", (0, 1)), ("drop", (0, 0))])
def test_what_is_uncertain_counts_as_asked(uncertain: str, counts: tuple[int, int]) -> None:
    family = LabelScores(uncertain=uncertain)  # type: ignore[arg-type]
    row = dict(zip(family.columns, family.per_sample([{"Edema": -1}], [{"Edema": 1}])[0], strict=True))
    assert (row["tp/Edema"], row["fn/Edema"]) == counts
    assert row["fp/Edema"] == row["tn/Edema"] == 0


def test_a_failed_answer_misses_all_that_is_there() -> None:
    values = scored(LabelScores(), [(), {}], [["Edema"], ["Edema", "Pneumonia"]])
    assert values["micro_f1"] == values["micro_recall"] == values["f1/Edema"] == 0
    assert np.isnan(values["micro_precision"])


def test_an_answer_that_failed_is_not_right_about_what_is_absent() -> None:
    references: list[list[str]] = [[], [], ["Edema"]]
    silent, failed = (
        scored(LabelScores(), [{}, {}, {}], references),
        scored(LabelScores(), [{}, None, None], references),
    )
    assert (silent["exact_match"], failed["exact_match"]) == pytest.approx((2 / 3, 1 / 3))
    assert (silent["specificity/Edema"], failed["specificity/Edema"]) == (1, 0.5)
    assert (silent["specificity/Fracture"], failed["specificity/Fracture"]) == pytest.approx((1, 1 / 3))
    assert (silent["recall/Edema"], failed["recall/Edema"]) == (0, 0)


def test_what_cannot_be_counted_is_refused() -> None:
    with pytest.raises(ValueError, match="not scored"):
        LabelScores().per_sample([()], [["Hernia"]])
    with pytest.raises(ValueError, match="1, 0 or -1"):
        LabelScores().per_sample([{"Edema": 2}], [()])
    with pytest.raises(ValueError, match="must be one of"):
        LabelScores(uncertain="maybe")  # type: ignore[arg-type]
    assert LabelScores().per_sample([["Hernia"]], [{"No Finding": 1}]).sum() == 13 + 2  # all negative, all right


def test_every_value_has_an_interval_or_says_why_not() -> None:
    rng = np.random.default_rng(0)
    true, said = (rng.random((120, 13)) < 0.2).astype(int), (rng.random((120, 13)) < 0.2).astype(int)
    true[:, 0] = 0
    family = LabelScores()
    table = family.per_sample(as_labels(said), as_labels(true))
    intervals = bootstrap(table, clusters([str(i // 3) for i in range(120)]), family.values, draws=300)
    for name, interval in intervals.items():
        if name in ("f1/Atelectasis", "recall/Atelectasis"):
            assert np.isnan(interval.low)
        else:
            assert interval.low <= interval.value <= interval.high
