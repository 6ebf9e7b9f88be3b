"""The arithmetic of the tiling, held to that of transformers."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import LlavaOnevisionConfig, LlavaOnevisionModel
from transformers.image_processing_utils import select_best_resolution
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import LlavaOnevisionImageProcessorPil
from transformers.models.llava_onevision.modeling_llava_onevision import image_size_to_num_patches
from transformers.models.llava_onevision.processing_llava_onevision import LlavaOnevisionProcessor

from finetuning.anyres import Anyres, cap, capped, normalise, tiles_of
from tests.finetuning.golden import FOLDER

ANYRES = Anyres()
PINPOINTS = [list(pair) for pair in ANYRES.pinpoints]

ROUNDED = [(1407, 1809), (1809, 1407), (1872, 1456)]
"""Where the original code, which cuts off, counts other tokens than transformers, which rounds."""


class Arithmetic(LlavaOnevisionProcessor):
    """The processor's counting alone: it cannot be made without torchvision."""

    def __init__(self) -> None:
        self.image_processor = LlavaOnevisionImageProcessorPil()
        self.num_image_tokens, self.vision_aspect_ratio = 27 * 27, "anyres_max_9"


def sizes(count: int, seed: int) -> list[tuple[int, int]]:
    """Random (width, height): everyday ones, tiny ones, and long strips."""
    rng = random.Random(seed)
    kinds = [(300, 4000), (300, 4000), (300, 4000), (1, 500), (1, 12000)]
    return [(rng.randint(*bounds), rng.randint(*bounds)) for bounds in rng.choices(kinds, k=count)]


def test_tiles_and_tokens_of_any_size_are_those_of_the_processor() -> None:
    processor = Arithmetic()
    for width, height in [*sizes(2000, 0), *ROUNDED, (1152, 1384), (1, 12000), (384, 384)]:
        tiling = ANYRES.tiling(width, height)
        assert tiling.tiles == image_size_to_num_patches([height, width], PINPOINTS, 384), (width, height)
        assert tiling.tokens == processor._get_number_of_features(height, width, 384, 384), (width, height)


def test_the_best_of_any_set_of_resolutions_is_that_of_transformers_also_among_equals() -> None:
    rng = random.Random(0)
    for width, height in sizes(500, 2):
        pinpoints = tuple((rng.randint(1, 6) * 56, rng.randint(1, 6) * 56) for _ in range(5))
        pinpoints += tuple((wide, high) for high, wide in pinpoints)
        best = Anyres(56, 4, pinpoints).tiling(min(width, 400), min(height, 400)).best
        assert best == select_best_resolution((min(height, 400), min(width, 400)), list(pinpoints))


@pytest.mark.parametrize("size", [*ROUNDED, (2544, 3056), (333, 471), (3000, 7), (1100, 1344), *sizes(12, 1)])
def test_tokens_are_as_many_as_the_features_that_the_model_packs(size: tuple[int, int]) -> None:
    width, height = size
    config = LlavaOnevisionConfig(
        vision_config={"model_type": "siglip_vision_model", "image_size": 384, "patch_size": 14},
        image_grid_pinpoints=PINPOINTS,
    )
    model = LlavaOnevisionModel.__new__(LlavaOnevisionModel)
    torch.nn.Module.__init__(model)
    model.config = config
    tiling = ANYRES.tiling(width, height)
    features = [torch.zeros(tiling.tiles, 729, 1)]
    _, lengths = model.pack_image_features(features, torch.tensor([[height, width]]), image_newline=torch.zeros(1))
    assert lengths.tolist() == [tiling.tokens]


