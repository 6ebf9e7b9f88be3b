"""Pictures, boxes and words about one chest agree."""

from itertools import product

import numpy as np
import pytest

from radvlm_cli.demo.anatomy import Chest, make_chest
from radvlm_cli.demo.chance import decimal_digits, generator, hex_digits
from radvlm_cli.demo.drawing import draw, to_8_bit
from radvlm_cli.demo.findings import KINDS, Finding, chexpert_labels, choose_findings
from radvlm_cli.demo.lesions import boxes
from radvlm_cli.demo.pictures import SIZES
from radvlm_cli.demo.regions import affected, regions
from radvlm_cli.demo.sentences import findings_text, phrase, sentence, sentence_es

DRAWN_OVER = [kind for kind in KINDS if kind not in ("cardiomegaly", "aorta")]


def chest(*findings: Finding, seed: int = 0, size: tuple[int, int] = (208, 240)) -> Chest:
    return make_chest(generator(seed, "body"), generator(seed, "picture"), size, findings)


@pytest.mark.parametrize("kind", DRAWN_OVER)
@pytest.mark.parametrize("seed", range(4))
def test_a_finding_changes_the_picture_in_its_boxes_and_hardly_elsewhere(kind: str, seed: int) -> None:
    (finding,) = choose_findings(generator(seed, kind), kinds=[kind])
    ill = chest(finding, seed=seed)
    change = np.abs(draw(ill) - draw(chest(seed=seed)))
    inside = np.zeros(change.shape, dtype=bool)
    for box in boxes(ill, finding):
        top, bottom = int(box.y_min * ill.height) - 3, int(box.y_max * ill.height) + 4
        left, right = int(box.x_min * ill.width) - 3, int(box.x_max * ill.width) + 4
        assert change[max(top, 0) : bottom, max(left, 0) : right].max() > 0.08
        inside[max(top, 0) : bottom, max(left, 0) : right] = True
    assert change[inside].sum() > 0.85 * change.sum()


@pytest.mark.parametrize("kind", ["cardiomegaly", "aorta"])
def test_a_larger_organ_brightens_its_box(kind: str) -> None:
    ill = chest(Finding(kind, size="large"))
    box = boxes(ill, Finding(kind, size="large"))[0]
    change = draw(ill) - draw(chest())
    part = np.s_[int(box.y_min * 240) : int(box.y_max * 240), int(box.x_min * 208) : int(box.x_max * 208)]
    assert change[part].sum() > 0.9 * np.abs(change).sum()


def test_pneumothorax_is_dark_and_effusion_bright() -> None:
    for kind, sign in (("pneumothorax", -1), ("effusion", 1)):
        finding = Finding(kind, ("left",), "large")
        change = draw(chest(finding)) - draw(chest())
        assert sign * change.sum() > 0


@pytest.mark.parametrize("size", SIZES)
def test_every_finding_has_a_box_per_side_within_the_picture(size: tuple[int, int]) -> None:
    for kind, seed in product(KINDS, range(12)):
        for finding in choose_findings(generator(seed, kind, size), kinds=[kind]):
            ill = chest(finding, seed=seed, size=size)
            found = boxes(ill, finding)
            assert len(found) == (len(finding.sides) if KINDS[kind].sided else 1)
            for box in found:
                assert 0 <= box.x_min < box.x_max <= 1
                assert 0 <= box.y_min < box.y_max <= 1
                assert (box.x_max - box.x_min) * (box.y_max - box.y_min) < 0.3


def test_right_findings_lie_on_the_left_of_the_picture() -> None:
    for kind in ("nodule", "effusion", "consolidation", "atelectasis", "pneumothorax"):
        right, left = (boxes(chest(), Finding(kind, (side,)))[0] for side in ("right", "left"))
        assert right.x_max < 0.53
        assert left.x_min > 0.47


def test_there_are_36_regions_each_with_some_area() -> None:
    for seed in range(8):
        found = regions(chest(seed=seed))
        assert len(found) == 36
        for name, box in found.items():
            assert box.x_max - box.x_min > 0.02, name
            assert box.y_max - box.y_min > 0.02, name


def test_findings_are_described_in_regions_that_exist() -> None:
    names = set(regions(chest()))
    for kind, zone, side in product(KINDS, ("upper", "mid", "lower"), ("right", "left")):
        assert set(affected(Finding(kind, (side,), zone=zone))) <= names


def test_pictures_use_most_of_the_grey_range() -> None:
    pixels = to_8_bit(draw(chest()))
    assert pixels.shape == (240, 208)
    assert np.percentile(pixels, 1) < 30
    assert np.percentile(pixels, 99) > 150
    assert pixels.std() > 40


def test_lateral_views_differ_from_frontal_ones() -> None:
    assert np.abs(draw(chest(), lateral=True) - draw(chest())).mean() > 0.1


def test_words_name_the_side_and_kind_of_each_finding() -> None:
    for kind in KINDS:
        (finding,) = choose_findings(generator(1, kind), kinds=[kind])
        for text in (sentence(finding), sentence_es(finding)):
            assert text.endswith(".")
            assert text[0].isupper()
        assert sentence(finding) in findings_text([finding])
        if KINDS[kind].sided and kind != "edema":
            assert ("bilateral" if len(finding.sides) == 2 else finding.sides[0]) in phrase(finding)


def test_labels_follow_the_findings() -> None:
    assert chexpert_labels([]) == {"No Finding": 1.0, "Pneumothorax": 0.0, "Pleural Effusion": 0.0}
    assert chexpert_labels([Finding("device")])["No Finding"] == 1.0
    labels = chexpert_labels([Finding("consolidation", size="small")])
    assert labels["Lung Opacity"] == labels["Consolidation"] == 1.0
    assert labels["Pneumonia"] == -1.0
    assert "No Finding" not in labels


def test_chance_belongs_to_a_name() -> None:
    assert generator(0, "a", 1).random() == generator(0, "a", 1).random()
    assert generator(0, "a", 1).random() != generator(0, "a", 2).random()
    assert len(hex_digits(32, 0, "x")) == 32
    digits = decimal_digits(39, 0, "x")
    assert len(digits) == 39
    assert digits[0] != "0"
