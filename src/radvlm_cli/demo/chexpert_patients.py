"""The patients of phantom CheXpert, whom CheXpert Plus describes too, and which edge case each of them shows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from radvlm_cli.demo.anatomy import Chest, make_chest
from radvlm_cli.demo.chance import generator
from radvlm_cli.demo.findings import Finding, choose_findings
from radvlm_cli.demo.parts import Entry
from radvlm_cli.demo.pictures import choose_size

ChexpertSplit = Literal["train", "valid", "test"]

FIRST_VALID, FIRST_TEST = 64541, 64741


class View(NamedTuple):
    """One image."""

    patient: int
    study: int
    view: int
    lateral: bool
    projection: str | None
    """AP/PA as the table has it; None for laterals."""
    split: ChexpertSplit
    case: str
    """The edge case that the image shows; blank for an ordinary one."""
    sex: str
    age: int
    findings: tuple[Finding, ...]
    chest: Chest
    in_chexpert: bool = True
    """Whether CheXpert's own table has it."""
    in_plus: bool = True
    """Whether the table of CheXpert Plus has it; it never has the test images."""
    present: bool = True
    """Whether its JPEG is written."""

    @property
    def study_path(self) -> str:
        """`train/patient00001/study1`."""
        return f"{self.split}/patient{self.patient:05d}/study{self.study}"

    @property
    def path(self) -> str:
        """`train/patient00001/study1/view1_frontal.jpg`."""
        return f"{self.study_path}/view{self.view}_{'lateral' if self.lateral else 'frontal'}.jpg"

    def entry(self) -> Entry:
        """One component record about this image."""
        return Entry("chexpert", f"patient{self.patient:05d}", self.study_path, self.path, self.present)


class _Case(NamedTuple):
    """An edge case: one patient of the training split with one frontal image."""

    name: str
    findings: tuple[Finding, ...] | None = None
    projection: str = "AP"
    sex: str = "Female"
    age: int = 61
    with_lateral: bool = False
    in_plus: bool = True
    present: bool = True


_CASES = (
    _Case("sex_unknown", sex="Unknown"),
    _Case("age_zero", age=0),
    _Case("device_only", findings=(Finding("device", texture=5),)),
    _Case("uncertain_label", findings=(Finding("consolidation", ("left",), "small", texture=6),)),
    _Case("frontal_called_LL", projection="LL"),
    _Case("with_lateral", projection="PA", with_lateral=True),
    _Case("missing_image", present=False),
    _Case("not_in_plus", in_plus=False),
    _Case("upper_case_report"),
    _Case("without_findings_section"),
    _Case("blank_end_of_impression"),
)


def chexpert_views(seed: int, patients: int) -> list[View]:
    """Invent the edge cases, `patients` ordinary training patients, some for validation and test, and two leaks."""
    views = [view for number, case in enumerate(_CASES, 1) for view in _special(seed, number, case)]
    for number in range(patients):
        views += _ordinary(seed, len(_CASES) + 1 + number, "train")
    for number in range(2 + patients // 10):
        views += _ordinary(seed, FIRST_VALID + number, "valid")
    for number in range(6 + patients // 5):
        views += _ordinary(seed, FIRST_TEST + number, "test")
    return views + _leaks(seed)


def _special(seed: int, number: int, case: _Case) -> Iterator[View]:
    frontal = _view(seed, number, 1, 1, "train", case.findings)
    frontal = frontal._replace(case=case.name, projection=case.projection, sex=case.sex, age=case.age)
    frontal = frontal._replace(in_plus=case.in_plus, present=case.present)
    yield frontal
    if case.with_lateral:
        yield frontal._replace(view=2, lateral=True, projection=None)


def _ordinary(seed: int, patient: int, split: ChexpertSplit) -> Iterator[View]:
    rng = generator(seed, "chexpert", patient)
    studies = int(rng.integers(1, 4)) if split == "train" else 1
    for study in range(1, studies + 1):
        frontal = _view(seed, patient, study, 1, split, None)
        yield frontal
        if rng.random() < 0.3:
            yield frontal._replace(view=2, lateral=True, projection=None)


def _leaks(seed: int) -> list[View]:
    """Two test patients with a training image each: one in CheXpert Plus alone, one in CheXpert alone."""
    plus = _view(seed, FIRST_TEST + 4, 7, 1, "train", None)
    own = _view(seed, FIRST_TEST + 5, 7, 1, "train", None)
    return [
        plus._replace(case="leak_plus", in_chexpert=False),
        own._replace(case="leak_chexpert", in_plus=False),
    ]


def _view(
    seed: int, patient: int, study: int, view: int, split: ChexpertSplit, findings: tuple[Finding, ...] | None
) -> View:
    body, rng = generator(seed, "chexpert", patient, "body"), generator(seed, "chexpert", patient, study, split)
    chosen = choose_findings(rng) if findings is None else findings
    return View(
        patient=patient,
        study=study,
        view=view,
        lateral=False,
        projection="AP" if rng.random() < 0.8 else "PA",
        split=split,
        case="",
        sex="Male" if patient % 2 else "Female",
        age=18 + patient * 7 % 70,
        findings=chosen,
        chest=make_chest(body, rng, choose_size(rng), chosen),
    )
