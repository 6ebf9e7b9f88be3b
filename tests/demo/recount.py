"""Count the components of a phantom world from its files alone, with nothing of the package."""

import csv
import gzip
import io
import json
import warnings
import zipfile
from pathlib import Path
from typing import NamedTuple

import pydicom


class Record(NamedTuple):
    cohort: str
    patient: str | None
    study: str | None
    image: str
    usable: bool = True


def rows(path: Path) -> list[dict[str, str]]:
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return list(csv.DictReader(io.StringIO(text.decode(), newline="")))


def stems(folder: Path) -> set[str]:
    return {path.stem for path in folder.glob("*")}


def recount(root: Path) -> dict[str, list[Record]]:
    """All components, training and evaluation, by name."""
    return {**_mimic(root), **_chexpert(root), **_vindr(root), **_padchest(root)}


def leaking(records: list[Record], components: dict[str, list[Record]]) -> list[Record]:
    """The records that share a patient, study or image with an evaluation component."""
    seen = {
        (r.cohort, level, value)
        for name, found in components.items()
        if name.endswith("-test")
        for r in found
        for level, value in _identities(r)
    }
    return [r for r in records if {(r.cohort, level, value) for level, value in _identities(r)} & seen]


def _identities(record: Record) -> list[tuple[str, str]]:
    levels = (("patient", record.patient), ("study", record.study), ("image", record.image))
    return [(level, value) for level, value in levels if value is not None]


def _mimic(root: Path) -> dict[str, list[Record]]:
    home = root / "MIMIC-CXR-JPG"
    views = {row["dicom_id"]: row["ViewPosition"] for row in rows(home / "mimic-cxr-2.0.0-metadata.csv.gz")}
    split, records = {}, {}
    for row in rows(home / "mimic-cxr-2.0.0-split.csv.gz"):
        patient, study, image = row["subject_id"], row["study_id"], row["dicom_id"]
        path = home / f"files/p{patient[:2]}/p{patient}/s{study}/{image}.jpg"
        split[image] = row["split"]
        records[image] = Record("mimic", patient, study, image, path.is_file())
    labelled = {row["study_id"] for row in rows(home / "mimic-cxr-2.0.0-chexpert.csv.gz")}
    curated = stems(home / "filtered_reports")
    phrases = list(dict.fromkeys((r["dicom_id"], r["label_text"]) for r in rows(next((root / "MS-CXR").glob("*.csv")))))
    found = {}
    for name, suffix in (("train", ""), ("test", "-test")):
        frontal = [r for i, r in records.items() if split[i] == name and views[i] in ("PA", "AP")]
        spoken = {kind: stems(home / "conversations" / name / kind) for kind in ("standard", "grounding")}
        found[f"mimic-report{suffix}"] = [r for r in frontal if r.study in curated]
        found[f"mimic-conversation{suffix}"] = [r for r in frontal if r.image in spoken["standard"]]
        with_phrase = {image for image, _ in phrases}
        grounded = [r for r in frontal if r.image in spoken["grounding"] and r.image in with_phrase]
        found[f"mscxr-conversation{suffix}"] = grounded
        wanted = ("train", "validate") if name == "train" else ("test",)
        found[f"mscxr-phrase{suffix}"] = [records[i] for i, _ in phrases if split[i] in wanted]
        annotated = _imagenome_images(root, records, ("train",) if name == "train" else ("train", "valid", "test"))
        found[f"imagenome-region{suffix}"] = [r for r in frontal if r.image in annotated]
        if name == "train":
            found["mimic-classification"] = [r for r in frontal if r.study in labelled]
    return found


