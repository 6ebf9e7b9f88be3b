"""The phantom world: every source in its official layout, small, invented, and with its true counts beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from radvlm_cli.demo.chexpert_patients import chexpert_views
from radvlm_cli.demo.chexpert_plus_world import write_chexpert_plus
from radvlm_cli.demo.chexpert_world import write_chexpert
from radvlm_cli.demo.imagenome_world import write_imagenome
from radvlm_cli.demo.mark import MARK
from radvlm_cli.demo.mimic_patients import mimic_studies
from radvlm_cli.demo.mimic_world import write_mimic
from radvlm_cli.demo.mscxr_world import write_mscxr
from radvlm_cli.demo.openi_world import write_openi
from radvlm_cli.demo.padchest_gr_world import write_padchest_gr
from radvlm_cli.demo.padchest_patients import padchest_exposures
from radvlm_cli.demo.padchest_world import write_padchest
from radvlm_cli.demo.parts import Part, count_components
from radvlm_cli.demo.vindr_world import write_vindr
from radvlm_cli.errors import ConfigError, DataError
from radvlm_cli.files import atomic_write

PATIENTS = 30
"""Ordinary patients per source, beside those that show the edge cases."""
MANIFEST = "manifest.json"
_FORMAT = 3

Arrangement = Literal["official", "published"]
"""Folders and file names as the datasets are downloaded, or as the published RadVLM README wants them."""

_FOLDERS = {
    "mimic": "MIMIC-CXR-JPG",
    "chexpert": "CheXpert",
    "chexpert-plus": "CheXpert",
    "imagenome": "CHEST_IMA",
    "mscxr": "MS-CXR",
    "vindr": "VinDr-CXR",
    "padchest": "PadChest",
    "padchest-gr": "PadChest",
    "openi": "NLMCXR",
}
_PUBLISHED_FOLDERS = _FOLDERS | {"mimic": "MIMIC-CXR", "chexpert-plus": "CheXpertPlus"}


def write_world(
    directory: Path,
    *,
    seed: int = 0,
    patients: int = PATIENTS,
    with_generated: bool = True,
    arrangement: Arrangement = "official",
) -> dict[str, Any]:
    """Write the world into `directory` and return its manifest, which is written last.

    The same arguments give the same bytes in every file. A world that is there already is left as it is. With
    `with_generated` come the texts that need a language model: curated reports and conversations. Raises ConfigError
    for fewer than one patient, DataError for a folder that holds anything else.
    """
    if patients < 1:
        raise ConfigError(f"A phantom world of {patients} patients is empty.", "radvlm demo --patients 1")
    made_with = {
        "format": _FORMAT,
        "seed": seed,
        "patients": patients,
        "with_generated": with_generated,
        "arrangement": arrangement,
    }
    _claim(directory, made_with)
    manifest = directory / MANIFEST
    if not manifest.exists():
        parts = _write_parts(directory, made_with)
        with atomic_write(manifest) as stream:
            json.dump(_manifest(made_with, parts), stream, indent=1, ensure_ascii=False)
    return _read(manifest)


def _claim(directory: Path, made_with: dict[str, Any]) -> None:
    """Mark an empty folder as phantom data; refuse one that holds anything but this very world."""
    mark = directory / MARK
    if mark.is_file():
        if _read(mark).get("made_with") != made_with:
            raise DataError(f"{directory} holds another phantom world.", f"rm -r {directory}, or choose another folder")
        return
    if directory.is_dir() and any(directory.iterdir()):
        raise DataError(
            f"{directory} is not empty, and phantom data must not mix with real data.", "Choose a new folder."
        )
    with atomic_write(mark) as stream:
        note = "Invented by `radvlm demo`: no picture and no word here stems from a patient."
        json.dump({"note": note, "made_with": made_with}, stream, indent=1)


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is damaged.", f"rm -r {path.parent}, then run the same command again") from error
    return content


def _write_parts(directory: Path, made_with: dict[str, Any]) -> dict[str, Part]:
    seed, patients, generated = made_with["seed"], made_with["patients"], made_with["with_generated"]
    published = made_with["arrangement"] == "published"
    at = _folders(directory, made_with)
    studies = mimic_studies(seed, patients)
    views = chexpert_views(seed, patients)
    exposures = padchest_exposures(seed, patients)
    return {
        "mimic": write_mimic(at["mimic"], studies, seed=seed, published=published, with_generated=generated),
        "chexpert": write_chexpert(at["chexpert"], views, published=published),
        "chexpert-plus": write_chexpert_plus(at["chexpert-plus"], views, seed=seed, with_generated=generated),
        "imagenome": write_imagenome(at["imagenome"], studies, seed=seed, published=published),
        "mscxr": write_mscxr(at["mscxr"], studies, seed=seed, published=published),
        "vindr": write_vindr(at["vindr"], seed=seed, patients=patients, published=published),
        "padchest": write_padchest(at["padchest"], exposures),
        "padchest-gr": write_padchest_gr(
            at["padchest-gr"], exposures, seed=seed, published=published, with_generated=generated
        ),
        "openi": write_openi(at["openi"], seed=seed, patients=patients),
    }


def _folders(directory: Path, made_with: dict[str, Any]) -> dict[str, Path]:
    names = _PUBLISHED_FOLDERS if made_with["arrangement"] == "published" else _FOLDERS
    return {source: directory / name for source, name in names.items()}


def _manifest(made_with: dict[str, Any], parts: dict[str, Part]) -> dict[str, Any]:
    folders = {source: path.name for source, path in _folders(Path(), made_with).items()}
    return {
        "made_with": made_with,
        "sources": {name: {"folder": folders[name], **part.facts} for name, part in parts.items()},
        **count_components(parts.values()),
        "leaks": [leak for part in parts.values() for leak in part.leaks],
        "cases": {name: dict(part.cases) for name, part in parts.items()},
    }
