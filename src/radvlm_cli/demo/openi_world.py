"""Phantom Open-i (Indiana University) collection: reports as XML, and images of some of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape, quoteattr

from radvlm_cli.demo.anatomy import make_chest
from radvlm_cli.demo.chance import generator
from radvlm_cli.demo.findings import KINDS, Finding, choose_findings
from radvlm_cli.demo.parts import Part
from radvlm_cli.demo.pictures import choose_size, save_png
from radvlm_cli.demo.sentences import findings_text, impression_text
from radvlm_cli.demo.tables import write_bytes

_CASES = ("no_image", "no_findings_section", "no_text", "one_image", "images_without_files")


class _Document(NamedTuple):
    """One report with its images."""

    number: int
    case: str
    findings: tuple[Finding, ...]
    views: tuple[str, ...]
    sections: dict[str, str]

    def image_id(self, position: int) -> str:
        return f"CXR{self.number}_IM-{1000 + self.number:04d}-{position + 1}001"

    @property
    def has_files(self) -> bool:
        return self.case != "images_without_files" and self.number % 5 != 0


def write_openi(folder: Path, *, seed: int, patients: int) -> Part:
    """Write `ecgen-radiology/<n>.xml` and, for most, `NLMCXR_png/<image id>.png`."""
    cases = [*_CASES, *[""] * max(patients // 3, 4)]
    documents = [_document(seed, number, case) for number, case in enumerate(cases, 1)]
    present = 0
    for document in documents:
        write_bytes(folder / "ecgen-radiology" / f"{document.number}.xml", _xml(document).encode())
        if document.has_files:
            _draw(folder / "NLMCXR_png", document, seed)
            present += len(document.views)
    images = sum(len(document.views) for document in documents)
    named = ("FINDINGS", "IMPRESSION", "COMPARISON", "INDICATION")
    return Part(
        facts={
            "reports": len(documents),
            "reports_with": {name.lower(): sum(bool(d.sections[name]) for d in documents) for name in named},
            "images": images,
            "images_present": present,
            "images_missing": images - present,
        },
        cases={document.case: str(document.number) for document in documents if document.case},
    )


def _document(seed: int, number: int, case: str) -> _Document:
    rng = generator(seed, "openi", number)
    findings = choose_findings(rng)
    sections = {
        "COMPARISON": "None." if number % 2 else "XXXX, XXXX.",
        "INDICATION": "XXXX-year-old with chest pain",
        "FINDINGS": findings_text(findings),
        "IMPRESSION": impression_text(findings),
    }
    if case == "no_findings_section":
        sections["FINDINGS"] = ""
    if case == "no_text":
        sections = dict.fromkeys(sections, "")
    views: tuple[str, ...] = ("PA", "LATERAL")
    if case in ("no_image", "one_image"):
        views = () if case == "no_image" else ("PA",)
    return _Document(number, case, findings, views, sections)


def _draw(folder: Path, document: _Document, seed: int) -> None:
    for position, view in enumerate(document.views):
        rng = generator(seed, "openi", document.number, position)
        chest = make_chest(generator(seed, "openi", document.number, "body"), rng, choose_size(rng), document.findings)
        save_png(chest, folder / f"{document.image_id(position)}.png", lateral=view == "LATERAL")


def _xml(document: _Document) -> str:
    """The parts of the real schema that say something, in its order."""
    lines = [
        '<?xml version="1.0" encoding="utf-8"?>',
        "<eCitation>",
        '   <meta type="rr"/>',
        f'   <uId id="CXR{document.number}"/>',
        f'   <pmcId id="{document.number}"/>',
        "   <docSource>CXR</docSource>",
        f'   <IUXRId id="{document.number}"/>',
        "   <licenseType>open-access</licenseType>",
        "   <publisher>Phantom University</publisher>",
        "   <title>Phantom Chest X-ray Collection</title>",
        '   <MedlineCitation Owner="Phantom University" Status="supplied by publisher">',
        '      <Article PubModel="Electronic">',
        "         <Abstract>",
        *(f"            {_section(name, text)}" for name, text in document.sections.items()),
        "         </Abstract>",
        "         <Language>eng</Language>",
        "      </Article>",
        "   </MedlineCitation>",
        "   <MeSH>",
        *(f"      <major>{escape(name)}</major>" for name in _headings(document.findings)),
        "   </MeSH>",
    ]
    for position in range(len(document.views)):
        lines += _image(document.image_id(position), position)
    return "\n".join([*lines, "</eCitation>"])


def _section(name: str, text: str) -> str:
    label = f"AbstractText Label={quoteattr(name)}"
    return f"<{label}>{escape(text)}</AbstractText>" if text else f"<{label}/>"


def _headings(findings: Sequence[Finding]) -> list[str]:
    return [KINDS[finding.kind].padchest.capitalize() for finding in findings] or ["normal"]


def _image(image_id: str, position: int) -> list[str]:
    return [
        f"   <parentImage id={quoteattr(image_id)}>",
        f"      <figureId>F{position + 1}</figureId>",
        "      <caption>Xray Chest PA and Lateral</caption>",
        '      <panel type="single">',
        f"         <url>/hadoop/storage/radiology/extract/{image_id}.jpg</url>",
        "         <imgModality>7</imgModality>",
        "      </panel>",
        "   </parentImage>",
    ]
