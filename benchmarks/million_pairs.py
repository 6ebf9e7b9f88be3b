"""Write the tables of a synthetic world of the published size: 1.1 million pairs, no images.

Official layouts and row counts (MIMIC-CXR-JPG 377,110 images, CheXpert 223,414, CheXpert Plus 223,462, VinDr-CXR
69,052 boxes, PadChest 160,861 ...), made-up content of realistic length, and the generated files that the published
code keeps as half a million small ones. Scene graphs carry all 36 regions but few attributes (12 KB each, the real
ones have about 40 KB).
"""

from __future__ import annotations

import csv
import gzip
import json
import random
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from radvlm_cli.demo.chexpert_plus_world import COLUMNS as PLUS_COLUMNS
from radvlm_cli.demo.mimic_world import METADATA_COLUMNS
from radvlm_cli.demo.padchest_gr_world import MASTER_COLUMNS
from radvlm_cli.demo.padchest_world import COLUMNS as PADCHEST_COLUMNS
from radvlm_cli.demo.padchest_world import TABLE as PADCHEST_TABLE
from radvlm_cli.labels import FINDINGS

LABELS = list(FINDINGS)
SENTENCES = [
    "The heart size is within normal limits.",
    "There is a small left pleural effusion.",
    "No pneumothorax is seen.",
    "Bibasilar opacities may reflect atelectasis.",
    "The mediastinal contours are unremarkable.",
    "A right internal jugular catheter ends in the lower superior vena cava.",
    "The lungs are hyperinflated.",
    "No acute osseous abnormality is identified.",
    "There is mild pulmonary vascular congestion.",
    "An ill-defined opacity in the right lower lobe is concerning for pneumonia in the right clinical setting.",
]
REGIONS = [
    f"{side} {name}"
    for side in ("left", "right")
    for name in (
        "lung",
        "upper lung zone",
        "mid lung zone",
        "lower lung zone",
        "hilar structures",
        "apical zone",
        "costophrenic angle",
        "cardiophrenic angle",
        "hemidiaphragm",
        "clavicle",
        "cardiac silhouette",
        "upper abdomen",
    )
] + [
    "trachea",
    "spine",
    "aortic arch",
    "mediastinum",
    "upper mediastinum",
    "svc",
    "cardiac silhouette",
    "cavoatrial junction",
    "right atrium",
    "descending aorta",
    "carina",
    "abdomen",
]

MIMIC_STUDIES, MIMIC_IMAGES, MIMIC_TRAIN_STUDIES = 227_835, 377_110, 222_758
MIMIC_FRONTAL_TRAIN, MIMIC_REPORTS, MIMIC_CONVERSATIONS = 237_972, 230_980, 86_155
CHEXPERT_IMAGES, CHEXPERT_FRONTAL, CHEXPERT_PLUS_REPORTS = 223_414, 191_027, 186_463
SCENE_GRAPHS, VINDR_IMAGES, VINDR_PAIRS, PADCHEST_ROWS = 162_794, 15_000, 16_089, 160_861
MSCXR_PHRASES, MSCXR_CONVERSATIONS, GR_PHRASES, GR_CONVERSATIONS = 971, 862, 4_478, 2_225


def write_world(root: Path, scale: float = 1.0) -> None:
    """Write the world below `root`; `scale` shrinks every count (for trying the benchmark out)."""
    rng = random.Random(0)
    texts = [" ".join(rng.choices(SENTENCES, k=rng.randint(6, 14))) for _ in range(997)]
    images = _mimic(root / "MIMIC-CXR-JPG", scale, rng, texts)
    _imagenome(root / "CHEST_IMA", images[: int(SCENE_GRAPHS * scale)], rng)
    _mscxr(root / "MS-CXR", images, scale)
    _chexpert(root / "CheXpert", scale, rng, texts)
    _vindr(root / "VinDr-CXR", scale, rng)
    _padchest(root / "PadChest", scale, rng, texts)


