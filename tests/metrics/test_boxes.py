"""Grounding metrics against the vectors of the definitions, brute force, and a raster."""

from itertools import permutations
from typing import Any

import numpy as np
import pytest

from radvlm_cli.metrics.boxes import BoxMatching, LabelledBoxes, Located, RadvlmMap50, answer_status
from radvlm_cli.metrics.overlap import corners, matched_iou, most_matches, pairwise_iou, union_iou

A, B = (0.1, 0.1, 0.4, 0.4), (0.6, 0.6, 0.9, 0.9)


def scored(family: Any, predictions: list[Any], references: list[Any]) -> dict[str, float]:
    sums = family.per_sample(predictions, references).sum(axis=0)
    return {name: float(value) for name, value in family.values(sums).items()}


def random_boxes(rng: np.random.Generator, n: int) -> np.ndarray:
    low = rng.random((n, 2)) * 0.7
    return np.concatenate([low, low + 0.02 + rng.random((n, 2)) * 0.28], axis=1)


@pytest.mark.parametrize(
    ("predicted", "true", "expected"),
    [
        ([A, B], [A, B], 1.0),
        ([A], [A, B], 0.5),
        ([A, B], [A], 1.0),  # a false box after the right one costs nothing
        ([B, A], [A], 0.5),
        ([A, A, A], [A], 1.0),
        ([], [A], 0.0),
        ([], [], 0.0),
        ([A], [], 0.0),
    ],
)
def test_the_published_map_comes_out_as_published(predicted: Any, true: Any, expected: float) -> None:
    assert scored(RadvlmMap50(), [predicted], [true]) == {"radvlm_map50": pytest.approx(expected)}


def test_the_published_map_gives_a_box_to_its_nearest_only_and_ours_does_not() -> None:
    true = [(0.0, 0.0, 0.4, 0.4), (0.1, 0.0, 0.5, 0.4)]
    predicted = [(0.03, 0.0, 0.43, 0.4), (0.04, 0.0, 0.44, 0.4)]  # both nearest to the first, both fit the second
    assert scored(RadvlmMap50(), [predicted], [true])["radvlm_map50"] == pytest.approx(0.5)
    assert scored(BoxMatching(), [predicted], [true])["f1_50"] == 1


@pytest.mark.parametrize(
    ("predicted", "f1", "miou", "matched"), [([A, B], 1, 1, 1), ([A], 2 / 3, 0.5, 0.5), ([], 0, 0, 0)]
)
def test_perfect_half_and_no_answer(predicted: Any, f1: float, miou: float, matched: float) -> None:
    values = scored(BoxMatching(), [predicted], [[A, B]])
    assert (values["f1_50"], values["miou"], values["matched_iou"]) == pytest.approx((f1, miou, matched))
    assert np.isnan(values["accuracy_50"])
    assert np.isnan(values["false_box_rate"])


def test_silence_is_a_miss_and_spurious_boxes_cost() -> None:
    silent = scored(BoxMatching(), [[A], []], [[A], [B]])
    assert silent["miou"] == silent["accuracy_50"] == silent["no_box_rate"] == 0.5
    spurious = scored(BoxMatching(), [[A, B, (0.0, 0.5, 0.2, 0.7)]], [[A]])
    assert spurious["precision_50"] == pytest.approx(1 / 3)
    assert spurious["accuracy_50"] == 0


def test_questions_about_what_is_not_there() -> None:
    values = scored(BoxMatching(), [[A], [], [A]], [[], [], [A]])
    assert values["false_box_rate"] == 0.5
    assert values["precision_50"] == 0.5
    assert values["miou"] == 1


