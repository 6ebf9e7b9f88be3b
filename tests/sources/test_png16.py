"""16-bit PNG files are windowed by percentile; 8-bit ones are shown as they are."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from radvlm_cli.sources.dicom import convert


def grey_of(folder: Path, pixels: np.ndarray, **options: int) -> np.ndarray:
    Pillow.fromarray(pixels).save(folder / "a.png")
    result = convert(folder / "a.png", folder / "a.jpg", **options)
    assert result.problem is None
    assert (result.width, result.height) == pixels.shape[1::-1]
    with Pillow.open(folder / "a.jpg") as picture:
        assert picture.mode == "L"
        return np.asarray(picture).astype(int)


def test_twelve_bits_in_sixteen_fill_the_grey_levels(tmp_path: Path) -> None:
    pixels = np.tile(np.linspace(300, 3700, 400).astype(np.uint16), (60, 1))
    grey = grey_of(tmp_path, pixels)
    low, high = np.percentile(pixels, [0.5, 99.5])
    assert np.abs(grey - np.clip((pixels - low) / (high - low), 0, 1) * 255).max() <= 4


def test_a_few_extreme_pixels_do_not_flatten_the_rest(tmp_path: Path) -> None:
    pixels = np.tile(np.linspace(300, 3700, 400).astype(np.uint16), (60, 1))
    pixels[0, :8] = 65535
    grey = grey_of(tmp_path, pixels)
    assert np.abs(grey[30] - np.linspace(0, 255, 400)).max() <= 6


def test_a_constant_picture_becomes_mid_grey(tmp_path: Path) -> None:
    assert set(np.unique(grey_of(tmp_path, np.full((50, 40), 900, np.uint16)))) == {128}


def test_a_mostly_constant_picture_is_stretched_between_its_extremes(tmp_path: Path) -> None:
    pixels = np.full((200, 200), 500, np.uint16)
    pixels[:8, :8], pixels[-8:, -8:] = 100, 900
    grey = grey_of(tmp_path, pixels)
    assert np.abs(grey[[2, 100, -3], [2, 100, -3]] - [0, 128, 255]).max() <= 4


@pytest.mark.parametrize("channels", [1, 3])
def test_eight_bits_pass_through_unwindowed(tmp_path: Path, channels: int) -> None:
    row = np.linspace(60, 140, 200).astype(np.uint8)
    pixels = np.tile(row, (50, 1)) if channels == 1 else np.tile(row[:, None], (50, 1, 3))
    assert np.abs(grey_of(tmp_path, pixels) - row).max() <= 3


def test_the_longest_side_is_the_size_asked_for(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 4096, (300, 200)).astype(np.uint16)
    assert grey_of(tmp_path, pixels, size=150).shape == (150, 100)
    assert grey_of(tmp_path, pixels, size=64, square=True).shape == (64, 64)


def test_a_cut_file_is_a_problem_and_tells_its_resolution(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 4096, (300, 200)).astype(np.uint16)
    Pillow.fromarray(pixels).save(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:20_000])
    result = convert(tmp_path / "a.png", tmp_path / "a.jpg")
    assert result[:2] == (200, 300)
    assert result.problem == "the PNG data is damaged or cut short"
    assert not (tmp_path / "a.jpg").exists()


@pytest.mark.parametrize("content", [b"", b"not a picture"])
def test_a_file_that_is_no_png_is_a_problem(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)
    assert convert(tmp_path / "a.png", tmp_path / "a.jpg") == (None, None, None, None, "not a PNG file")


def test_an_absent_file_is_a_problem(tmp_path: Path) -> None:
    result = convert(tmp_path / "a.png", tmp_path / "a.jpg")
    assert result.problem == "the file cannot be read: No such file or directory"
