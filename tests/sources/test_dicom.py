"""DICOM files become the grey JPEG that pydicom's own, slower functions would give; bad ones become a problem."""

import io
import warnings
from pathlib import Path

import numpy as np
import pydicom.data
import pytest
from PIL import Image as Pillow
from pydicom import Dataset, Sequence, dcmread
from pydicom.encaps import get_frame
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
)

from radvlm_cli.sources.dicom import convert, read_size
from radvlm_cli.sources.jpeg2000 import halvings, read_codestream
from radvlm_cli.sources.pixels import output_size
from tests.sources.dicom_files import COMPRESSED, SYNTAXES, dataset_of, slope, write


def converted(source: Path, **options: object) -> np.ndarray:
    target = source.parent / "out" / "target.jpg"
    result = convert(source, target, **{"size": 10_000, **options})
    assert result.problem is None
    with Pillow.open(target) as picture:
        assert (picture.format, picture.mode) == ("JPEG", "L")
        return np.asarray(picture).astype(int)


def by_pydicom(source: Path) -> np.ndarray:
    """The grey levels by pydicom's functions over the whole picture, in floating point."""
    dataset = dcmread(source)
    stored = dataset.pixel_array
    values = apply_modality_lut(stored, dataset).astype(np.float64)
    if "VOILUTSequence" in dataset:
        shown = apply_voi_lut(values.astype(np.int64), dataset) / (
            (1 << dataset.VOILUTSequence[0].LUTDescriptor[2]) - 1
        )
    elif "WindowCenter" in dataset:
        shown = apply_voi_lut(values, dataset)
        whole = (1 << dataset.BitsStored) - 1
        low = -(1 << (dataset.BitsStored - 1)) if dataset.PixelRepresentation else 0
        rescale = dataset.get("RescaleSlope", 1), dataset.get("RescaleIntercept", 0)
        shown = (shown - (low * rescale[0] + rescale[1])) / (whole * rescale[0])
    else:
        shown = (values - values.min()) / (values.max() - values.min())
    return 255 * (1 - shown if dataset.PhotometricInterpretation == "MONOCHROME1" else shown)


def assert_agrees(source: Path) -> None:
    apart = np.abs(converted(source) - by_pydicom(source))
    assert apart.max() <= 4, "2 grey levels and as much again for the JPEG"
    assert apart.mean() <= 1


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("polarity", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize(("bits", "signed"), [(12, False), (14, False), (16, False), (12, True), (16, True)])
def test_every_syntax_gives_the_grey_levels_that_pydicom_gives(
    tmp_path: Path, syntax: str, polarity: str, bits: int, signed: bool
) -> None:
    dataset = dataset_of(slope(bits, signed=signed), bits, PhotometricInterpretation=polarity)
    assert_agrees(write(tmp_path / "a.dicom", dataset, syntax))


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, *COMPRESSED])
def test_eight_bit_files_are_converted(tmp_path: Path, syntax: str) -> None:
    assert_agrees(write(tmp_path / "a.dicom", dataset_of(slope(8), 8), syntax))


