"""Held to what the original code gave: token ids, labels, tiles, image tokens and every bit of the pixel values."""

from __future__ import annotations

import hashlib

import pytest
import torch
from PIL import Image

from finetuning.anyres import Anyres, normalise, tiles_of
from finetuning.pictures import read_picture
from tests.finetuning.golden import CASES, FOLDER, chat, turns

ANYRES = Anyres()
names = pytest.mark.parametrize("name", CASES)


@names
def test_tiles_and_image_tokens_are_those_of_the_original(name: str) -> None:
    case = CASES[name]
    tiling = ANYRES.tiling(*case["size_wh"])
    assert (tiling.tiles, tiling.tokens) == (case["n_tiles"], case["n_image_tokens"])


@names
def test_every_bit_of_the_pixel_values_is_that_of_the_original(name: str) -> None:
    case = CASES[name]
    tiles = tiles_of(read_picture(FOLDER / case["image"]), ANYRES)
    pixels = normalise(torch.from_numpy(tiles).expand(-1, 3, -1, -1), torch.float32)
    assert tiles.shape[0] == case["n_tiles"]
    assert hashlib.sha256(pixels.contiguous().numpy().tobytes()).hexdigest() == case["pixel_sha256"]


def test_a_grey_picture_in_colour_gives_the_same_tiles_thrice() -> None:
    grey = read_picture(FOLDER / CASES["wide"]["image"])
    assert grey.mode == "L"
    coloured = tiles_of(grey.convert("RGB"), ANYRES)
    assert coloured.shape[1] == 3
    assert (coloured == tiles_of(grey, ANYRES)).all()


@names
@pytest.mark.parametrize("mask", ["assistant", "llava-next"])
def test_token_ids_are_those_of_the_original(name: str, mask: str) -> None:
    case, template = CASES[name], chat(mask)
    encoded = template.encode(turns(case), case["n_image_tokens"])
    ids = encoded.ids.tolist()
    assert len(ids) == case["seq_len"]
    assert collapsed(ids, ids, template.image) == case["input_ids"]


@names
def test_labels_as_published_are_those_of_the_original(name: str) -> None:
    case, template = CASES[name], chat("llava-next")
    encoded = template.encode(turns(case), case["n_image_tokens"])
    assert collapsed(encoded.ids.tolist(), encoded.labels.tolist(), template.image) == case["labels"]


def collapsed(ids: list[int], values: list[int], image: int) -> list[int]:
    """`values` with those of the image positions, a run of equal ones, made one: -200 for the ids, -100 for labels."""
    kept = []
    for number, (token, value) in enumerate(zip(ids, values, strict=True)):
        if token != image:
            kept.append(int(value))
        elif number == 0 or ids[number - 1] != image:
            kept.append(-200 if value == image else int(value))
        else:
            assert value == values[number - 1]
    return kept


def test_the_default_mask_supervises_answers_and_what_ends_them() -> None:
    case = CASES["wide"]
    encoded = chat().encode(turns(case), case["n_image_tokens"])
    runs, run = [], []
    for token, label in zip(encoded.ids.tolist(), encoded.labels.tolist(), strict=True):
        if label == -100:
            runs, run = ([*runs, run] if run else runs), []
        else:
            assert label == token
            run.append(token)
    answers = [turn.text for turn in turns(case)[1::2]]
    end = 422
    assert [each[-1] for each in runs] == [end, end]
    assert [chat()._tokenizer.decode(each[:-1]) for each in runs] == answers


def test_the_golden_picture_of_full_size_is_one() -> None:
    with Image.open(FOLDER / CASES["cxr"]["image"]) as picture:
        assert picture.size == (2544, 3056)
