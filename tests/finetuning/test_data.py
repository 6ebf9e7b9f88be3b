"""What is left out of a run, and when it is too much."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from finetuning.data import Counted, TrainingData
from finetuning.errors import TrainingError
from finetuning.lengths import UNREADABLE, Lengths
from finetuning.manifest import Manifest, parse_manifest
from finetuning.samples import DAMAGED, MISSING, TOO_LONG, Dropped
from tests.finetuning.test_manifest import least

PAIRS = 1000


def _manifest(share: float) -> Manifest:
    value = least()
    value["data"]["unreadable_share"] = share
    return parse_manifest(value)


def _data(**dropped: int) -> TrainingData:
    """So many pairs left out at the start, by reason."""
    names = {"unreadable": UNREADABLE, "too_long": TOO_LONG}
    samples: Any = range(PAIRS)
    none = np.zeros(0, np.int32)
    rows = {names[reason]: np.arange(count) for reason, count in dropped.items()}
    return TrainingData(samples, Lengths(none, none), np.arange(PAIRS - sum(dropped.values())), rows)


def test_pairs_that_are_too_long_are_no_unreadable_images() -> None:
    _data(too_long=900).refuse_dropped(Counted(), _manifest(0.0))


@pytest.mark.parametrize(("at_start", "while_loading"), [(2, 0), (1, 1), (0, 2)])
def test_one_unreadable_image_in_a_thousand_may_be_and_no_more(at_start: int, while_loading: int) -> None:
    manifest = _manifest(0.001)
    _data(unreadable=min(at_start, 1)).refuse_dropped(Counted(unreadable=1 - min(at_start, 1)), manifest)
    with pytest.raises(TrainingError, match=f"{at_start} of 1000 pairs have no readable image") as caught:
        _data(unreadable=at_start).refuse_dropped(Counted(unreadable=while_loading), manifest)
    assert "--set data.unreadable_share" in (caught.value.hint or "")


def test_faulty_texts_are_held_against_another_share_than_images() -> None:
    _data().refuse_dropped(Counted(faulty=1, literals=5000), _manifest(0.0))
    with pytest.raises(TrainingError, match="2 of 1000 samples are no conversation") as caught:
        _data().refuse_dropped(Counted(faulty=2), _manifest(1.0))
    assert "radvlm build" in (caught.value.hint or "")


def test_a_dropped_pair_knows_whether_its_image_was_the_reason() -> None:
    told = [Dropped("p", reason).unreadable for reason in (MISSING, DAMAGED, TOO_LONG, "an answer is empty")]
    assert told == [True, True, False, False]
