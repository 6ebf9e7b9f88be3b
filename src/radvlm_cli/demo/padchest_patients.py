"""The patients of phantom PadChest, of whom most have grounded reports too, and which edge case each shows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from radvlm_cli.demo.anatomy import Chest, make_chest
from radvlm_cli.demo.chance import decimal_digits, generator, hex_digits
from radvlm_cli.demo.findings import Finding, choose_findings
from radvlm_cli.demo.parts import Entry
from radvlm_cli.demo.pictures import choose_size

GrSplit = Literal["train", "validation", "test"]


class Exposure(NamedTuple):
    """One image."""

    image_id: str
    """File name, `.png` included."""
    study_id: str
    patient_id: str
    projection: str
    sex: str | None
    case: str
    split: GrSplit | None
    """The split of PadChest-GR; None where only PadChest has the image."""
    findings: tuple[Finding, ...]
    chest: Chest
    number: int
    previous: tuple[str, str] | None = None
    """Study and image that the report compares with."""

    @property
    def grounded(self) -> bool:
        """Whether PadChest-GR has the image."""
        return self.split is not None

    @property
    def frontal(self) -> bool:
        """`AP_horizontal` is not among the published selection."""
        return self.projection in ("PA", "AP")

    def entry(self) -> Entry:
        """One component record about this image."""
        return Entry("padchest", self.patient_id, self.study_id, self.image_id)


class _Case(NamedTuple):
    """An edge case: one patient, with an image per split named."""

    name: str
    projection: str = "PA"
    splits: tuple[GrSplit | None, ...] = ("train",)
    findings: tuple[Finding, ...] | None = None
    sex: str | None = "F"
    short_name: bool = True
    """Image names of study id and six letters; otherwise of study id and three numbers."""


_EFFUSION = Finding("effusion", ("right", "left"), "moderate", texture=11)
_NODULE = Finding("nodule", ("left",), "large", "mid", texture=12)
_HEART = Finding("cardiomegaly", size="moderate", texture=13)

_CASES = (
    _Case("ap", "AP", findings=(_EFFUSION,)),
    _Case("ap_horizontal", "AP_horizontal", findings=(_EFFUSION, _HEART)),
    _Case("sex_other", sex="O"),
    _Case("sex_blank", sex=None),
    _Case("normal", findings=()),
    _Case("abnormal_without_boxes", findings=(_HEART,)),
    _Case("extra_boxes", findings=(_NODULE,)),
    _Case("empty_english_sentence", findings=(_EFFUSION,)),
    _Case("numbered_name", findings=(_NODULE, _HEART), short_name=False),
    _Case("progression", findings=(_EFFUSION,)),
    _Case("two_images", splits=("train", "train"), findings=(_NODULE,)),
    _Case("validation_finding", splits=("validation",), findings=(_HEART, _NODULE)),
    _Case("test_finding", splits=("test",), findings=(_EFFUSION, _NODULE)),
    _Case("leak", splits=("train", "test"), findings=(_HEART,)),
    _Case("lateral", "L", splits=(None,)),
    _Case("costal", "COSTAL", splits=(None,)),
    _Case("blank_report", splits=(None,), findings=()),
)
_SPLITS: tuple[GrSplit, ...] = (
    "train",
    "train",
    "train",
    "train",
    "train",
    "train",
    "train",
    "validation",
    "test",
    "test",
)


def padchest_exposures(seed: int, patients: int) -> list[Exposure]:
    """Invent the edge cases and `patients` ordinary ones, in the order of the tables."""
    ordinary = [_Case("", splits=(_SPLITS[number % len(_SPLITS)],)) for number in range(patients)]
    return [exposure for number, case in enumerate([*_CASES, *ordinary]) for exposure in _exposures(seed, number, case)]


def _exposures(seed: int, number: int, case: _Case) -> Iterator[Exposure]:
    patient_id = decimal_digits(39, seed, "padchest patient", number)
    for position, split in enumerate(case.splits):
        name = ("padchest", number, position)
        rng = generator(seed, *name)
        study_id = decimal_digits(39 if case.short_name else 45, seed, "padchest study", *name)
        tail = hex_digits(6, seed, *name) if case.short_name else f"{number % 90 + 10}-{number + 100}-{position + 100}"
        findings = choose_findings(rng) if case.findings is None else case.findings
        sex = case.sex if case.name else ("M", "F")[number % 2]
        chest = make_chest(generator(seed, "padchest", number, "body"), rng, choose_size(rng), findings)
        previous = None
        if case.name == "progression":
            earlier = decimal_digits(39, seed, "padchest earlier", number)
            previous = (earlier, f"{earlier}_{hex_digits(6, seed, 'earlier', number)}.png")
        yield Exposure(
            image_id=f"{study_id}_{tail}.png",
            study_id=study_id,
            patient_id=patient_id,
            projection=case.projection,
            sex=sex,
            case=case.name,
            split=split,
            findings=findings,
            chest=chest,
            number=number,
            previous=previous,
        )
