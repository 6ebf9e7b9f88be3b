from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from radvlm_cli.errors import DataError
from radvlm_cli.records import Image, Outcome, Report
from radvlm_cli.sources import Options
from radvlm_cli.sources.layout import locate
from radvlm_cli.sources.openi import INFO, OpenI

SECTIONS = {"COMPARISON": "None.", "INDICATION": "Cough", "FINDINGS": "Clear\n  lungs.", "IMPRESSION": "Normal chest."}


def _xml(*images: str, mesh: str = "normal", encoding: str = "utf-8", **sections: str) -> bytes:
    abstract = "".join(f'<AbstractText Label="{k}">{v}</AbstractText>' for k, v in {**SECTIONS, **sections}.items())
    parents = "".join(f'<parentImage id="{image}"/>' for image in images)
    text = f"<eCitation><Abstract>{abstract}</Abstract><MeSH><major>{mesh}</major></MeSH>{parents}</eCitation>"
    return f'<?xml version="1.0" encoding="{encoding}"?>{text}'.encode(encoding)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "Open-i" / "ecgen-radiology"
    folder.mkdir(parents=True)
    return folder


def _archive(tmp_path: Path, members: dict[str, bytes]) -> Path:
    path = tmp_path / "Open-i" / "NLMCXR_reports.tgz"
    path.parent.mkdir()
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def _reports(data: Path) -> list[Report | Outcome]:
    return list(OpenI().reports(locate(INFO, data), Options()))


def _images(data: Path, options: Options = Options()) -> list[Image | Outcome]:  # noqa: B008 (immutable)
    return list(OpenI().images(locate(INFO, data), options))


def test_a_report_is_read_in_sections_with_single_spaces(folder: Path, tmp_path: Path) -> None:
    (folder / "7.xml").write_bytes(_xml())
    (report,) = _reports(tmp_path)
    assert isinstance(report, Report)
    assert (report.study_id, report.patient_id, report.split) == ("7", "7", None)
    assert (report.findings, report.impression, report.comparison, report.history) == (
        "Clear lungs.",
        "Normal chest.",
        "None.",
        "Cough",
    )


def test_reports_come_by_number_from_folder_and_archive_alike(folder: Path, tmp_path: Path) -> None:
    members = {f"{number}.xml": _xml(f"CXR{number}_1") for number in (10, 9, 100, 1)}
    for name, content in members.items():
        (folder / name).write_bytes(content)
    other = tmp_path / "other"
    other.mkdir()
    _archive(other, {f"ecgen-radiology/{name}": content for name, content in members.items()})
    assert [report.study_id for report in _reports(tmp_path)] == ["1", "9", "10", "100"]
    assert _reports(other) == _reports(tmp_path)


def test_a_report_without_findings_and_impression_is_kept_and_told(folder: Path, tmp_path: Path) -> None:
    (folder / "1.xml").write_bytes(_xml(FINDINGS="", IMPRESSION=" "))
    outcome, report = _reports(tmp_path)
    assert outcome == Outcome("1", "skipped", "the report has neither findings nor impression")
    assert isinstance(report, Report)
    assert (report.findings, report.impression) == (None, None)


def test_images_named_in_reports_are_found_or_missing(folder: Path, tmp_path: Path) -> None:
    (folder / "1.xml").write_bytes(_xml("CXR1_1_IM-0001-3001", "CXR1_1_IM-0001-4001"))
    pictures = tmp_path / "Open-i" / "NLMCXR_png"
    pictures.mkdir()
    (pictures / "CXR1_1_IM-0001-3001.png").touch()
    first, second = _images(tmp_path)
    assert isinstance(first, Image)
    assert isinstance(second, Image)
    assert (first.status, first.path) == ("present", "Open-i/NLMCXR_png/CXR1_1_IM-0001-3001.png")
    assert (second.status, second.reason) == ("missing", "file not found")
    assert first.labels == '{"No Finding":1}'
    assert _images(tmp_path, Options(tables_only=True))[1].status == "unchecked"


def test_only_a_report_indexed_as_normal_alone_has_a_label(folder: Path, tmp_path: Path) -> None:
    (folder / "1.xml").write_bytes(_xml("a", mesh="Cardiomegaly/mild"))
    (folder / "2.xml").write_bytes(_xml("b", mesh="normal</major><major>Spine/degenerative"))
    assert [image.labels for image in _images(tmp_path)] == [None, None]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not well-formed"),
        (_xml()[:200], "not well-formed"),
        (b"not XML", "not well-formed"),
        (_xml().replace(b"Cough", b"Caf\xe9"), "not well-formed"),
        (_xml().replace(b'"utf-8"', b'"no-such"'), "not well-formed"),
        (b"<html/>", "not an Open-i report"),
        (b'<!DOCTYPE e [<!ENTITY a "b">]><eCitation/>', "declares a document type"),
        (_xml(encoding="utf-16"), "UTF-16"),
        (_xml("../../etc/secret"), "could not be a file name"),
        (_xml("a/b"), "could not be a file name"),
    ],
)
def test_a_damaged_report_fails_and_the_rest_goes_on(folder: Path, tmp_path: Path, content: bytes, reason: str) -> None:
    (folder / "1.xml").write_bytes(content)
    (folder / "2.xml").write_bytes(_xml())
    outcome, report = _reports(tmp_path)
    assert isinstance(outcome, Outcome)
    assert (outcome.item, outcome.status) == ("1.xml", "failed")
    assert reason in outcome.reason
    assert isinstance(report, Report)


def test_a_file_with_another_kind_of_name_fails(folder: Path, tmp_path: Path) -> None:
    for name in ("1.xml", "._1.xml", "copy of 2.xml"):
        (folder / name).write_bytes(_xml())
    assert {outcome.item for outcome in _reports(tmp_path) if isinstance(outcome, Outcome)} == {
        "._1.xml",
        "copy of 2.xml",
    }


def test_a_folder_in_place_of_a_report_fails(folder: Path, tmp_path: Path) -> None:
    (folder / "1.xml").mkdir()
    (folder / "2.xml").write_bytes(_xml())
    assert [type(record) for record in _reports(tmp_path)] == [Outcome, Report]


def test_the_first_of_two_reports_with_one_number_counts(tmp_path: Path) -> None:
    _archive(tmp_path, {"a/1.xml": _xml(), "b/1.xml": _xml(FINDINGS="Other.")})
    report, outcome = _reports(tmp_path)
    assert isinstance(report, Report)
    assert report.findings == "Clear lungs."
    assert outcome == Outcome("b/1.xml", "skipped", "two reports have this number; the first one counts")


def test_a_folder_without_reports_is_a_clear_error(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no Open-i report"):
        _reports(tmp_path)


def test_a_damaged_archive_is_a_clear_error(tmp_path: Path) -> None:
    path = _archive(tmp_path, {f"{n}.xml": _xml(FINDINGS=str(n) * 999) for n in range(1, 99)})
    content = path.read_bytes()
    for damaged in (content[: len(content) // 2], content[:600] + b"\xff\xff\xff" + content[603:], b"", b"x" * 999):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match="cannot be read as a tar archive"):
            _reports(tmp_path)


def test_an_archive_that_is_cut_at_a_member_is_a_clear_error(tmp_path: Path) -> None:
    path = _archive(tmp_path, {"1.xml": _xml(), "2.xml": _xml()})
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[: 512 * 5]))
    with pytest.raises(DataError, match="cannot be read as a tar archive"):
        _reports(tmp_path)
