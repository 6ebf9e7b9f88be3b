"""Count, from a phantom world's files alone, what curate and converse can write: nothing of the package is used.

A report can be curated if it says anything where the official sections are; an image can be talked about plainly if
its report can be curated, with boxes if the annotation points at something on it.
"""

import json
import re
import zipfile
from pathlib import Path

from tests.demo.recount import Record, recount, rows

_NOTHING = "58235663"
"""The official custom rule of this study takes characters 0 to 0."""
_RECOMMENDATIONS = "50913680"
"""The official custom rule of this study takes its section `recommendations`."""
_HEADER = re.compile(r" *([A-Z][A-Z ,]+): *(.*)", re.DOTALL)
_BLANK = re.compile(r"\n *\n")


def recount_written(root: Path) -> dict[str, list[Record]]:
    """All components as `recount` has them, those of generated texts as if all were written."""
    plain = recount(root)
    return {**plain, **_mimic(root, plain), **_plus(root), **_padchest_gr(root, plain)}


def says_something(study: str, report: str) -> bool:
    """Whether a report file of MIMIC-CXR has findings, an impression, or else a last paragraph."""
    _before, _title, body = report.rpartition("FINAL REPORT\n")
    blocks = [block for block in _BLANK.split(body or report) if block.strip()]
    headed = {match[1]: match[2].strip() for block in blocks if (match := _HEADER.match(block))}
    if study == _NOTHING:
        return False
    if study == _RECOMMENDATIONS:
        return bool(headed["RECOMMENDATIONS"])
    if headed.get("FINDINGS") or headed.get("IMPRESSION"):
        return True
    return len(blocks) > 1 and not _HEADER.match(blocks[-1])


def _mimic(root: Path, plain: dict[str, list[Record]]) -> dict[str, list[Record]]:
    home = root / "MIMIC-CXR-JPG"
    with zipfile.ZipFile(home / "mimic-cxr-reports.zip") as archive:
        texts = {Path(name).stem.removeprefix("s"): archive.read(name).decode() for name in archive.namelist()}
    told = {study for study, text in texts.items() if says_something(study, text)}
    views = {row["dicom_id"]: row["ViewPosition"] for row in rows(home / "mimic-cxr-2.0.0-metadata.csv.gz")}
    pointed_at = {row["dicom_id"] for row in rows(next((root / "MS-CXR").glob("*.csv")))}
    records = {record.image: record for found in plain.values() for record in found if record.cohort == "mimic"}
    found: dict[str, list[Record]] = {}
    for split, suffix in (("train", ""), ("test", "-test")):
        frontal = [
            _record(home, row, records)
            for row in rows(home / "mimic-cxr-2.0.0-split.csv.gz")
            if row["split"] == split and views[row["dicom_id"]] in ("PA", "AP")
        ]
        found[f"mimic-report{suffix}"] = found[f"mimic-conversation{suffix}"] = [r for r in frontal if r.study in told]
        found[f"mscxr-conversation{suffix}"] = [r for r in frontal if r.image in pointed_at]
    return found


def _record(home: Path, row: dict[str, str], known: dict[str, Record]) -> Record:
    patient, study, image = row["subject_id"], row["study_id"], row["dicom_id"]
    path = home / f"files/p{patient[:2]}/p{patient}/s{study}/{image}.jpg"
    return known.get(image) or Record("mimic", patient, study, image, path.is_file())


def _plus(root: Path) -> dict[str, list[Record]]:
    home = root / "CheXpert"
    found = []
    for row in rows(home / "df_chexpert_plus_240401.csv"):
        said = row["section_findings"].strip() or row["section_impression"].strip()
        if row["split"] == "train" and row["frontal_lateral"] == "Frontal" and said:
            path = row["path_to_image"]
            split, patient, study, _view = path.split("/")
            found.append(Record("chexpert", patient, f"{split}/{patient}/{study}", path, (home / path).is_file()))
    return {"chexpert-plus-report": found}


def _padchest_gr(root: Path, plain: dict[str, list[Record]]) -> dict[str, list[Record]]:
    reports = json.loads((root / "PadChest" / "grounded_reports_20240819.json").read_text(encoding="utf-8"))
    pointed_at = [report["ImageID"] for report in reports if any(f.get("boxes") for f in report["findings"])]
    phrases = {record.image: record for record in plain["padchest-gr-phrase"]}
    return {"padchest-gr-conversation": [phrases[image] for image in pointed_at if image in phrases]}
