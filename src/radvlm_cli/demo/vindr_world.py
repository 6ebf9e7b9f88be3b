"""Phantom VinDr-CXR: DICOM files in several transfer syntaxes, boxes by three readers each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from radvlm_cli.demo.anatomy import Chest, make_chest
from radvlm_cli.demo.chance import generator, hex_digits
from radvlm_cli.demo.dicom_writer import Form, write_dicom
from radvlm_cli.demo.drawing import draw
from radvlm_cli.demo.findings import KINDS, Finding, choose_findings
from radvlm_cli.demo.lesions import boxes
from radvlm_cli.demo.parts import Entry, Part
from radvlm_cli.demo.pictures import choose_size
from radvlm_cli.demo.tables import write_table
from radvlm_cli.records import Box

_LOCAL = (
    "Aortic enlargement",
    "Atelectasis",
    "Calcification",
    "Cardiomegaly",
    "Clavicle fracture",
    "Consolidation",
    "Edema",
    "Emphysema",
    "Enlarged PA",
    "ILD",
    "Infiltration",
    "Lung Opacity",
    "Lung cavity",
    "Lung cyst",
    "Mediastinal shift",
    "Nodule/Mass",
    "Pleural effusion",
    "Pleural thickening",
    "Pneumothorax",
    "Pulmonary fibrosis",
    "Rib fracture",
    "Other lesion",
)
_GLOBAL = ("COPD", "Lung tumor", "Pneumonia", "Tuberculosis")
_NO_FINDING = "No finding"
_CORNERS = ("x_min", "y_min", "x_max", "y_max")


class _Case(NamedTuple):
    """One image made for an edge case, in pixels or in annotations."""

    name: str
    form: Form
    findings: tuple[Finding, ...] | None = None
    """None: by chance."""
    size: tuple[int, int] | None = None
    damage: str | None = None


_EFFUSIONS = Finding("effusion", ("right", "left"), "large", texture=1)
_NODULE = Finding("nodule", ("left",), "large", "upper", texture=2)
_HEART = Finding("cardiomegaly", size="moderate", texture=3)

_CASES = (
    _Case("explicit", Form("explicit", 12), findings=()),
    _Case("monochrome1", Form("explicit", 14, inverted=True), findings=(_HEART,)),
    _Case("disjoint_boxes", Form("implicit", 12), findings=(_EFFUSIONS,)),
    _Case("mixed_no_finding", Form("implicit", 14, inverted=True), findings=(_NODULE,)),
    _Case("other_lesion", Form("deflated", 14), findings=(_NODULE, _HEART)),
    _Case("jpeg2000", Form("jpeg2000", 12)),
    _Case("jpeg2000_monochrome1", Form("jpeg2000", 14, inverted=True)),
    _Case("jpegls", Form("jpegls", 12)),
    _Case("jpeg_lossless", Form("jpeg-lossless", 14)),
    _Case("jpeg_baseline", Form("jpeg-baseline", 8)),
    _Case("rle_16_bits", Form("rle", 16)),
    _Case("int16", Form("explicit", 12, signed=True)),
    _Case("no_window", Form("explicit", 12, windowed=False)),
    _Case("large_jpeg2000", Form("jpeg2000", 12), size=(1240, 1500)),
    _Case("no_pixel_data", Form("explicit", 12), findings=(_HEART,), damage="no PixelData element"),
    _Case("truncated", Form("explicit", 12), findings=(_HEART,), damage="file cut short"),
)
_ORDINARY_FORMS = (
    Form("explicit", 12),
    Form("jpeg2000", 12),
    Form("explicit", 14, inverted=True),
    Form("jpegls", 12),
    Form("jpeg2000", 14, inverted=True),
)


class _Mark(NamedTuple):
    """One row of an annotation table: a box, or the absence of any."""

    reader: str
    name: str
    box: Box | None


class _Scan(NamedTuple):
    """One image with its annotations."""

    image_id: str
    split: str
    number: int
    case: _Case
    chest: Chest
    marks: tuple[_Mark, ...]

    @property
    def classes(self) -> list[str]:
        """The classes with a box, each once."""
        return list(dict.fromkeys(mark.name for mark in self.marks if mark.box is not None))

    def entry(self) -> Entry:
        return Entry("vindr", None, None, self.image_id, self.case.damage is None)


def write_vindr(folder: Path, *, seed: int, patients: int, published: bool) -> Part:
    """Write DICOM files and tables; the tables lie in `annotations/`, or (`published`) in the root."""
    cases = [*_CASES, *(_ordinary(number) for number in range(patients))]
    tests = [_ordinary(number) for number in range(6 + patients // 4)]
    train = [_scan(seed, "train", number, case) for number, case in enumerate(cases)]
    test = [_scan(seed, "test", number, case) for number, case in enumerate(tests)]
    for scan in train + test:
        _write_scan(folder, scan)
    tables = folder if published else folder / "annotations"
    _write_annotations(tables, train, test)
    _write_image_labels(tables, train, test)
    return _part(train, test)


def _ordinary(number: int) -> _Case:
    return _Case("", _ORDINARY_FORMS[number % len(_ORDINARY_FORMS)])


def _scan(seed: int, split: str, number: int, case: _Case) -> _Scan:
    name = ("vindr", split, number)
    rng = generator(seed, *name)
    findings = choose_findings(rng) if case.findings is None else case.findings
    if case.findings is None and rng.random() < 0.25:
        findings = (*findings, Finding("aorta"))
    chest = make_chest(rng, rng, case.size or choose_size(rng), findings)
    marks = _consensus(chest) if split == "test" else _readings(chest, case, seed, name)
    return _Scan(hex_digits(32, seed, *name), split, number, case, chest, tuple(marks))


def _consensus(chest: Chest) -> list[_Mark]:
    """What five readers agreed on: the truth."""
    marks = [_Mark("", name, box) for name, box in _located(chest)]
    return marks or [_Mark("", _NO_FINDING, None)]


def _located(chest: Chest) -> list[tuple[str, Box]]:
    named = [(KINDS[finding.kind].vindr, finding) for finding in chest.findings]
    return [(name, box) for name, finding in named if name is not None for box in boxes(chest, finding)]


def _readings(chest: Chest, case: _Case, seed: int, scan: Sequence[object]) -> list[_Mark]:
    """What three readers said, each for himself: boxes that nearly agree, and now and then something overlooked."""
    truth = _located(chest)
    rng = generator(seed, *scan, "readers")
    readers = [f"R{number}" for number in sorted(rng.choice(17, size=3, replace=False) + 1)]
    marks: list[_Mark] = []
    for position, reader in enumerate(readers):
        # The first reader sees everything, so that no finding is lost.
        seen = [(name, box) for name, box in truth if position == 0 or rng.random() < 0.75]
        if case.name == "mixed_no_finding":
            seen = truth if position < 2 else []
        for name, box in seen:
            if case.name == "other_lesion" and position == 2 and name == "Nodule/Mass":
                name = "Other lesion"
            marks.append(_Mark(reader, name, _jittered(box, rng.uniform(-0.012, 0.012, size=4).tolist())))
        if not seen:
            marks.append(_Mark(reader, _NO_FINDING, None))
    if case.name == "other_lesion":
        marks.append(_Mark(readers[2], "Other lesion", _jittered(truth[0][1], [0.01, 0.01, 0.01, 0.01])))
    return marks


def _jittered(box: Box, shifts: Sequence[float]) -> Box:
    return Box(*(min(max(corner + shift, 0.0), 1.0) for corner, shift in zip(box, shifts, strict=True)))


def _write_scan(folder: Path, scan: _Scan) -> None:
    path = folder / scan.split / f"{scan.image_id}.dicom"
    number = scan.number + (0 if scan.split == "train" else 100_000)
    write_dicom(path, draw(scan.chest), scan.case.form, number=number, pixels=scan.case.name != "no_pixel_data")
    if scan.case.name == "truncated":
        content = path.read_bytes()
        path.write_bytes(content[: len(content) * 2 // 5])


def _write_annotations(folder: Path, train: Sequence[_Scan], test: Sequence[_Scan]) -> None:
    train_rows = [(s.image_id, m.reader, m.name, *_pixels(s, m.box)) for s in train for m in s.marks]
    test_rows = [(s.image_id, m.name, *_pixels(s, m.box)) for s in test for m in s.marks]
    write_table(folder / "annotations_train.csv", ("image_id", "rad_id", "class_name", *_CORNERS), train_rows)
    write_table(folder / "annotations_test.csv", ("image_id", "class_name", *_CORNERS), test_rows)


def _pixels(scan: _Scan, box: Box | None) -> tuple[float | None, ...]:
    if box is None:
        return (None,) * 4
    sizes = (scan.chest.width, scan.chest.height) * 2
    return tuple(float(round(corner * size)) for corner, size in zip(box, sizes, strict=True))


def _write_image_labels(folder: Path, train: Sequence[_Scan], test: Sequence[_Scan]) -> None:
    train_names = (*_LOCAL, *_GLOBAL, "Other diseases", _NO_FINDING)
    rows: list[tuple[Any, ...]] = []
    for scan in train:
        for reader in sorted({mark.reader for mark in scan.marks}):
            present = {mark.name for mark in scan.marks if mark.reader == reader}
            rows.append((scan.image_id, reader, *_ticks(present, train_names)))
    write_table(folder / "image_labels_train.csv", ("image_id", "rad_id", *train_names), rows)
    test_names = (*_LOCAL, *_GLOBAL, "Other disease", _NO_FINDING)
    test_rows = [(scan.image_id, *_ticks({mark.name for mark in scan.marks}, test_names)) for scan in test]
    write_table(folder / "image_labels_test.csv", ("image_id", *test_names), test_rows)


def _ticks(present: set[str], names: Sequence[str]) -> list[int]:
    """1 for what is present; consolidation brings pneumonia, an enlarged heart some other disease."""
    implied = {"Consolidation": {"Pneumonia"}, "Cardiomegaly": {"Other diseases", "Other disease"}}
    everything = present | {name for cause, names in implied.items() if cause in present for name in names}
    return [int(name in everything) for name in names]


def _part(train: Sequence[_Scan], test: Sequence[_Scan]) -> Part:
    failing = {scan.image_id: scan.case.damage for scan in train if scan.case.damage is not None}
    return Part(
        facts={
            "images": len(train) + len(test),
            "images_by_split": {"test": len(test), "train": len(train)},
            "images_failing": len(failing),
            "failing": failing,
            "transfer_syntaxes": dict(sorted(Counter(scan.case.form.syntax for scan in [*train, *test]).items())),
            "monochrome1": sum(scan.case.form.inverted for scan in [*train, *test]),
            "groundings": {"abnormality": sum(len(scan.classes) for scan in [*train, *test])},
            "groundings_of_failing_images": sum(len(scan.classes) for scan in train if scan.case.damage is not None),
            "boxes_by_readers": sum(mark.box is not None for scan in train for mark in scan.marks),
            "boxes_dropped": {},
        },
        components={
            "vindr-abnormality": [scan.entry() for scan in train for _ in scan.classes],
            "vindr-detection": [scan.entry() for scan in train],
        },
        evaluation={
            "vindr-abnormality-test": [scan.entry() for scan in test for _ in scan.classes],
            "vindr-detection-test": [scan.entry() for scan in test],
        },
        cases={scan.case.name: scan.image_id for scan in train if scan.case.name},
    )
