"""Phantom MIMIC-CXR-JPG with its reports and the generated texts of the published layout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from radvlm_cli.demo.chance import generator
from radvlm_cli.demo.conversations import grounded, standard
from radvlm_cli.demo.mimic_patients import Picture, Study
from radvlm_cli.demo.mscxr_world import located_phrases
from radvlm_cli.demo.parts import Entry, Part
from radvlm_cli.demo.pictures import save_jpeg
from radvlm_cli.demo.sentences import findings_text
from radvlm_cli.demo.tables import csv_text, write_bytes, write_json, write_table, write_zip
from radvlm_cli.labels import FINDINGS

METADATA_COLUMNS = (
    "dicom_id",
    "subject_id",
    "study_id",
    "PerformedProcedureStepDescription",
    "ViewPosition",
    "Rows",
    "Columns",
    "StudyDate",
    "StudyTime",
    "ProcedureCodeSequence_CodeMeaning",
    "ViewCodeSequence_CodeMeaning",
    "PatientOrientationCodeSequence_CodeMeaning",
)
_VIEW_CODES = {"PA": "postero-anterior", "AP": "antero-posterior", "LATERAL": "lateral", "LL": "left lateral"}
_SECTIONS = ("impression", "findings", "last_paragraph", "comparison")
_OFFICIAL_SPLITS = {"train": "train", "validate": "validation", "test": "test"}


def write_mimic(folder: Path, studies: Sequence[Study], *, seed: int, published: bool, with_generated: bool) -> Part:
    """Write tables, images, reports and, if asked for, generated texts below `folder`.

    `published`: plain tables and an extracted `reports.csv`, as the published README has them, instead of gzipped
    tables and the zip of reports.
    """
    _write_tables(folder, studies, ".csv" if published else ".csv.gz")
    if published:
        write_bytes(folder / "reports.csv", sectioned_table(studies).encode())
    else:
        members = {f"{study.folder}.txt": study.report.text for study in studies}
        write_zip(folder / "mimic-cxr-reports.zip", members)
    for study, picture in _pictures(studies):
        if picture.present:
            path = folder / study.folder / f"{picture.dicom_id}.jpg"
            save_jpeg(picture.chest, path, lateral=picture.view in ("LATERAL", "LL"))
    if with_generated:
        _write_filtered(folder, studies)
        _write_conversations(folder, studies, seed)
    return _part(studies, seed, published=published, with_generated=with_generated)


def sectioned_table(studies: Sequence[Study]) -> str:
    """`mimic_cxr_sectioned.csv` as officially extracted: CRLF, cells of several lines, no custom studies."""
    rows = [
        [f"s{study.study_id}", *(getattr(study.report, name) for name in _SECTIONS)] for study in _sectioned(studies)
    ]
    return csv_text(["study", *_SECTIONS], rows, line_end="\r\n")


def _sectioned(studies: Sequence[Study]) -> list[Study]:
    return [study for study in studies if not study.case.startswith("custom_")]


def _pictures(studies: Sequence[Study]) -> Iterator[tuple[Study, Picture]]:
    return ((study, picture) for study in studies for picture in study.pictures)


def _write_tables(folder: Path, studies: Sequence[Study], suffix: str) -> None:
    write_table(
        folder / f"mimic-cxr-2.0.0-metadata{suffix}",
        METADATA_COLUMNS,
        [_metadata_row(s, p) for s, p in _pictures(studies)],
    )
    split_rows = [(p.dicom_id, s.study_id, s.subject_id, s.split) for s, p in _pictures(studies)]
    write_table(folder / f"mimic-cxr-2.0.0-split{suffix}", ("dicom_id", "study_id", "subject_id", "split"), split_rows)
    label_rows = [
        (study.subject_id, study.study_id, *(study.labels.get(name) for name in FINDINGS))
        for study in studies
        if study.labels is not None
    ]
    write_table(folder / f"mimic-cxr-2.0.0-chexpert{suffix}", ("subject_id", "study_id", *FINDINGS), label_rows)
    read_by_hand = [name.replace("Lung Opacity", "Airspace Opacity") for name in FINDINGS]
    test_rows = [
        (study.study_id, *(study.labels.get(name, 0.0) for name in FINDINGS))
        for study in studies
        if study.labels is not None and study.split == "test"
    ]
    write_table(folder / "mimic-cxr-2.1.0-test-set-labeled.csv", ("study_id", *read_by_hand), test_rows)


def _metadata_row(study: Study, picture: Picture) -> tuple[Any, ...]:
    return (
        picture.dicom_id,
        study.subject_id,
        study.study_id,
        "CHEST (PA AND LAT)" if picture.view == "PA" else "CHEST (PORTABLE AP)" if picture.view == "AP" else None,
        picture.view,
        picture.chest.height,
        picture.chest.width,
        *study.moment,
        "CHEST (PA AND LAT)",
        _VIEW_CODES.get(picture.view or ""),
        "Recumbent" if picture.view == "AP" else "Erect" if picture.view else None,
    )


def _write_filtered(folder: Path, studies: Sequence[Study]) -> None:
    for study in studies:
        if study.filtered:
            write_bytes(folder / "filtered_reports" / f"{study.study_id}.txt", findings_text(study.findings).encode())


def _write_conversations(folder: Path, studies: Sequence[Study], seed: int) -> None:
    for study, picture in _pictures(studies):
        base = folder / "conversations" / study.split
        rng = generator(seed, "conversation", picture.dicom_id)
        if _has_standard(study, picture, seed):
            write_json(base / "standard" / f"{picture.dicom_id}.json", standard(study.findings, rng), indent=2)
        if _has_grounded(study, picture, seed):
            dialogue = grounded(located_phrases(study, picture, seed), rng)
            write_json(base / "grounding" / f"{picture.dicom_id}.json", dialogue, indent=2)


def _has_standard(study: Study, picture: Picture, seed: int) -> bool:
    if study.split == "validate" or not picture.frontal:
        return False
    return study.case != "" or bool(generator(seed, "standard", picture.dicom_id).random() < 0.5)


def _has_grounded(study: Study, picture: Picture, seed: int) -> bool:
    """Nearly all images with phrases; which, is known by the case or by chance."""
    if study.split == "validate" or not located_phrases(study, picture, seed):
        return False
    return study.case != "" or bool(generator(seed, "grounded", picture.dicom_id).random() < 0.8)


def _part(studies: Sequence[Study], seed: int, *, published: bool, with_generated: bool) -> Part:
    pictures = list(_pictures(studies))
    reports = _sectioned(studies) if published else studies
    leak = [study for study in studies if study.case.startswith("leak_")]
    return Part(
        facts={
            "patients": len({study.subject_id for study in studies}),
            "studies": len(studies),
            "images": len(pictures),
            "images_present": sum(picture.present for _, picture in pictures),
            "images_missing": sum(not picture.present for _, picture in pictures),
            "images_by_split": dict(sorted(Counter(_OFFICIAL_SPLITS[s.split] for s, _ in pictures).items())),
            "images_by_view": dict(sorted(Counter(p.view or "" for _, p in pictures).items())),
            "labelled_studies": sum(study.labels is not None for study in studies),
            "reports": len(reports),
            "sectioned_table_with": {name: sum(bool(getattr(s.report, name)) for s in reports) for name in _SECTIONS},
            "custom_rule_studies": len(studies) - len(_sectioned(studies)),
            "custom_rule_studies_with_text": sum(study.case == "custom_section" for study in studies),
            "filtered_reports": sum(study.filtered for study in studies) if with_generated else 0,
            "conversations": _conversation_counts(pictures, seed) if with_generated else {},
        },
        components=_components(pictures, seed, "train", "", with_generated=with_generated)
        | {"mimic-classification": _classification(pictures)},
        evaluation=_components(pictures, seed, "test", "-test", with_generated=with_generated),
        written=_written(pictures, seed, "train", "", published=published),
        written_evaluation=_written(pictures, seed, "test", "-test", published=published),
        paper={"mimic-classification": _classification([p for p in pictures if p[0] in _sectioned(studies)])},
        leaks=(_leak(leak),),
        cases={study.case: str(study.study_id) for study in studies if study.case},
    )


def _classification(pictures: Sequence[tuple[Study, Picture]]) -> list[Entry]:
    return [s.entry(p) for s, p in pictures if s.split == "train" and p.frontal and s.labels is not None]


def _components(
    pictures: Sequence[tuple[Study, Picture]], seed: int, split: str, suffix: str, *, with_generated: bool
) -> dict[str, list[Entry]]:
    """The components that rest on generated texts, of one split."""
    frontal = [(s, p) for s, p in pictures if s.split == split and p.frontal and with_generated]
    return {
        f"mimic-report{suffix}": [s.entry(p) for s, p in frontal if s.filtered],
        f"mimic-conversation{suffix}": [s.entry(p) for s, p in frontal if _has_standard(s, p, seed)],
        f"mscxr-conversation{suffix}": [s.entry(p) for s, p in frontal if _has_grounded(s, p, seed)],
    }


def _written(
    pictures: Sequence[tuple[Study, Picture]], seed: int, split: str, suffix: str, *, published: bool
) -> dict[str, list[Entry]]:
    """The same components where everything is written: reports that say something, images with such, or with boxes."""
    frontal = [(s, p) for s, p in pictures if s.split == split and p.frontal]
    told = [s.entry(p) for s, p in frontal if s.says_something(published=published)]
    return {
        f"mimic-report{suffix}": told,
        f"mimic-conversation{suffix}": told,
        f"mscxr-conversation{suffix}": [s.entry(p) for s, p in frontal if located_phrases(s, p, seed)],
    }


def _conversation_counts(pictures: Sequence[tuple[Study, Picture]], seed: int) -> dict[str, int]:
    return {
        "standard": sum(_has_standard(s, p, seed) for s, p in pictures),
        "grounded": sum(_has_grounded(s, p, seed) for s, p in pictures),
    }


def _leak(studies: Sequence[Study]) -> dict[str, Any]:
    by_split = {study.split: [picture.dicom_id for picture in study.pictures] for study in studies}
    return {
        "kind": "MIMIC-CXR patient in train and test of the split table",
        "cohort": "mimic",
        "patient": str(studies[0].subject_id),
        "train_images": by_split["train"],
        "evaluation_images": by_split["test"],
    }
