"""Small copies of images."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from radvlm_cli.reporting.page.pictures import MOST, SIDE, small_picture


def test_a_smooth_film_keeps_its_shape_and_is_grey(tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(0, 255, 1000, dtype=np.uint8), (2000, 1))
    Image.fromarray(ramp).convert("RGB").save(tmp_path / "a.png")
    picture = small_picture(tmp_path / "a.png", "a")
    assert (picture.width, picture.height) == (256, SIDE)
    with Image.open(io.BytesIO(picture.jpeg)) as image:
        assert (image.mode, image.size, image.format) == ("L", (256, SIDE), "JPEG")
        assert abs(int(image.getpixel((128, 256))) - 127) < 6  # type: ignore[arg-type]


def test_a_noisy_film_is_no_larger_than_a_page_of_64_can_hold(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (900, 1100), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    assert len(small_picture(tmp_path / "a.png", "a").jpeg) <= MOST
    assert 64 * MOST * 4 / 3 < 2.5e6


def test_what_is_no_image_is_refused_as_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8 nothing")
    with pytest.raises(OSError):  # noqa: PT011 - whatever Pillow says of it
        small_picture(tmp_path / "a.jpg", "a")
