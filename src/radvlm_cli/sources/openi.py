"""Open-i, the Indiana University collection: 3,955 chest X-ray reports and their images, open to everybody."""

from __future__ import annotations

import gzip
import io
import re
import tarfile
import zlib
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

_NUMBER = re.compile(r"(?:^|/)(\d+)\.xml$")
_IMAGE_ID = re.compile(r"\w[\w.-]*")
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
    seen: set[str] = set()
    for name, content in _read_folder(place) if place.is_dir() else _read_archive(place):
        study = _parse(name, content)
        if isinstance(study, _Study) and study.number in seen:
            yield Outcome(name, "skipped", "two reports have this number; the first one counts")
            continue
        if isinstance(study, _Study):
            seen.add(study.number)
        yield study
    if not seen:
        raise DataError(f"{place} holds no Open-i report.", f"Obtain it again from {INFO.obtain}")


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
    """Members by number; the archive (24 MB) is held at once, for it lists them in no order.

    tarfile takes an archive that is cut short, or damaged after its first member, for one that ends there; so
    what is left must be the zeros of its end.
    """
    try:
        content = gzip.decompress(path.read_bytes())
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            files = {m.name: archive.extractfile(m) for m in archive if m.isfile() and m.name.endswith(".xml")}
            contents = {name: stream.read() for name, stream in files.items() if stream is not None}
            rest = content[archive.offset :]
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise _damaged(path) from error
    if len(rest) < 2 * tarfile.BLOCKSIZE or rest.strip(b"\0"):
        raise _damaged(path)
    for name in sorted(contents, key=_by_number):
        yield name, contents[name]


def _damaged(path: Path) -> DataError:
    return DataError(
        f"{path} cannot be read as a tar archive; it may be cut short.", f"Download it again from {INFO.obtain}"
    )


def _parse(name: str, content: bytes | OSError) -> _Study | Outcome:
    match = _NUMBER.search(name)
    if isinstance(content, OSError):
        return Outcome(name, "failed", f"the file cannot be read: {content.strerror}")
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content or b"\0" in content:
        # Real reports declare no document type (which UTF-16 would hide): it could expand without end.
        return Outcome(name, "failed", "the XML declares a document type or entities, or is UTF-16")
    try:
        root = ElementTree.fromstring(content)
    except (ElementTree.ParseError, LookupError):  # LookupError: an encoding that does not exist
        return Outcome(name, "failed", "the file is not well-formed XML")
    if match is None or root.tag != "eCitation":
        return Outcome(name, "failed", "the file is not an Open-i report")
    sections = {}
    for part in root.iter("AbstractText"):
        label, text = part.get("Label", "").upper(), " ".join("".join(part.itertext()).split())
        if label in _SECTIONS and text:
            sections[label] = text
    images = tuple(image.get("id", "") for image in root.iter("parentImage") if image.get("id"))
    if not all(_IMAGE_ID.fullmatch(image) for image in images):
        return Outcome(name, "failed", "an image id could not be a file name")
    major = [term.text for mesh in root.iter("MeSH") for term in mesh.iter("major")]
    return _Study(match[1], sections, images, major == ["normal"])


def _image_path(layout: Layout, name: str) -> Path:
    for folder in layout.folders:
        for pattern in _IMAGE_NAMES:
            if (path := folder / pattern.format(name)).is_file():
                return path
    return layout.home / _IMAGE_NAMES[0].format(name)