def test_an_answer_that_failed_is_not_right_where_nothing_is_to_be_marked() -> None:
    broken = Located((), malformed=1)
    assert scored(BoxMatching(), [[], None, broken, None], [[], [], [], [A]])["false_box_rate"] == pytest.approx(2 / 3)
    values = scored(LabelledBoxes(), [{}, None, None], [{}, {}, {"Edema": [A]}])
    assert (values["clean_specificity"], values["detection_recall_50"]) == (0.5, 0)
    assert scored(RadvlmMap50(), [None, [A]], [[A], [A]])["radvlm_map50"] == 0.5


def test_malformed_boxes_are_counted_and_have_their_status() -> None:
    broken, mixed = Located((), malformed=2), Located((A,), malformed=1)
    assert scored(BoxMatching(), [broken, mixed, Located((A,))], [[A]] * 3)["malformed_rate"] == pytest.approx(2 / 3)
    assert answer_status("[0.9, 0.1,", broken) == "unparsable"
    assert answer_status("it is at [..]", mixed) == "ok"
    assert answer_status("There is none.", Located()) == "ok"
    assert answer_status(" \n", Located()) == "empty"


def test_matching_equals_brute_force() -> None:
    rng = np.random.default_rng(7)
    for _ in range(150):
        ious = pairwise_iou(random_boxes(rng, rng.integers(0, 5)), random_boxes(rng, rng.integers(0, 5)))
        small = ious if ious.shape[0] <= ious.shape[1] else ious.T
        ways = [list(enumerate(way)) for way in permutations(range(small.shape[1]), small.shape[0])]
        assert matched_iou(ious) == pytest.approx(max(sum(small[i, j] for i, j in way) for way in ways))
        for threshold in (0.05, 0.2, 0.5):
            most = max(sum(small[i, j] >= threshold for i, j in way) for way in ways)
            assert most_matches(ious, threshold) == most


def test_iou_of_unions_equals_a_raster_of_boxes_on_its_grid() -> None:
    rng = np.random.default_rng(3)
    for _ in range(60):
        sets = []
        for count in rng.integers(1, 6, 2):
            low = rng.integers(0, 150, (count, 2))
            sets.append(np.concatenate([low, low + rng.integers(1, 50, (count, 2))], axis=1))
        masks = np.zeros((2, 200, 200), dtype=bool)
        for mask, boxes in zip(masks, sets, strict=True):
            for x_min, y_min, x_max, y_max in boxes:
                mask[y_min:y_max, x_min:x_max] = True
        expected = (masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum()
        assert union_iou(sets[0] / 200, sets[1] / 200) == pytest.approx(expected, abs=1e-12)


def test_a_looping_model_neither_slows_nor_gains() -> None:
    assert union_iou(corners([A] * 5000), corners([A])) == 1
    assert scored(BoxMatching(), [[A] * 100], [[A]])["precision_50"] == 0.01


@pytest.mark.parametrize("box", [(0.4, 0.1, 0.1, 0.4), (0.1, 0.1, 0.1, 0.4), (0.1, 0.1, float("nan"), 0.4)])
def test_what_is_no_box_is_refused(box: Any) -> None:
    with pytest.raises(ValueError, match="box needs"):
        BoxMatching().per_sample([[box]], [[A]])


def test_no_samples_are_no_value_and_not_zero() -> None:
    for family in (BoxMatching(), RadvlmMap50(), LabelledBoxes()):
        table = family.per_sample([], [])  # type: ignore[attr-defined]
        assert table.shape == (0, len(family.columns))  # type: ignore[attr-defined]
        assert all(np.isnan(value) for value in scored(family, [], []).values())


def test_detection_wants_the_label_too() -> None:
    predictions = [{"Nodule": [A], "mass": [B]}, {}, {"Nodule": [A]}]
    references = [{"nodule": [A], "Effusion": [B]}, {}, {}]
    values = scored(LabelledBoxes(), predictions, references)
    assert values["detection_f1_50"] == pytest.approx(2 / 5)
    assert values["any_label_f1_50"] == pytest.approx(4 / 5)
    assert values["clean_specificity"] == 0.5
