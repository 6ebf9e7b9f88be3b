import numpy as np
import pytest
from ensemble_boxes import weighted_boxes_fusion

from radvlm_cli.sources.fusion import fuse


def _oracle(boxes: np.ndarray) -> np.ndarray:
    fused, _scores, _labels = weighted_boxes_fusion(
        [boxes.tolist()], [[1.0] * len(boxes)], [[1] * len(boxes)], iou_thr=0.1, skip_box_thr=0.0
    )
    return fused


def _random_boxes(rng: np.random.Generator, count: int, spread: float) -> np.ndarray:
    centre = rng.uniform(0.3, 0.7, 2) + rng.uniform(-spread, spread, (count, 2))
    half = rng.uniform(0.02, 0.2, (count, 2))
    return np.clip(np.concatenate([centre - half, centre + half], axis=1), 0, 1)


@pytest.mark.parametrize("spread", [0.02, 0.1, 0.25])
def test_fusion_equals_the_package_bit_for_bit(spread: float) -> None:
    rng = np.random.default_rng(7)
    groups = [_random_boxes(rng, int(rng.integers(1, 9)), spread) for _ in range(300)]
    numbers = np.repeat(np.arange(len(groups)), [len(g) for g in groups])
    fused = fuse(np.concatenate(groups), numbers)
    for number, boxes in enumerate(groups):
        np.testing.assert_array_equal(fused.boxes[fused.group == number], _oracle(boxes))


@pytest.mark.skipif(
    bool((np.ones(64).argsort() != np.arange(64)).any()), reason="on this processor numpy's sort reorders equal scores"
)
def test_fusion_equals_the_package_above_16_boxes_where_its_sort_keeps_ties_in_order() -> None:
    rng = np.random.default_rng(11)
    groups = [_random_boxes(rng, size, 0.28) for size in (16, 17, 33, 64)]
    numbers = np.repeat(np.arange(len(groups)), [len(g) for g in groups])
    fused = fuse(np.concatenate(groups), numbers)
    for number, boxes in enumerate(groups):
        np.testing.assert_array_equal(fused.boxes[fused.group == number], _oracle(boxes))


def test_more_than_16_boxes_apart_keep_the_order_of_their_rows_on_every_processor() -> None:
    boxes = np.array([[0.05 * n, 0.1, 0.05 * n + 0.04, 0.3] for n in range(20)])
    np.testing.assert_array_equal(fuse(boxes, np.zeros(20, np.int64)).boxes, boxes)


def test_three_readers_of_one_lesion_become_its_mean() -> None:
    boxes = np.array([[0.1, 0.1, 0.3, 0.3], [0.12, 0.1, 0.32, 0.3], [0.11, 0.13, 0.31, 0.33]])
    fused = fuse(boxes, np.zeros(3, np.int64))
    np.testing.assert_allclose(fused.boxes, boxes.mean(axis=0, keepdims=True), atol=1e-7)


def test_boxes_that_hardly_touch_stay_apart() -> None:
    boxes = np.array([[0.1, 0.1, 0.3, 0.3], [0.29, 0.29, 0.5, 0.5]])
    assert len(fuse(boxes, np.zeros(2, np.int64)).boxes) == 2


def test_the_same_box_in_two_groups_is_not_fused() -> None:
    boxes = np.array([[0.1, 0.1, 0.3, 0.3]] * 2)
    assert fuse(boxes, np.array([4, 9])).group.tolist() == [4, 9]


def test_no_boxes_give_none() -> None:
    assert len(fuse(np.zeros((0, 4)), np.zeros(0, np.int64)).boxes) == 0
