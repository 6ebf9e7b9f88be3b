"""Phantom CheXpert Plus: reports and labels for the images of phantom CheXpert."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from radvlm_cli.demo.chance import generator
from radvlm_cli.demo.chexpert_patients import View
from radvlm_cli.demo.findings import chexpert_labels
from radvlm_cli.demo.parts import Part
from radvlm_cli.demo.sentences import CHANGES, comparison, findings_text, impression_text
from radvlm_cli.demo.tables import write_bytes, write_table
from radvlm_cli.labels import FINDINGS

_SECTIONS = (
    "section_narrative",
    "section_clinical_history",
    "section_history",
    "section_comparison",
    "section_technique",
    "section_procedure_comments",
    "section_findings",
    "section_impression",
    "section_end_of_impression",
    "section_summary",
    "section_accession_number",
)
COLUMNS = (
    "path_to_image",
    "path_to_dcm",
    "frontal_lateral",
    "ap_pa",
    "deid_patient_id",
    "patient_report_date_order",
    "report",
    *_SECTIONS,
    "age",
    "sex",
    "race",
    "ethnicity",
    "interpreter_needed",
    "insurance_type",
    "recent_bmi",
    "deceased",
    "split",
)


def write_chexpert_plus(folder: Path, views: Sequence[View], *, seed: int, with_generated: bool) -> Part:
    """Write the table, the labels and, if asked for, curated reports; `views` are all of CheXpert's too."""
    listed = [view for view in views if view.in_plus and view.split != "test"]
    write_table(folder / "df_chexpert_plus_240401.csv", COLUMNS, [_row(view) for view in listed])
    lines = [json.dumps({"path_to_image": view.path} | _labels(view)) for view in listed]
    write_bytes(folder / "chexbert_labels" / "report_fixed.json", ("\n".join(lines) + "\n").encode())
    studies = {view.study_path: view for view in listed}
    curated = [path for path, view in studies.items() if with_generated and _is_curated(view, seed)]
    for path in curated:
        name = path.replace("/", "_")
        write_bytes(folder / "filtered_reports" / f"{name}.txt", findings_text(studies[path].findings).encode())
    return _part(listed, views, set(curated))


def _is_curated(view: View, seed: int) -> bool:
    """Nearly all training studies; all of those that show a case."""
    if view.split != "train":
        return False
    return view.case != "" or bool(generator(seed, "curated", view.study_path).random() < 0.85)


def _labels(view: View) -> dict[str, float | None]:
    labels = chexpert_labels(view.findings)
    return {name: labels.get(name) for name in FINDINGS}


def _row(view: View) -> list[Any]:
    sections = _sections(view)
    report = "\n".join(f"{name.removeprefix('section_').upper()}: {text}" for name, text in sections.items() if text)
    described: dict[str, Any] = {
        "path_to_image": view.path,
        "path_to_dcm": view.path.removesuffix(".jpg") + ".dcm",
        "frontal_lateral": "Lateral" if view.lateral else "Frontal",
        "ap_pa": view.projection,
        "deid_patient_id": f"patient{view.patient:05d}",
        "patient_report_date_order": view.study,
        "report": report,
        **sections,
        "age": float(view.age) if view.age else None,
        "sex": view.sex,
        "recent_bmi": 20.5 + view.patient % 15,
        "deceased": "No",
        "split": view.split,
    }
    return [described.get(column) for column in COLUMNS]


def _sections(view: View) -> dict[str, str | None]:
    """Most reports of CheXpert Plus have no findings section, only a numbered impression."""
    findings = findings_text(view.findings)
    numbered = "  ".join(f"{n}.  {text}." for n, text in enumerate(findings.removesuffix(".").split(". "), 1))
    if view.study > 1 and view.findings:
        numbered = f"{comparison(view.findings[0], CHANGES[view.study % len(CHANGES)])}\n{numbered}"
    has_findings = view.patient % 4 == 0 and view.case != "without_findings_section"
    end = "\n" if view.case == "blank_end_of_impression" or view.patient % 3 == 0 else None
    sections = {
        "section_narrative": "Chest radiograph, one view.",
        "section_findings": f"\n{findings}\n" if has_findings else None,
        "section_impression": f"\n{impression_text(view.findings) if has_findings else numbered}\n",
        "section_end_of_impression": end,
        "section_accession_number": f"{view.patient:07d}{view.study}",
    }
    if view.case == "upper_case_report":
        return {name: text.upper() if text else text for name, text in sections.items()}
    return sections


def _part(listed: Sequence[View], views: Sequence[View], curated: set[str]) -> Part:
    leak = next(view for view in listed if view.case == "leak_plus")
    train = [view for view in listed if view.split == "train" and not view.lateral]
    return Part(
        facts={
            "images": len(listed),
            "images_present": sum(view.present for view in listed),
            "images_missing": sum(not view.present for view in listed),
            "images_by_split": dict(
                sorted(Counter("validation" if v.split == "valid" else v.split for v in listed).items())
            ),
            "frontal_train": len(train),
            "reports": len({view.study_path for view in listed}),
            "filtered_reports": len(curated),
        },
        components={"chexpert-plus-report": [view.entry() for view in train if view.study_path in curated]},
        written={"chexpert-plus-report": [view.entry() for view in train]},  # every one of these reports says something
        leaks=(
            {
                "kind": "CheXpert Plus training row of a patient of the CheXpert test set",
                "cohort": "chexpert",
                "patient": f"patient{leak.patient:05d}",
                "train_images": [leak.path],
                "evaluation_images": [v.path for v in views if v.split == "test" and v.patient == leak.patient],
            },
        ),
        cases={view.case: view.path for view in listed if view.case and not view.lateral},
    )