@pytest.mark.parametrize("function", [None, "LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("signed", [False, True])
def test_the_first_window_is_applied_after_the_rescale(tmp_path: Path, function: str | None, signed: bool) -> None:
    tags: dict[str, object] = {
        "RescaleSlope": 0.5,
        "RescaleIntercept": -100,
        "WindowCenter": [0 if signed else 900, 1],
        "WindowWidth": [800, 2],
    }
    if function:
        tags["VOILUTFunction"] = function
    source = write(tmp_path / "a.dicom", dataset_of(slope(12, signed=signed), **tags))
    assert_agrees(source)
    grey = converted(source)
    assert grey.min() <= 8
    assert grey.max() >= 247


@pytest.mark.parametrize("polarity", ["MONOCHROME1", "MONOCHROME2"])
def test_a_voi_lut_goes_before_a_window(tmp_path: Path, polarity: str) -> None:
    item = Dataset()
    item.LUTDescriptor = [3000, 500, 10]
    item.LUTData = [round(1023 * (entry / 2999) ** 2) for entry in range(3000)]
    item["LUTDescriptor"].VR = item["LUTData"].VR = "US"
    dataset = dataset_of(
        slope(), PhotometricInterpretation=polarity, VOILUTSequence=Sequence([item]), WindowCenter=10, WindowWidth=5
    )
    assert_agrees(write(tmp_path / "a.dicom", dataset))


def test_a_modality_lut_is_applied(tmp_path: Path) -> None:
    item = Dataset()
    item.LUTDescriptor, item.ModalityLUTType = [4096, 0, 16], "US"
    item.LUTData = [round(entry**2 / 4095) for entry in range(4096)]
    item["LUTDescriptor"].VR = item["LUTData"].VR = "US"
    assert_agrees(write(tmp_path / "a.dicom", dataset_of(slope(), ModalityLUTSequence=Sequence([item]))))


@pytest.mark.parametrize("signed", [False, True])
def test_junk_above_the_stored_bits_is_ignored(tmp_path: Path, signed: bool) -> None:
    values = slope(12, signed=signed)
    junk = np.random.default_rng(0).integers(0, 16, values.shape).astype(np.uint16) << 12
    dirty = ((values.view(np.uint16) & 0x0FFF) | junk).view(values.dtype)
    clean = converted(write(tmp_path / "clean.dicom", dataset_of(values)))
    np.testing.assert_array_equal(converted(write(tmp_path / "dirty.dicom", dataset_of(dirty))), clean)


def test_pixel_padding_does_not_take_part_in_the_stretch(tmp_path: Path) -> None:
    values = slope(10) + 1000
    values[:, :16] = 0
    grey = converted(write(tmp_path / "a.dicom", dataset_of(values, PixelPaddingValue=0)))
    assert grey[:, :12].max() <= 4
    assert np.abs(grey[:, 20:] - (values[:, 20:] - values[:, 16:].min()) / np.ptp(values[:, 16:]) * 255).max() <= 4


@pytest.mark.parametrize("width", [0, -5, 0.5])
def test_a_window_without_a_width_counts_as_none(tmp_path: Path, width: float) -> None:
    grey = converted(write(tmp_path / "a.dicom", dataset_of(slope(), WindowCenter=100, WindowWidth=width)))
    assert grey.min() <= 3
    assert grey.max() >= 252


def test_a_constant_picture_without_a_window_is_mid_grey(tmp_path: Path) -> None:
    grey = converted(write(tmp_path / "a.dicom", dataset_of(np.full((40, 40), 700, np.uint16))))
    assert set(np.unique(grey)) == {128}


@pytest.mark.parametrize("bits", [8, 16])
def test_colour_becomes_luminance(tmp_path: Path, bits: int) -> None:
    pixels = np.zeros((40, 40, 3), np.uint8 if bits == 8 else np.uint16)
    pixels[..., 1] = (1 << bits) - 1
    dataset = dataset_of(pixels, bits, PhotometricInterpretation="RGB", SamplesPerPixel=3, PlanarConfiguration=0)
    grey = converted(write(tmp_path / "a.dicom", dataset))
    assert np.abs(grey - 150).max() <= 2, "green alone is 0.587 of white"


@pytest.mark.parametrize(
    ("stored", "size", "square", "expected"),
    [
        ((2500, 3000), 1024, False, (853, 1024)),
        ((3000, 2500), 1024, False, (1024, 853)),
        ((300, 200), 1024, False, (300, 200)),
        ((300, 200), 512, True, (512, 512)),
        ((30_000, 3), 512, False, (512, 1)),
    ],
)
def test_output_keeps_the_aspect_ratio_and_is_never_enlarged_unless_square(
    stored: tuple[int, int], size: int, square: bool, expected: tuple[int, int]
) -> None:
    assert output_size(*stored, size=size, square=square) == expected


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, JPEG2000Lossless])
@pytest.mark.parametrize("square", [False, True])
def test_the_file_has_the_size_asked_for_and_the_result_tells_the_true_one(
    tmp_path: Path, syntax: str, square: bool
) -> None:
    source = write(tmp_path / "a.dicom", dataset_of(slope(rows=403, columns=297)), syntax)
    target = tmp_path / "deep" / "b.jpg"
    result = convert(source, target, size=100, square=square)
    assert result[:2] == (297, 403)
    assert result.problem is None
    assert result.bytes == target.stat().st_size
    with Pillow.open(target) as picture:
        assert picture.size == ((100, 100) if square else (74, 100))
    assert read_size(source) == (297, 403)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("shape", [(400, 296), (403, 297), (257, 301)])