def _table(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    zipped = path.suffix == ".gz"
    with gzip.open(path, "wt", newline="", compresslevel=1) if zipped else path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(header)
        writer.writerows(rows)


def _labels(rng: random.Random) -> list[str]:
    return [rng.choices(["", "1.0", "0.0", "-1.0"], [80, 12, 5, 3])[0] if n != "No Finding" else "" for n in LABELS]


def _dialogue(rng: random.Random, texts: Sequence[str], boxes: str = "") -> str:
    turns = []
    for _ in range(6):
        turns.append({"from": "human", "value": "What does this part of the image show?"})
        turns.append({"from": "gpt", "value": f"{rng.choice(texts)[:160]}{boxes}"})
    return json.dumps(turns)


Mimic = list[tuple[str, int, int]]


def _mimic(folder: Path, scale: float, rng: random.Random, texts: Sequence[str]) -> Mimic:
    """Returns the frontal training images as (dicom id, subject, study)."""
    studies, train = int(MIMIC_STUDIES * scale), int(MIMIC_TRAIN_STUDIES * scale)
    frontal_left, total = int(MIMIC_FRONTAL_TRAIN * scale), int(MIMIC_IMAGES * scale)
    metadata, splits, labels, frontal = [], [], [], []
    extra_images = total - studies
    for number in range(studies):
        subject, study = 10_000_000 + number // 4 * 7, 50_000_000 + number * 3
        split = "train" if number < train else ("validate" if number < train + 1808 * scale else "test")
        count = 1 + int((number + 1) * extra_images / studies) - int(number * extra_images / studies)
        for image in range(count):
            dicom = f"{rng.getrandbits(32):08x}-{number:08x}-{image:08x}-{rng.getrandbits(32):08x}-{study:08x}"
            view = "PA" if image == 0 else "LATERAL"
            if split == "train":
                left_in_train = train - number
                if image == 0 or frontal_left > left_in_train:
                    view = "AP" if image else "PA"
                    frontal_left -= 1
                    frontal.append((dicom, subject, study))
                else:
                    view = "LATERAL"
            metadata.append(
                (
                    dicom,
                    subject,
                    study,
                    "CHEST (PA AND LAT)",
                    view,
                    3056,
                    2544,
                    21800506,
                    "213014.531",
                    "CHEST (PA AND LAT)",
                    "postero-anterior",
                    "Erect",
                )
            )
            splits.append((dicom, study, subject, split))
        labels.append((subject, study, *_labels(rng)))
    _table(
        folder / "mimic-cxr-2.0.0-metadata.csv.gz",
        METADATA_COLUMNS,
        metadata,
    )
    _table(folder / "mimic-cxr-2.0.0-split.csv.gz", ("dicom_id", "study_id", "subject_id", "split"), splits)
    _table(folder / "mimic-cxr-2.0.0-chexpert.csv.gz", ("subject_id", "study_id", *LABELS), labels)
    _mimic_reports(folder, studies, texts)
    reported = frontal[: int(MIMIC_REPORTS * scale)]
    filtered = folder / "filtered_reports"
    filtered.mkdir(parents=True)
    for study in dict.fromkeys(study for _dicom, _subject, study in reported):
        (filtered / f"{study}.txt").write_text(texts[study % len(texts)])
    talked = folder / "conversations/train/standard"
    talked.mkdir(parents=True)
    for dicom, _subject, _study in frontal[: int(MIMIC_CONVERSATIONS * scale)]:
        (talked / f"{dicom}.json").write_text(_dialogue(rng, texts))
    grounded = folder / "conversations/train/grounding"
    grounded.mkdir(parents=True)
    for dicom, _subject, _study in frontal[: int(MSCXR_CONVERSATIONS * scale)]:
        (grounded / f"{dicom}.json").write_text(_dialogue(rng, texts, " [0.10, 0.20, 0.30, 0.40]"))
    return frontal


def _mimic_reports(folder: Path, studies: int, texts: Sequence[str]) -> None:
    with zipfile.ZipFile(folder / "mimic-cxr-reports.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for number in range(studies):
            subject, study = 10_000_000 + number // 4 * 7, 50_000_000 + number * 3
            body = texts[number % len(texts)].replace(". ", ".\n ")
            text = (
                "                                 FINAL REPORT\n EXAMINATION:  CHEST (PA AND LAT)\n \n INDICATION:  "
                f"___ year old with cough // pneumonia?\n \n COMPARISON:  ___\n \n FINDINGS: \n \n {body}\n \n "
                f"IMPRESSION: \n \n {SENTENCES[number % len(SENTENCES)]}\n"
            )
            archive.writestr(f"files/p{str(subject)[:2]}/p{subject}/s{study}.txt", text)


def _imagenome(folder: Path, images: Mimic, rng: random.Random) -> None:
    shapes = []
    for _ in range(64):
        objects = []
        for name in REGIONS:
            x, y = rng.randint(100, 1500), rng.randint(100, 2000)
            w, h = rng.randint(100, 900), rng.randint(100, 900)
            objects.append(
                {
                    "object_id": f"@@_{name}",
                    "x1": x // 12,
                    "y1": y // 12,
                    "x2": (x + w) // 12,
                    "y2": (y + h) // 12,
                    "width": w // 12,
                    "height": h // 12,
                    "bbox_name": name,
                    "synsets": ["C0024109"],
                    "name": name,
                    "original_x1": x,
                    "original_y1": y,
                    "original_x2": x + w,
                    "original_y2": y + h,
                    "original_width": w,
                    "original_height": h,
                }
            )
        graph = {"image_id": "@@", "viewpoint": "PA", "patient_id": 1, "study_id": 1, "gender": "F", "objects": objects}
        shapes.append(json.dumps({**graph, "attributes": [], "relationships": []}))
    silver = folder / "silver_dataset"
    silver.mkdir(parents=True)
    with zipfile.ZipFile(silver / "scene_graph.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for number, (dicom, _subject, _study) in enumerate(images):
            archive.writestr(f"scene_graph/{dicom}_SceneGraph.json", shapes[number % 64].replace("@@", dicom))
    header = ("", "subject_id", "study_id", "dicom_id", "path", "ViewPosition")
    rows = [(n, p, s, d, f"files/p{str(p)[:2]}/p{p}/s{s}/{d}.dcm", "PA") for n, (d, p, s) in enumerate(images)]
    _table(silver / "splits/train.csv", header, rows)
    _table(silver / "splits/valid.csv", header, [(0, 1, 1, "no-graph-valid", "", "PA")])
    _table(silver / "splits/test.csv", header, [(0, 1, 1, "no-graph-test", "", "PA")])
    _table(
        folder / "utils/cxr-study-list_v2.csv",
        ("subject_id", "study_id", "path", "gender", "age_decile"),
        [(p, s, "", "F" if s % 2 else "M", "60-70") for _d, p, s in images],
    )


def _mscxr(folder: Path, images: Mimic, scale: float) -> None:
    rows = []
    for number in range(int(MSCXR_PHRASES * scale)):
        dicom, subject, study = images[number % max(1, int(MSCXR_CONVERSATIONS * scale))]
        path = f"files/p{str(subject)[:2]}/p{subject}/s{study}/{dicom}.jpg"
        phrase = f"opacity number {number} in the left lower lobe"
        rows.append((dicom, "Pneumonia", phrase, path, 100 + number, 200, 400, 500, 2544, 3056))
    _table(
        folder / "MS_CXR_Local_Alignment_v1.0.0.csv",
        ("dicom_id", "category_name", "label_text", "path", "x", "y", "w", "h", "image_width", "image_height"),
        rows,
    )


def _chexpert(folder: Path, scale: float, rng: random.Random, texts: Sequence[str]) -> None:
    order = ["No Finding", *(name for name in LABELS if name != "No Finding")]
    header = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *order)
    total, frontal = int(CHEXPERT_IMAGES * scale), int(CHEXPERT_FRONTAL * scale)
    rows, plus = [], []
    filtered = folder / "filtered_reports"
    filtered.mkdir(parents=True)
    for number in range(total):
        side = "frontal" if number < frontal else "lateral"
        study = f"train/patient{number % frontal // 3:05}/study{number % frontal % 3 + 1}"
        path = f"{study}/view{1 if side == 'frontal' else 2}_{side}.jpg"
        projection = "AP" if side == "frontal" else ""
        rows.append((f"CheXpert-v1.0/{path}", "Female", 60, side.capitalize(), projection, *_labels(rng)))
        text = texts[number % len(texts)]
        plus.append(
            (
                path,
                path.replace(".jpg", ".dcm"),
                side.capitalize(),
                projection,
                study.split("/")[1],
                1,
                f"NARRATIVE: {text} IMPRESSION: {text}",
                text,
                "cough",
                "",
                "none",
                "",
                "",
                "",
                text,
                "\n",
                "",
                "",
                60.0,
                "Female",
                "Other",
                "Unknown",
                "No",
                "Medicare",
                25.0,
                "No",
                "train",
            )
        )
        if number < int(CHEXPERT_PLUS_REPORTS * scale):
            (filtered / f"{study.replace('/', '_')}.txt").write_text(text)
    _table(folder / "train.csv", header, rows)
    _table(
        folder / "df_chexpert_plus_240401.csv",
        PLUS_COLUMNS,
        plus,
    )


def _vindr(folder: Path, scale: float, rng: random.Random) -> None:
    classes = ["Aortic enlargement", "Cardiomegaly", "Nodule/Mass", "Pleural effusion", "Lung Opacity"]
    images, pairs = int(VINDR_IMAGES * scale), int(VINDR_PAIRS * scale)
    rows: list[tuple[Any, ...]] = []
    ids = [f"{number:032x}" for number in range(images)]
    for number in range(pairs):
        image, name = ids[number % (images // 3)], classes[number // (images // 3)]
        x, y = rng.randint(100, 1200), rng.randint(100, 1400)
        for reader in range(3):
            wobble = rng.randint(-30, 30)
            rows.append((image, f"R{reader + 8}", name, x + wobble, y + wobble, x + 500 + wobble, y + 400 + wobble))
    rows += [(i, f"R{r + 8}", "No finding", "", "", "", "") for i in ids[images // 3 :] for r in range(3)]
    _table(
        folder / "annotations/annotations_train.csv",
        ("image_id", "rad_id", "class_name", "x_min", "y_min", "x_max", "y_max"),
        rows,
    )
    (folder / "train").mkdir()
    (folder / "image_resolutions_train.json").write_text(json.dumps({key: [2500, 2100] for key in ids}))


def _padchest(folder: Path, scale: float, rng: random.Random, texts: Sequence[str]) -> None:
    rows, ids = [], []
    for number in range(int(PADCHEST_ROWS * scale)):
        study = f"{10**44 + number * 7919}"
        ids.append((f"{study}_{number:06x}.png", study, f"{10**35 + number // 2}"))
        rows.append(
            (
                number,
                ids[-1][0],
                number % 50,
                20140915,
                study,
                ids[-1][2],
                "1930.0",
                "F",
                "POSTEROANTERIOR",
                "PA",
                "Manual",
                "No",
                "CR",
                "ID",
                "MONOCHROME2",
                0,
                "",
                "",
                12,
                2092,
                2251,
                1728,
                1872,
                250,
                2,
                2500,
                10,
                -1.4,
                number,
                " sin hallazg patolog .",
                "RNN_model",
                "['normal']",
                "[]",
                "[['normal']]",
                "[]",
                "[]",
            )
        )
    _table(folder / PADCHEST_TABLE, PADCHEST_COLUMNS, rows)
    phrases, conversations = int(GR_PHRASES * scale), max(1, int(GR_CONVERSATIONS * scale))
    grounded, master = [], []
    talked = folder / "conversations/train/grounding"
    talked.mkdir(parents=True)
    for number in range(conversations):
        image, study, patient = ids[number]
        findings = [
            {
                "sentence_en": f"Nodule {k} in the right lung.",
                "sentence_es": f"Nodulo {k}.",
                "abnormal": True,
                "boxes": [[0.1, 0.2, 0.3, 0.4]],
                "extra_boxes": [],
                "labels": ["nodule"],
                "locations": [],
                "progression": None,
            }
            for k in range(number, phrases, conversations)
        ]
        grounded.append(
            {"StudyID": study, "ImageID": image, "PreviousStudyID": None, "PreviousImageID": None, "findings": findings}
        )
        master.append(
            (
                study,
                image,
                "nodule",
                1,
                0,
                "[]",
                "False",
                "",
                "",
                "Nodule.",
                "Nodulo.",
                "True",
                "False",
                "train",
                patient,
                "False",
                "1930.0",
                "F",
                20140915,
                "2014-09-15",
                84,
                "nodule",
                2014,
            )
        )
        (talked / f"{image.removesuffix('.png')}.json").write_text(_dialogue(rng, texts, " [0.10, 0.20, 0.30, 0.40]"))
    (folder / "grounded_reports_20240819.json").write_text(json.dumps(grounded))
    _table(
        folder / "master_table.csv",
        MASTER_COLUMNS,
        master,
    )
