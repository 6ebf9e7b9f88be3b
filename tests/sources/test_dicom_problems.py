"""Files that cannot be converted end as a problem in words; only an unwritable target is an error."""

import errno
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom.data
import pytest
from pydicom import Dataset, dcmwrite
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import (
    MPEG2MPML,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
)

from radvlm_cli.errors import DataError
from radvlm_cli.sources.dicom import Converted, convert, read_size
from tests.sources.dicom_files import COMPRESSED, dataset_of, slope, write


def damaged(change: Callable[[Dataset], None]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        dataset = dataset_of(slope())
        dataset.preamble = b"\0" * 128
        change(dataset)
        path = folder / "patient123.dicom"
        dcmwrite(path, dataset, implicit_vr=False, little_endian=True, enforce_file_format=False)
        return path

    return make


def cut(syntax: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        noise = np.random.default_rng(0).integers(0, 4096, (72, 100)).astype(np.uint16)
        path = write(folder / "patient123.dicom", dataset_of(noise), syntax)
        path.write_bytes(path.read_bytes()[:-3000])
        return path

    return make


def with_bytes(content: bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / "patient123.dicom"
        path.write_bytes(content)
        return path

    return make


def without(name: str) -> Callable[[Path], Path]:
    return damaged(lambda dataset: delattr(dataset, name))


def setting(**tags: object) -> Callable[[Path], Path]:
    return damaged(lambda dataset: dataset.update(tags))


def no_syntax(dataset: Dataset) -> None:
    del dataset.file_meta.TransferSyntaxUID


def video(dataset: Dataset) -> None:
    dataset.PixelData = encapsulate([b"\0" * 100])
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = MPEG2MPML


HEADER_INTACT = [
    (without("PixelData"), "no PixelData"),
    (damaged(no_syntax), "no TransferSyntaxUID"),
    (damaged(video), "transfer syntax"),
    (setting(NumberOfFrames=2), "several frames"),
    (without("PhotometricInterpretation"), "PhotometricInterpretation"),
    (setting(PhotometricInterpretation="PALETTE COLOR"), "photometric"),
    (setting(SamplesPerPixel=3), "sample"),
    (setting(BitsStored=17), "bit numbers"),
    (setting(BitsStored=0), "bit numbers"),
    (setting(BitsAllocated=24), ""),
    (cut(ExplicitVRLittleEndian), "cut short"),
    (cut(ImplicitVRLittleEndian), "cut short"),
    *((cut(syntax), "") for syntax in COMPRESSED),
]
HEADER_LOST = [
    (with_bytes(b""), "empty"),
    (with_bytes(b"GIF89a" * 100), "not a DICOM file"),
    (with_bytes(b"\0" * 128 + b"DICM"), "no image size"),
    (without("Rows"), "no image size"),
    (lambda folder: folder / "patient123.dicom", "No such file"),
    (lambda folder: folder, "directory"),
    (cut(DeflatedExplicitVRLittleEndian), ""),
]


@pytest.mark.parametrize(("make", "reason"), HEADER_INTACT)
def test_a_bad_file_is_a_problem_and_still_tells_its_resolution(
    tmp_path: Path, make: Callable[[Path], Path], reason: str
) -> None:
    result = convert(make(tmp_path), tmp_path / "target.jpg")
    assert result[:2] == (100, 72)
    assert_problem(result, reason, tmp_path)


@pytest.mark.parametrize(("make", "reason"), HEADER_LOST)
def test_a_file_without_a_readable_header_is_a_problem(
    tmp_path: Path, make: Callable[[Path], Path], reason: str
) -> None:
    path = make(tmp_path)
    result = convert(path, tmp_path / "target.jpg")
    assert result[:2] == (None, None)
    assert_problem(result, reason, tmp_path)
    assert isinstance(read_size(path), str)


@pytest.mark.parametrize(("rows", "columns", "reason"), [(0, 100, "no pixels"), (65535, 65535, "too large")])
def test_absurd_sizes_are_a_problem(tmp_path: Path, rows: int, columns: int, reason: str) -> None:
    result = convert(setting(Rows=rows, Columns=columns)(tmp_path), tmp_path / "target.jpg")
    assert_problem(result, reason, tmp_path)


def test_a_file_that_may_not_be_read_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "/data/patient123.dicom")

    source = write(tmp_path / "patient123.dicom", dataset_of(slope()))
    monkeypatch.setattr("radvlm_cli.sources.dicom.dcmread", refuse)
    result = convert(source, tmp_path / "target.jpg")
    assert_problem(result, "Permission denied", tmp_path)


def assert_problem(result: Converted, reason: str, folder: Path) -> None:
    assert result.problem is not None
    assert reason in result.problem
    assert "patient123" not in result.problem
    assert str(folder) not in result.problem
    assert (result.sha256, result.bytes) == (None, None)
    assert not list(folder.glob("*.jpg*"))


def test_a_codestream_that_ends_early_is_a_problem(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 4096, (200, 200)).astype(np.uint16)
    dataset = dataset_of(noise)
    dataset.compress(JPEG2000Lossless, generate_instance_uid=False)
    frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    dataset.PixelData = encapsulate([frame[: len(frame) // 4]])
    dcmwrite(tmp_path / "a.dicom", dataset, enforce_file_format=True)
    for size in (100, 1000):
        assert convert(tmp_path / "a.dicom", tmp_path / "target.jpg", size=size).problem is not None


@pytest.mark.parametrize("name", ["JPEG2000", "examples_jpeg2k"], ids=["grey", "colour"])
def test_a_codestream_that_claims_to_be_vast_is_refused_before_room_is_made_for_it(tmp_path: Path, name: str) -> None:
    content = bytearray((Path(pydicom.data.__file__).parent / "test_files" / f"{name}.dcm").read_bytes())
    size = content.index(b"\xff\x4f\xff\x51") + 4
    content[size + 5] = 0x57  # 5.7 million columns
    content[size + 40] = 101  # of which one in 101 has a sample
    (tmp_path / "patient123.dicom").write_bytes(content)
    result = convert(tmp_path / "patient123.dicom", tmp_path / "target.jpg")
    assert_problem(result, "not of the size that the header says", tmp_path)


def test_a_full_disk_is_an_error_and_not_a_bad_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.BytesIO):
        def write(self, _data: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    source = write(tmp_path / "a.dicom", dataset_of(slope()))
    monkeypatch.setattr(Path, "open", lambda *_args, **_options: Full())
    with pytest.raises(DataError, match="No space left on device"):
        convert(source, tmp_path / "target.jpg")


@pytest.mark.parametrize("name", ["MR_small_RLE", "SC_rgb_rle", "SC_rgb_jpeg", "SC_rgb_jls_lossy_line", "JPEG2000"])
def test_damaged_frames_of_every_decoder_never_raise(tmp_path: Path, name: str) -> None:
    content = (Path(pydicom.data.__file__).parent / "test_files" / f"{name}.dcm").read_bytes()
    pixels = content.rindex(b"\xe0\x7f\x10\x00")
    rng = np.random.default_rng(5)
    path = tmp_path / "patient123.dicom"
    for _ in range(60):
        damaged = bytearray(content)
        for position in rng.integers(pixels, len(content), 6):
            damaged[position] = rng.integers(256)
        path.write_bytes(damaged)
        result = convert(path, tmp_path / "target.jpg")
        assert (result.problem is None) == (result.sha256 is not None)