@pytest.mark.parametrize(
    ("size", "mode"),
    [
        ((2544, 3056), "L"),
        *[(size, mode) for size in [(333, 471), (500, 3), (1, 1), (391, 320), (384, 384)] for mode in ("L", "RGB")],
    ],
)
def test_every_bit_of_the_pixel_values_is_that_of_the_processor(size: tuple[int, int], mode: str) -> None:
    width, height = size
    shape = (height, width) if mode == "L" else (height, width, 3)
    picture = Image.fromarray(np.random.default_rng(width).integers(0, 256, shape, np.uint8))
    processor = LlavaOnevisionImageProcessorPil(image_mean=[0.5] * 3, image_std=[0.5] * 3)
    theirs = processor(picture.convert("RGB"), return_tensors="pt")["pixel_values"][0]
    tiles = torch.from_numpy(tiles_of(picture, ANYRES))
    ours = normalise(tiles.expand(-1, 3, -1, -1), torch.float32)
    assert tiles.shape[1] == (1 if mode == "L" else 3)
    assert ours.dtype == theirs.dtype == torch.float32
    assert torch.equal(ours, theirs)


def test_values_in_half_precision_are_the_rounded_ones() -> None:
    values = torch.arange(256, dtype=torch.uint8)
    exact = normalise(values, torch.float32)
    assert torch.equal(normalise(values, torch.bfloat16), exact.to(torch.bfloat16))
    assert (exact[0], exact[255]) == (-1, 1)


def test_the_longer_side_is_capped_and_the_shape_kept() -> None:
    assert capped(2544, 3056, 1024) == (852, 1024)
    assert capped(3056, 2544, 1024) == (1024, 852)
    assert capped(800, 600, 1024) == (800, 600)
    assert capped(800, 600, None) == (800, 600)
    assert capped(20000, 2, 100) == (100, 1)
    picture = Image.new("L", (300, 100), 7)
    assert cap(picture, None) is picture
    assert cap(picture, 150).size == (150, 50)


def test_a_models_own_tiling_is_read_from_its_configuration() -> None:
    config = {
        "vision_config": {"image_size": 56, "patch_size": 14},
        "image_grid_pinpoints": [[56, 56], [56, 112], [112, 112]],
        "vision_aspect_ratio": "anyres_max_4",
    }
    anyres = Anyres.of_config(config)
    assert anyres == Anyres(56, 4, ((56, 56), (56, 112), (112, 112)), 4)
    assert anyres.tiling(100, 100).tiles == 5
    picture = Image.new("L", (100, 100), 9)
    assert tiles_of(picture, anyres).shape == (5, 1, 56, 56)


def test_the_configuration_of_transformers_is_the_default() -> None:
    config = LlavaOnevisionConfig(
        vision_config={"model_type": "siglip_vision_model", "image_size": 384, "patch_size": 14}
    )
    assert Anyres.of_config(json.loads(config.to_json_string())) == ANYRES
    published = json.loads((FOLDER / "original" / "config.json").read_text())["image_grid_pinpoints"]
    assert [list(pair) for pair in ANYRES.pinpoints] == published


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"vision_aspect_ratio": "pad"}, "vision_aspect_ratio is pad"),
        ({"image_grid_pinpoints": [[384, 400]]}, "multiples"),
        ({"image_grid_pinpoints": []}, "multiples"),
    ],
)
def test_another_way_of_tiling_is_refused(changed: dict[str, object], message: str) -> None:
    config = {"vision_config": {}, "image_grid_pinpoints": [[384, 384]], **changed}
    with pytest.raises(ValueError, match=message):
        Anyres.of_config(config)


def test_a_folder_whose_processor_gives_other_pixel_values_is_refused(tmp_path: Path) -> None:
    config = LlavaOnevisionConfig(
        vision_config={"model_type": "siglip_vision_model", "image_size": 384, "patch_size": 14}
    )
    config.save_pretrained(tmp_path)
    assert Anyres.of_folder(tmp_path) == ANYRES
    LlavaOnevisionImageProcessorPil(image_mean=[0.5] * 3, image_std=[0.5] * 3).save_pretrained(tmp_path)
    assert Anyres.of_folder(tmp_path) == ANYRES
    LlavaOnevisionImageProcessorPil().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"image_mean \[0.48.*LLaVA-OneVision's is \[0.5"):
        Anyres.of_folder(tmp_path)


def test_a_picture_of_no_size_is_refused() -> None:
    with pytest.raises(ValueError, match="0 x 5"):
        ANYRES.tiling(0, 5)
