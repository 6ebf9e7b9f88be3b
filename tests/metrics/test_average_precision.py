"""COCO average precision against faster-coco-eval and pycocotools, and its weights against real resampling."""

import contextlib
import io
from typing import Any

import numpy as np
import pytest

from radvlm_cli.metrics.average_precision import CocoAveragePrecision, Scored

LABELS = ("mass", "nodule", "effusion")


def world(seed: int, images: int, ties: bool) -> tuple[list[Any], list[Any]]:
    """True boxes, and predictions around them: moved, doubled, spurious, of another label."""
    rng = np.random.default_rng(seed)
    predictions: list[Any] = []
    references: list[Any] = []
    for _ in range(images):
        said: dict[str, Scored] = {}
        true: dict[str, Any] = {}
        for label in LABELS:
            low = rng.integers(0, 60, (rng.integers(0, 3), 2))
            boxes = np.concatenate([low, low + rng.integers(8, 40, low.shape)], axis=1)
            true[label] = boxes.tolist()
            moved = np.repeat(boxes, 2, axis=0) + rng.integers(-3, 4, (2 * len(boxes), 4))
            extra = rng.integers(0, 20, (rng.integers(0, 2), 2))
            found = np.concatenate([moved, np.concatenate([extra, extra + 15], axis=1)])
            scores = rng.random(len(found))
            said[label] = Scored(found.tolist(), (scores.round(1) if ties else scores).tolist())
        predictions.append(said)
        references.append(true)
    return predictions, references


def oracle(package: str, predictions: list[Any], references: list[Any]) -> tuple[float, float]:
    if package == "pycocotools":
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    else:
        from faster_coco_eval import COCO
        from faster_coco_eval import COCOeval_faster as COCOeval

    def rows(samples: list[Any], scored: bool) -> list[dict[str, Any]]:
        found = []
        for image, sample in enumerate(samples):
            for category, label in enumerate(LABELS):
                boxes, scores = sample.get(label, ((), ())) if scored else (sample.get(label, ()), ())
                for place, (left, top, right, bottom) in enumerate(boxes):
                    box = [left, top, right - left, bottom - top]
                    row = {"image_id": image, "category_id": category, "bbox": box, "area": box[2] * box[3]}
                    more = {"score": scores[place]} if scored else {"iscrowd": 0, "id": len(found) + 1}
                    found.append({**row, **more})
        return found

    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "info": {},
            "images": [{"id": image, "width": 100, "height": 100} for image in range(len(references))],
            "categories": [{"id": category, "name": name} for category, name in enumerate(LABELS)],
            "annotations": rows(references, scored=False),
        }
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(rows(predictions, scored=True)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0]), float(evaluation.stats[1])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("package", ["faster_coco_eval", "pycocotools"])
@pytest.mark.parametrize("ties", [False, True])
def test_equals_the_coco_packages(package: str, ties: bool) -> None:
    predictions, references = world(5, 40, ties)
    values = CocoAveragePrecision(predictions, references).values(np.ones(40))
    assert (float(values["coco_ap"]), float(values["coco_ap50"])) == pytest.approx(
        oracle(package, predictions, references), abs=1e-9
    )


def test_weights_are_resampling() -> None:
    predictions, references = world(11, 15, ties=False)
    draw = np.random.default_rng(1).multinomial(15, np.full(15, 1 / 15))
    weighted = CocoAveragePrecision(predictions, references).values(np.stack([draw, np.ones(15)]).astype(float))
    places = np.repeat(np.arange(15), draw)
    drawn = CocoAveragePrecision([predictions[i] for i in places], [references[i] for i in places])
    for name, value in drawn.values(np.ones(15)).items():
        assert weighted[name][0] == pytest.approx(float(value), abs=1e-12)
        assert weighted[name][0] != weighted[name][1]


def test_without_truth_there_is_no_value() -> None:
    values = CocoAveragePrecision([{"mass": Scored([[0, 0, 1, 1]], [0.5])}], [{}]).values(np.ones(1))
    assert np.isnan(values["coco_ap50"])


def test_a_score_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="finite score"):
        CocoAveragePrecision([{"mass": Scored([[0, 0, 1, 1]], [float("nan")])}], [{"mass": [[0, 0, 1, 1]]}])
