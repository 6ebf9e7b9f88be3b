"""Phantom PadChest-GR: grounded reports in two languages and their 16-bit images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from radvlm_cli.demo.chance import generator
from radvlm_cli.demo.conversations import Located, grounded
from radvlm_cli.demo.findings import KINDS, Finding
from radvlm_cli.demo.lesions import boxes
from radvlm_cli.demo.padchest_patients import Exposure
from radvlm_cli.demo.padchest_world import birth_year, window
from radvlm_cli.demo.parts import Entry, Part
from radvlm_cli.demo.pictures import save_png
from radvlm_cli.demo.sentences import sentence, sentence_es
from radvlm_cli.demo.tables import write_json, write_table
from radvlm_cli.records import Box

MASTER_COLUMNS = (
    "StudyID",
    "ImageID",
    "label",
    "boxes_count",
    "extra_boxes_count",
    "locations",
    "prior_study",
    "progression_status",
    "prior_imageID",
    "sentence_en",
    "sentence_es",
    "study_is_benchmark",
    "study_is_validation",
    "split",
    "PatientID",
    "patient_is_benchmark",
    "PatientBirth",
    "PatientSex_DICOM",
    "StudyDate_DICOM",
    "StudyDate",
    "PatientAge",
    "label_group",
    "Year",
)
_DENIAL = ("There is no pneumothorax.", "Sin neumotórax.")
_NORMAL = ("The lungs are clear.", "Pulmones sin alteraciones.")


class _Statement(NamedTuple):
    """One finding of a grounded report."""

    finding: Finding | None
    """None: something is denied."""
    sentence_en: str
    sentence_es: str
    boxes: tuple[Box, ...]
    extra_boxes: tuple[Box, ...]


def write_padchest_gr(
    folder: Path, exposures: Sequence[Exposure], *, seed: int, published: bool, with_generated: bool
) -> Part:
    """Write images, reports, the master table and, if asked for, conversations.

    The images lie in `Padchest_GR_files/PadChest_GR/`, or (`published`) in `images_grounding/`.
    """
    listed = [exposure for exposure in exposures if exposure.grounded]
    reports = {exposure.image_id: list(_statements(exposure, seed)) for exposure in listed}
    images = folder / ("images_grounding" if published else "Padchest_GR_files/PadChest_GR")
    for exposure in listed:
        save_png(exposure.chest, images / exposure.image_id, bits=window(exposure)[0])
    write_json(
        folder / "grounded_reports_20240819.json",
        [_report(exposure, reports[exposure.image_id]) for exposure in listed],
        indent=1,
    )
    rows = [row for exposure in listed for row in _master_rows(exposure, reports[exposure.image_id])]
    write_table(folder / "master_table.csv", MASTER_COLUMNS, rows)
    spoken = [e for e in listed if with_generated and _is_spoken(e, reports[e.image_id], seed)]
    for exposure in spoken:
        _write_conversation(folder, exposure, reports[exposure.image_id], seed)
    return _part(listed, reports, spoken)


def _statements(exposure: Exposure, seed: int) -> Iterator[_Statement]:
    for finding in exposure.findings:
        found, extra = boxes(exposure.chest, finding), tuple[Box, ...]()
        english = sentence(finding)
        if exposure.case in ("abnormal_without_boxes", "empty_english_sentence"):
            found = ()
        if exposure.case == "empty_english_sentence":
            english = ""
        if exposure.case == "extra_boxes":
            extra = tuple(_second_reading(box) for box in found)
        yield _Statement(finding, english, sentence_es(finding), found, extra)
    if not any(finding.kind == "pneumothorax" for finding in exposure.findings):
        yield _Statement(None, *(_DENIAL if exposure.findings else _NORMAL), (), ())


def _second_reading(box: Box) -> Box:
    return Box(box.x_min, box.y_min, min(box.x_max + 0.02, 1.0), min(box.y_max + 0.02, 1.0))


def _report(exposure: Exposure, statements: Sequence[_Statement]) -> dict[str, Any]:
    study, image = exposure.previous or (None, None)
    return {
        "StudyID": exposure.study_id,
        "ImageID": exposure.image_id,
        "PreviousStudyID": study,
        "PreviousImageID": image,
        "findings": [_finding(exposure, statement) for statement in statements],
    }


def _finding(exposure: Exposure, statement: _Statement) -> dict[str, Any]:
    """A denial has neither boxes nor labels, not even empty ones."""
    said: dict[str, Any] = {
        "sentence_en": statement.sentence_en,
        "sentence_es": statement.sentence_es,
        "abnormal": statement.finding is not None,
    }
    if statement.finding is None:
        return said
    return said | {
        "boxes": [_rounded(box) for box in statement.boxes],
        "extra_boxes": [_rounded(box) for box in statement.extra_boxes],
        "labels": [KINDS[statement.finding.kind].padchest],
        "locations": [f"loc {side}" for side in statement.finding.sides],
        "progression": "worsened" if exposure.previous else None,
    }


def _rounded(box: Box) -> list[float]:
    return [round(corner, 8) for corner in box]


def _master_rows(exposure: Exposure, statements: Sequence[_Statement]) -> list[list[Any]]:
    """One row per label; a study without any has one row `Normal` without a sentence."""
    abnormal = [statement for statement in statements if statement.finding is not None]
    if not abnormal:
        return [_master_row(exposure, "Normal", None)]
    return [_master_row(exposure, KINDS[s.finding.kind].padchest, s) for s in abnormal if s.finding is not None]


def _master_row(exposure: Exposure, label: str, statement: _Statement | None) -> list[Any]:
    study, image = exposure.previous or (None, None)
    described: dict[str, Any] = {
        "StudyID": exposure.study_id,
        "ImageID": exposure.image_id,
        "label": label,
        "boxes_count": len(statement.boxes) if statement else 0,
        "extra_boxes_count": len(statement.extra_boxes) if statement else 0,
        "locations": "[]",
        "prior_study": study,
        "progression_status": "worsened" if exposure.previous else None,
        "prior_imageID": image,
        "sentence_en": statement.sentence_en if statement else None,
        "sentence_es": statement.sentence_es if statement else None,
        "study_is_benchmark": True,
        "study_is_validation": False,
        "split": exposure.split,
        "PatientID": exposure.patient_id,
        "patient_is_benchmark": True,
        "PatientBirth": float(birth_year(exposure)),
        "PatientSex_DICOM": exposure.sex,
        "StudyDate_DICOM": 20140115,
        "StudyDate": "2014-01-15",
        "PatientAge": 2014 - birth_year(exposure),
        "label_group": label,
        "Year": 2014,
    }
    return [described[column] for column in MASTER_COLUMNS]


def _is_spoken(exposure: Exposure, statements: Sequence[_Statement], seed: int) -> bool:
    """Whether a conversation is adopted: for nearly all frontal images outside the test split that have boxes."""
    if exposure.split == "test" or not exposure.frontal or not any(statement.boxes for statement in statements):
        return False
    return exposure.case != "" or bool(generator(seed, "spoken", exposure.image_id).random() < 0.8)


def _write_conversation(folder: Path, exposure: Exposure, statements: Sequence[_Statement], seed: int) -> None:
    located = [Located(s.finding, s.boxes) for s in statements if s.finding is not None and s.boxes]
    path = folder / "conversations" / "train" / "grounding" / f"{Path(exposure.image_id).stem}.json"
    write_json(path, grounded(located, generator(seed, "conversation", exposure.image_id)), indent=2)


def _part(listed: Sequence[Exposure], reports: dict[str, list[_Statement]], spoken: Sequence[Exposure]) -> Part:
    said = [(exposure, statement) for exposure in listed for statement in reports[exposure.image_id]]
    return Part(
        facts={
            "images": len(listed),
            "images_present": len(listed),
            "images_by_split": dict(sorted(Counter(str(exposure.split) for exposure in listed).items())),
            "patients": len({exposure.patient_id for exposure in listed}),
            "reports": len(listed),
            "sentences": len(said),
            "groundings": {"phrase": sum(bool(statement.boxes) for _, statement in said)},
            "sentences_without_boxes": sum(not statement.boxes for _, statement in said),
            "sentences_blank": sum(not statement.sentence_en for _, statement in said),
            "boxes_dropped": {},
            "conversations": len(spoken),
        },
        components={
            "padchest-gr-phrase": _phrases(said, ("train", "validation")),
            "padchest-gr-conversation": [exposure.entry() for exposure in spoken],
        },
        written={"padchest-gr-conversation": _with_boxes(listed, reports, ("train", "validation"))},
        evaluation={"padchest-gr-phrase-test": _phrases(said, ("test",))},
        leaks=(_leak([exposure for exposure in listed if exposure.case == "leak"]),),
        cases={exposure.case: exposure.image_id for exposure in listed if exposure.case},
    )


def _phrases(said: Sequence[tuple[Exposure, _Statement]], splits: tuple[str, ...]) -> list[Entry]:
    return [e.entry() for e, statement in said if statement.boxes and e.frontal and e.split in splits]


def _with_boxes(
    listed: Sequence[Exposure], reports: dict[str, list[_Statement]], splits: tuple[str, ...]
) -> list[Entry]:
    """The frontal images of some splits of which anything is pointed at."""
    chosen = [exposure for exposure in listed if exposure.frontal and exposure.split in splits]
    return [e.entry() for e in chosen if any(statement.boxes for statement in reports[e.image_id])]


def _leak(images: Sequence[Exposure]) -> dict[str, Any]:
    return {
        "kind": "PadChest-GR patient in train and test",
        "cohort": "padchest",
        "patient": images[0].patient_id,
        "train_images": [exposure.image_id for exposure in images if exposure.split == "train"],
        "evaluation_images": [exposure.image_id for exposure in images if exposure.split == "test"],
    }
