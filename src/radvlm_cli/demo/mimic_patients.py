"""The patients of phantom MIMIC-CXR: whom there is, what they have, and which edge case each of them shows.

Chest ImaGenome and MS-CXR describe the same images, so they start from these patients too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np

from radvlm_cli.demo.anatomy import Chest, make_chest
from radvlm_cli.demo.chance import generator, hex_digits
from radvlm_cli.demo.findings import Finding, chexpert_labels, choose_findings
from radvlm_cli.demo.mimic_reports import CUSTOM_EMPTY, CUSTOM_SECTION, MimicReport, write_report
from radvlm_cli.demo.parts import Entry
from radvlm_cli.demo.pictures import choose_size

MimicSplit = Literal["train", "validate", "test"]


class Picture(NamedTuple):
    """One image of a study."""

    dicom_id: str
    view: str | None
    chest: Chest
    present: bool
    """Whether its JPEG is written."""

    @property
    def frontal(self) -> bool:
        """As the published selection has it: by the raw view position."""
        return self.view in ("PA", "AP")


class Study(NamedTuple):
    """One study with its report."""

    subject_id: int
    study_id: int
    case: str
    """The edge case that it shows; blank for an ordinary study."""
    split: MimicSplit
    woman: bool
    moment: tuple[int, float]
    """Date as yyyymmdd and time as hhmmss, which loses its leading zero."""
    findings: tuple[Finding, ...]
    labels: dict[str, float] | None
    """None: no row in the label table."""
    report: MimicReport
    filtered: bool
    """Whether a curated text is adopted."""
    pictures: tuple[Picture, ...]

    @property
    def folder(self) -> str:
        """`files/p10/p1.../s5...`."""
        return f"files/p{str(self.subject_id)[:2]}/p{self.subject_id}/s{self.study_id}"

    def says_something(self, *, published: bool) -> bool:
        """Whether the report says anything of its own images where a reader of the official sections looks.

        The text of a study of the custom rules is in the text files alone: `published` worlds have a table instead.
        """
        report = self.report
        in_table = bool(report.findings or report.impression or report.last_paragraph)
        return in_table or (self.case == "custom_section" and not published)

    def entry(self, picture: Picture) -> Entry:
        """One component record about one of the pictures."""
        return Entry("mimic", str(self.subject_id), str(self.study_id), picture.dicom_id, picture.present)


class _Case(NamedTuple):
    """An edge case: one patient with one study made for it."""

    name: str
    report: str = "standard"
    views: tuple[str | None, ...] = ("PA",)
    split: MimicSplit = "train"
    findings: tuple[Finding, ...] | None = None
    """None: by chance."""
    study_id: int | None = None
    labelled: bool = True
    filtered: bool = True
    present: bool = True
    moment: tuple[int, float] | None = None


_BOTH_EFFUSIONS = Finding("effusion", ("right", "left"), "moderate", texture=1)
_BIG_HEART = Finding("cardiomegaly", size="large", texture=2)
_PATCH = Finding("consolidation", ("right",), "small", "lower", texture=3)
_LATERAL_PAIR = ("PA", "LATERAL")

_CASES = (
    _Case("two_frontals", views=("PA", "AP", "LATERAL"), moment=(21800506, 80556.875)),
    _Case("no_view_position", views=(None, "LATERAL")),
    _Case("ll_view", views=("PA", "LL")),
    _Case("no_label_row", labelled=False),
    _Case("custom_section", "custom_section", study_id=CUSTOM_SECTION),
    _Case("custom_empty", "custom_empty", study_id=CUSTOM_EMPTY, filtered=False),
    _Case("findings_only", "findings_only"),
    _Case("impression_only", "impression_only"),
    _Case("last_paragraph_only", "last_paragraph_only"),
    _Case("no_header", "no_header"),
    _Case("all_blank", "all_blank", filtered=False),
    _Case("comparison_only", "comparison_only", filtered=False),
    _Case("duplicate_findings", "duplicate_findings"),
    _Case("empty_title_header", "empty_title_header"),
    _Case("wet_read", "wet_read"),
    _Case("addendum", "addendum"),
    _Case("lower_case", "lower_case"),
    _Case("upper_case", "upper_case"),
    _Case("missing_image", findings=(_BIG_HEART,), present=False),
    _Case("several_phrases", views=_LATERAL_PAIR, findings=(_BOTH_EFFUSIONS, _BIG_HEART)),
    _Case("uncertain_label", findings=(_PATCH,)),
    _Case("validation_phrase", split="validate", findings=(_PATCH, _BIG_HEART), filtered=False),
    _Case("test_phrase", split="test", findings=(_BOTH_EFFUSIONS, _PATCH)),
)
_ROUTINES: tuple[tuple[str | None, ...], ...] = (("PA", "LATERAL"), ("AP",), ("PA",), ("AP", "AP"), ("PA", "LL"))
_SPLITS: tuple[MimicSplit, ...] = (
    "train",
    "train",
    "train",
    "train",
    "train",
    "train",
    "train",
    "validate",
    "test",
    "test",
)


def mimic_studies(seed: int, patients: int) -> list[Study]:
    """Invent the edge cases, one patient who leaks from train to test, and `patients` ordinary ones."""
    studies = [_special(seed, number, case) for number, case in enumerate(_CASES)]
    studies += _leaking(seed, len(_CASES))
    for number in range(patients):
        studies += _ordinary(seed, len(_CASES) + 1 + number, _SPLITS[number % len(_SPLITS)])
    return sorted(studies, key=lambda study: (study.subject_id, study.study_id))


def _subject(number: int) -> int:
    return 10_000_000 + (number % 10) * 1_000_000 + 100_001 + number * 37


def _special(seed: int, number: int, case: _Case) -> Study:
    return _study(seed, number, 0, case)


def _leaking(seed: int, number: int) -> Iterator[Study]:
    """One patient on both sides: nothing in MIMIC-CXR is so, which is why a check must find it."""
    yield _study(seed, number, 0, _Case("leak_train", findings=(_PATCH,)))
    yield _study(seed, number, 1, _Case("leak_test", split="test", findings=(_BIG_HEART,)))


def _ordinary(seed: int, number: int, split: MimicSplit) -> Iterator[Study]:
    rng = generator(seed, "mimic", number)
    for visit in range(int(rng.integers(1, 4))):
        views = _ROUTINES[rng.integers(len(_ROUTINES))]
        yield _study(seed, number, visit, _Case("", views=views, split=split, filtered=bool(rng.random() < 0.85)))


def _study(seed: int, number: int, visit: int, case: _Case) -> Study:
    rng = generator(seed, "mimic", number, visit)
    findings = choose_findings(rng) if case.findings is None else case.findings
    woman = _subject(number) % 2 == 0
    return Study(
        subject_id=_subject(number),
        study_id=case.study_id or 53_000_007 + number * 1_000 + visit * 10,
        case=case.name,
        split=case.split,
        woman=woman,
        moment=case.moment or _moment(rng, number, visit),
        findings=findings,
        labels=chexpert_labels(findings) if case.labelled else None,
        report=write_report(case.report, findings, woman=woman, follow_up=visit > 0),
        filtered=case.filtered and case.split != "validate",
        pictures=tuple(_pictures(seed, number, visit, case, findings)),
    )


def _moment(rng: np.random.Generator, number: int, visit: int) -> tuple[int, float]:
    date = (2120 + number % 70) * 10_000 + (1 + 3 * visit) * 100 + int(rng.integers(1, 29))
    hour, minute, second = (int(rng.integers(limit)) for limit in (24, 60, 60))
    return date, hour * 10_000 + minute * 100 + second + int(rng.integers(1, 1000)) / 1000


def _pictures(seed: int, number: int, visit: int, case: _Case, findings: tuple[Finding, ...]) -> Iterator[Picture]:
    for position, view in enumerate(case.views):
        name = ("mimic", number, visit, position)
        digits = hex_digits(40, seed, *name)
        dicom_id = "-".join(digits[start : start + 8] for start in range(0, 40, 8))
        rng = generator(seed, *name)
        chest = make_chest(generator(seed, "mimic", number, "body"), rng, choose_size(rng), findings)
        yield Picture(dicom_id, view, chest, case.present)
