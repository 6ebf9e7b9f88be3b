"""DICOM files in each transfer syntax say what was drawn, to pydicom's decoders."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.encaps import generate_frames

from radvlm_cli.demo.dicom_writer import SYNTAXES, Form, stored_values, write_dicom
from radvlm_cli.demo.jpeg_lossless import encode_lossless
from tests.phantoms import World


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((37, 52), dtype=np.float32)


@pytest.mark.parametrize("syntax", [name for name in SYNTAXES if name != "jpeg-baseline"])
@pytest.mark.parametrize("bits", [12, 14, 16])
@pytest.mark.parametrize("inverted", [False, True])
def test_lossless_syntaxes_give_back_every_value(tmp_path: Path, syntax: str, bits: int, inverted: bool) -> None:
    form = Form(syntax, bits, inverted=inverted)
    write_dicom(tmp_path / "x.dicom", picture(), form, number=7)
    dataset = pydicom.dcmread(tmp_path / "x.dicom")
    assert dataset.file_meta.TransferSyntaxUID == SYNTAXES[syntax]
    assert dataset.PhotometricInterpretation == ("MONOCHROME1" if inverted else "MONOCHROME2")
    assert dataset.BitsStored == bits
    np.testing.assert_array_equal(dataset.pixel_array, stored_values(picture(), form))


def test_jpeg_baseline_gives_back_nearly_every_value(tmp_path: Path) -> None:
    smooth = np.linspace(0, 1, 40 * 48, dtype=np.float32).reshape(40, 48)
    form = Form("jpeg-baseline", 8)
    write_dicom(tmp_path / "x.dicom", smooth, form, number=7)
    values = pydicom.dcmread(tmp_path / "x.dicom").pixel_array
    assert values.dtype == np.uint8
    assert np.abs(values.astype(int) - stored_values(smooth, form)).max() <= 4


def test_signed_values_lie_around_zero_and_the_rescale_lifts_them(tmp_path: Path) -> None:
    write_dicom(tmp_path / "x.dicom", picture(), Form("explicit", 12, signed=True), number=7)
    dataset = pydicom.dcmread(tmp_path / "x.dicom")
    values = dataset.pixel_array
    assert values.dtype == np.int16
    assert values.min() < 0 < values.max()
    assert values.min() + dataset.RescaleIntercept >= 0


def test_inverting_turns_bright_into_small_values() -> None:
    bright = np.ones((2, 2), dtype=np.float32)
    assert stored_values(bright, Form(bits=12, inverted=True)).max() == 0
    assert stored_values(bright, Form(bits=12)).min() == 4095


def test_lossless_encoder_stuffs_bytes_and_takes_extreme_differences() -> None:
    samples = np.array([[0, 65535, 0, 32768], [65535, 0, 1, 65534], [7, 7, 7, 7]], dtype=np.uint16)
    stream = encode_lossless(samples)
    assert stream.startswith(b"\xff\xd8")
    assert stream.endswith(b"\xff\xd9")


def test_lossless_encoder_round_trips_extreme_differences(tmp_path: Path) -> None:
    values = np.array([[0, 65535, 0, 32768], [65535, 0, 1, 65534], [7, 7, 7, 7]], dtype=np.float64)
    form = Form("jpeg-lossless", 16)
    write_dicom(tmp_path / "x.dicom", (values / 65535).astype(np.float32), form, number=1)
    expected = stored_values((values / 65535).astype(np.float32), form)
    np.testing.assert_array_equal(pydicom.dcmread(tmp_path / "x.dicom").pixel_array, expected)


def test_world_has_the_syntaxes_and_forms_that_the_manifest_says(world: World) -> None:
    paths = sorted((world.root / "VinDr-CXR").rglob("*.dicom"))
    facts = world.manifest["sources"]["vindr"]
    assert len(paths) == facts["images"]
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in paths]
    found = [header.file_meta.TransferSyntaxUID for header in headers]
    assert {name: found.count(uid) for name, uid in SYNTAXES.items()} == facts["transfer_syntaxes"]
    assert sum(h.PhotometricInterpretation == "MONOCHROME1" for h in headers) == facts["monochrome1"]
    assert {8, 12, 14, 16} == {h.BitsStored for h in headers}
    assert 1 in {h.PixelRepresentation for h in headers}
    assert any("WindowCenter" not in h for h in headers)
    assert max(h.Rows for h in headers) > 1024
    assert len({h.SOPInstanceUID for h in headers}) == len(headers)


def test_failing_files_lack_their_pixels_in_two_ways(world: World) -> None:
    folder = world.root / "VinDr-CXR/train"
    bare = pydicom.dcmread(folder / f"{world.case('vindr', 'no_pixel_data')}.dicom")
    assert "PixelData" not in bare
    cut = pydicom.dcmread(folder / f"{world.case('vindr', 'truncated')}.dicom", stop_before_pixels=True)
    size = (folder / f"{world.case('vindr', 'truncated')}.dicom").stat().st_size
    assert size < cut.Rows * cut.Columns * 2
    assert set(world.manifest["sources"]["vindr"]["failing"]) == {
        world.case("vindr", "no_pixel_data"),
        world.case("vindr", "truncated"),
    }


def test_compressed_files_hold_one_frame(world: World) -> None:
    dataset = pydicom.dcmread(world.root / f"VinDr-CXR/train/{world.case('vindr', 'jpeg_lossless')}.dicom")
    assert len(list(generate_frames(dataset.PixelData, number_of_frames=1))) == 1