def _imagenome_images(root: Path, records: dict[str, Record], splits: tuple[str, ...]) -> set[str]:
    """Images in the splits whose graph has a box with some area within the image."""
    silver = root / "CHEST_IMA" / "silver_dataset"
    sizes = {
        row["dicom_id"]: (int(row["Columns"]), int(row["Rows"]))
        for row in rows(root / "MIMIC-CXR-JPG" / "mimic-cxr-2.0.0-metadata.csv.gz")
    }
    listed = {row["dicom_id"] for split in splits for row in rows(silver / "splits" / f"{split}.csv")}
    good = set()
    with zipfile.ZipFile(silver / "scene_graph.zip") as archive:
        for name in archive.namelist():
            graph = json.loads(archive.read(name))
            if any(valid_box(o, *sizes[graph["image_id"]]) for o in graph["objects"]):
                good.add(graph["image_id"])
    return listed & good


def valid_box(box: dict[str, int], width: int, height: int) -> bool:
    left, right = max(box["original_x1"], 0), min(box["original_x2"], width)
    top, bottom = max(box["original_y1"], 0), min(box["original_y2"], height)
    return left < right and top < bottom


def _chexpert(root: Path) -> dict[str, list[Record]]:
    home = root / "CheXpert"

    def record(path: str) -> Record:
        split, patient, study, _view = path.split("/")
        return Record("chexpert", patient, f"{split}/{patient}/{study}", path, (home / path).is_file())

    train = [record(row["Path"].split("/", 1)[1]) for row in rows(home / "train.csv") if "frontal" in row["Path"]]
    test = [record(row["Path"]) for row in rows(home / "test_labels.csv") if "frontal" in row["Path"]]
    curated = stems(home / "filtered_reports")
    plus = [
        record(row["path_to_image"])
        for row in rows(home / "df_chexpert_plus_240401.csv")
        if row["split"] == "train" and row["frontal_lateral"] == "Frontal"
    ]
    return {
        "chexpert-classification": train,
        "chexpert-classification-test": test,
        "chexpert-plus-report": [r for r in plus if str(r.study).replace("/", "_") in curated],
    }


def _vindr(root: Path) -> dict[str, list[Record]]:
    home = root / "VinDr-CXR"
    found: dict[str, list[Record]] = {}
    for name, suffix in (("train", ""), ("test", "-test")):
        scans = {path.stem: path for path in sorted((home / name).glob("*.dicom"))}
        images = {image: Record("vindr", None, None, image, _decodes(path)) for image, path in scans.items()}
        boxes = {
            (r["image_id"], r["class_name"]): None
            for r in rows(home / f"annotations/annotations_{name}.csv")
            if r["x_min"]
        }
        found[f"vindr-abnormality{suffix}"] = [images[image] for image, _ in boxes]
        found[f"vindr-detection{suffix}"] = list(images.values())
    return found


def _decodes(path: Path) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = pydicom.dcmread(path)
            return bool(dataset.pixel_array.shape == (dataset.Rows, dataset.Columns))
        except (AttributeError, ValueError, OSError):
            return False


def _padchest(root: Path) -> dict[str, list[Record]]:
    home = root / "PadChest"
    table = {row["ImageID"]: row for row in rows(next(home.glob("PADCHEST*.csv")))}
    split = {row["ImageID"]: row["split"] for row in rows(home / "master_table.csv")}
    reports = json.loads((home / "grounded_reports_20240819.json").read_text(encoding="utf-8"))
    spoken = stems(home / "conversations/train/grounding")
    found: dict[str, list[Record]] = {name: [] for name in ("padchest-gr-phrase", "padchest-gr-phrase-test")}
    found["padchest-gr-conversation"] = []
    for report in reports:
        image = report["ImageID"]
        file = home / "Padchest_GR_files/PadChest_GR" / image
        record = Record("padchest", table[image]["PatientID"], report["StudyID"], image, file.is_file())
        if table[image]["Projection"] not in ("PA", "AP"):
            continue
        suffix = "-test" if split[image] == "test" else ""
        found[f"padchest-gr-phrase{suffix}"] += [record for f in report["findings"] if f.get("boxes")]
        if Path(image).stem in spoken and split[image] != "test":
            found["padchest-gr-conversation"].append(record)
    return found
