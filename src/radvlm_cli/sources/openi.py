"""Open-i, the Indiana University collection: 3,955 chest X-ray reports and their images, open to everybody."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from radvlm_cli.errors import DataError
from radvlm_cli.hashing import canonical_json
from radvlm_cli.labels import NO_FINDING
from radvlm_cli.records import Image, Outcome, Report
from radvlm_cli.sources import Options, Source
from radvlm_cli.sources.layout import Info, Layout, Requirement
from radvlm_cli.sources.presence import presence

_NUMBER = re.compile(r"(\d+)\.xml")
_SECTIONS = ("FINDINGS", "IMPRESSION", "COMPARISON", "INDICATION")
_IMAGE_NAMES = ("NLMCXR_png/{}.png", "images/{}.png", "NLMCXR_png/{}.jpg", "images/{}.jpg", "{}.png")

INFO = Info(
    name="openi",
    title="Open-i (Indiana University)",
    folders=("NLMCXR", "Open-i", "openi", "OpenI", "IU-Xray", "iu_xray", "indiana"),
    obtain="https://openi.nlm.nih.gov/faq (NLMCXR_reports.tgz, NLMCXR_png.tgz)",
    licence="CC BY-NC-ND 4.0",
    credentialed=False,
    requirements=(
        Requirement(
            "reports", ("ecgen-radiology", "NLMCXR_reports/ecgen-radiology", "NLMCXR_reports.tgz"), "report XML files"
        ),
        Requirement("images", ("NLMCXR_png", "images"), "image files", needed=False),
    ),
)


class _Study(NamedTuple):
    number: str
    sections: dict[str, str]
    images: tuple[str, ...]
    normal: bool


class OpenI(Source):
    """Reports in sections, and the images that they name."""

    info = INFO

    def images(self, layout: Layout, options: Options) -> Iterator[Image | Outcome]:
        """The images named in the reports. Which of them is frontal is not told: the view is unknown."""
        layout.require()
        for study in _studies(layout):
            if isinstance(study, Outcome):
                continue  # told among the reports
            for name in study.images:
                path = _image_path(layout, name)
                status, reason = presence(path, options)
                yield Image(
                    source="openi",
                    image_id=name,
                    patient_id=study.number,
                    study_id=study.number,
                    split=None,
                    view=None,
                    root="data",
                    path=layout.relative(path),
                    width=None,
                    height=None,
                    sex=None,
                    age=None,
                    labels=canonical_json({NO_FINDING: 1}) if study.normal else None,
                    status=status,
                    reason=reason,
                )

    def reports(self, layout: Layout, options: Options) -> Iterator[Report | Outcome]:
        """Every report, by number."""
        layout.require()
        for study in _studies(layout):
            if isinstance(study, Outcome):
                yield study
                continue
            sections = study.sections
            if not sections.get("FINDINGS") and not sections.get("IMPRESSION"):
                yield Outcome(study.number, "skipped", "the report has neither findings nor impression")
            yield Report(
                source="openi",
                study_id=study.number,
                patient_id=study.number,
                split=None,
                language="en",
                findings=sections.get("FINDINGS"),
                impression=sections.get("IMPRESSION"),
                last_paragraph=None,
                comparison=sections.get("COMPARISON"),
                history=sections.get("INDICATION"),
                text=None,
                origin="published",
            )


def _studies(layout: Layout) -> Iterator[_Study | Outcome]:
    place = layout.path("reports")
    for name, content in _read_folder(place) if place.is_dir() else _read_archive(place):
        yield _parse(name, content)


def _by_number(name: str) -> tuple[int, str]:
    match = _NUMBER.search(name)
    return (int(match[1]) if match else 0, name)


def _read_folder(folder: Path) -> Iterator[tuple[str, bytes | OSError]]:
    for path in sorted(folder.glob("*.xml"), key=lambda path: _by_number(path.name)):
        try:
            yield path.name, path.read_bytes()
        except OSError as error:
            yield path.name, error


def _read_archive(path: Path) -> Iterator[tuple[str, bytes | OSError]]:
    """Members by number; 3,955 small files are held at once (14 MB), for the archive lists them in no order."""
    try:
        with tarfile.open(path) as archive:
            files = {m.name: archive.extractfile(m) for m in archive if m.isfile() and m.name.endswith(".xml")}
            contents = {name: stream.read() for name, stream in files.items() if stream is not None}
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DataError(
            f"{path} cannot be read as a tar archive; it may be cut short.", f"Download it again from {INFO.obtain}"
        ) from error
    for name in sorted(contents, key=_by_number):
        yield name, contents[name]


def _parse(name: str, content: bytes | OSError) -> _Study | Outcome:
    match = _NUMBER.search(name)
    if isinstance(content, OSError):
        return Outcome(name, "failed", f"the file cannot be read: {content.strerror}")
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        # Real reports declare no document type; one could name files of this machine or expand without end.
        return Outcome(name, "failed", "the XML declares a document type or entities")
    try:
        root = ElementTree.fromstring(content)
    except ElementTree.ParseError:
        return Outcome(name, "failed", "the file is not well-formed XML")
    if match is None or root.tag != "eCitation":
        return Outcome(name, "failed", "the file is not an Open-i report")
    sections = {}
    for part in root.iter("AbstractText"):
        label, text = part.get("Label", "").upper(), " ".join("".join(part.itertext()).split())
        if label in _SECTIONS and text:
            sections[label] = text
    images = tuple(image.get("id", "") for image in root.iter("parentImage") if image.get("id"))
    major = [term.text for mesh in root.iter("MeSH") for term in mesh.iter("major")]
    return _Study(match[1], sections, images, major == ["normal"])


def _image_path(layout: Layout, name: str) -> Path:
    for folder in layout.folders:
        for pattern in _IMAGE_NAMES:
            if (path := folder / pattern.format(name)).is_file():
                return path
    return layout.home / _IMAGE_NAMES[0].format(name)