def test_jpeg_2000_at_a_reduced_size_looks_like_the_full_picture(
    tmp_path: Path, signed: bool, bits: int, shape: tuple[int, int]
) -> None:
    values = slope(bits, signed=signed, rows=shape[0], columns=shape[1])
    if signed and bits == 8:
        values = values.astype(np.int8)
    centre = 0 if signed else 1 << (bits - 1)
    tags = {"WindowCenter": centre, "WindowWidth": 1 << bits}
    full = converted(write(tmp_path / "full.dicom", dataset_of(values, bits, **tags)), size=90)
    source = write(tmp_path / "j2k.dicom", dataset_of(values, bits, **tags), JPEG2000Lossless)
    assert np.abs(converted(source, size=90) - full).max() <= 4
    stream = read_codestream(get_frame(dcmread(source).PixelData, 0, number_of_frames=1))
    assert stream is not None
    assert halvings(stream, (60, 60)) == 2


def test_jpeg_2000_whose_sign_the_header_contradicts_is_decoded_in_full(tmp_path: Path) -> None:
    path = Path(pydicom.data.__file__).parent / "test_files" / "J2K_pixelrep_mismatch.dcm"
    assert convert(path, tmp_path / "target.jpg", size=128).problem is None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shown = Pillow.fromarray(by_pydicom(path).round().astype(np.uint8))
    with Pillow.open(tmp_path / "target.jpg") as picture:
        grey = np.asarray(picture).astype(int)
    assert np.abs(grey - np.asarray(shown.resize((128, 128), Pillow.Resampling.HAMMING))).mean() < 1.5


def test_no_file_that_ships_with_pydicom_raises_and_most_grey_ones_are_converted(tmp_path: Path) -> None:
    folder = Path(pydicom.data.__file__).parent
    results = [convert(path, tmp_path / "target.jpg") for path in sorted(folder.rglob("*.dcm"))]
    assert sum(result.problem is None for result in results) > 60
    assert all(result.width for result in results if result.problem is None)


@pytest.mark.parametrize(
    "name",
    [
        "693_J2KI",
        "CT_small",
        "JPEG2000",
        "JPEGLSNearLossless_16",
        "MR_small_bigendian",
        "MR_small_RLE",
        "examples_overlay",
        "image_dfl",
        "liver_1frame",
        "rtdose_1frame",
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_grey_files_that_ship_with_pydicom_have_the_grey_levels_that_it_gives(tmp_path: Path, name: str) -> None:
    shipped = Path(pydicom.data.__file__).parent / "test_files" / f"{name}.dcm"
    source = tmp_path / "a.dicom"
    source.write_bytes(shipped.read_bytes())
    expected = io.BytesIO()
    Pillow.fromarray(by_pydicom(source).round().clip(0, 255).astype(np.uint8)).save(expected, "JPEG", quality=95)
    assert np.abs(converted(source) - np.asarray(Pillow.open(expected)).astype(int)).max() <= 2
