"""Writing a world: the same bytes each time, never over anything else."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from radvlm_cli.demo.chexpert_patients import chexpert_views
from radvlm_cli.demo.chexpert_world import write_chexpert
from radvlm_cli.demo.world import write_world
from radvlm_cli.errors import ConfigError, DataError
from tests.phantoms import PATIENTS, SEED, World

_SCRIPT = """
import sys
from pathlib import Path
from radvlm_cli.demo.chexpert_patients import chexpert_views
from radvlm_cli.demo.chexpert_world import write_chexpert
from radvlm_cli.demo.world import write_world
write_world(Path(sys.argv[1]), seed=6, patients=1)
"""


@pytest.fixture(scope="module")
def smallest(tmp_path_factory: pytest.TempPathFactory) -> World:
    """One patient of each source, besides the edge cases, of another seed."""
    root = tmp_path_factory.mktemp("smallest")
    return World(root, write_world(root, seed=6, patients=1))


def digests(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_same_seed_gives_the_same_bytes_in_another_process(smallest: World, tmp_path: Path) -> None:
    command = [sys.executable, "-c", _SCRIPT, str(tmp_path / "again")]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": "77", "TZ": "Asia/Tokyo"})
    assert digests(tmp_path / "again") == digests(smallest.root)


def test_another_seed_gives_other_images(world: World, smallest: World) -> None:
    ours = {digest for name, digest in digests(world.root).items() if name.endswith((".jpg", ".png", ".dicom"))}
    others = {digest for name, digest in digests(smallest.root).items() if name.endswith((".jpg", ".png", ".dicom"))}
    assert others
    assert not ours & others


def test_a_patient_looks_the_same_however_many_others_there_are(world: World, tmp_path: Path) -> None:
    write_chexpert(tmp_path / "CheXpert", chexpert_views(SEED, patients=1), published=False)
    path = f"CheXpert/{world.case('chexpert', 'uncertain_label')}"
    assert (tmp_path / path).read_bytes() == (world.root / path).read_bytes()


def test_a_finished_world_is_left_as_it_is(world: World, tmp_path: Path) -> None:
    copy = shutil.copytree(world.root, tmp_path / "copy")
    table = copy / "CheXpert/train.csv"
    table.write_text("changed")
    assert write_world(copy, seed=5, patients=PATIENTS) == world.manifest
    assert table.read_text() == "changed"


def test_an_interrupted_world_is_completed(smallest: World, tmp_path: Path) -> None:
    copy = shutil.copytree(smallest.root, tmp_path / "copy")
    (copy / "manifest.json").unlink()
    (copy / "CheXpert/train.csv").unlink()
    assert write_world(copy, seed=6, patients=1) == smallest.manifest
    assert digests(copy) == digests(smallest.root)


def test_a_folder_with_other_data_is_refused(tmp_path: Path) -> None:
    (tmp_path / "MIMIC-CXR-JPG").mkdir()
    with pytest.raises(DataError, match="not empty"):
        write_world(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["MIMIC-CXR-JPG"]


def test_a_folder_with_another_world_is_refused(world: World) -> None:
    with pytest.raises(DataError, match="another phantom world"):
        write_world(world.root, seed=6, patients=PATIENTS)


def test_a_damaged_mark_is_refused(tmp_path: Path) -> None:
    (tmp_path / "PHANTOM.json").write_text("{")
    with pytest.raises(DataError, match=r"PHANTOM\.json"):
        write_world(tmp_path)


def test_a_world_without_patients_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="empty"):
        write_world(tmp_path, patients=0)


def test_both_arrangements_hold_the_same_components(world: World, published: World) -> None:
    for key in ("components", "evaluation", "protocol_paper", "leaks"):
        assert published.manifest[key] == world.manifest[key]


def test_published_arrangement_has_the_names_of_the_published_readme(published: World) -> None:
    for name in (
        "MIMIC-CXR/mimic-cxr-2.0.0-metadata.csv",
        "MIMIC-CXR/reports.csv",
        "MIMIC-CXR/conversations/train/grounding",
        "CheXpert/test.csv",
        "CheXpertPlus/df_chexpert_plus_240401.csv",
        "CheXpertPlus/filtered_reports",
        "CHEST_IMA/silver_dataset/scene_graph",
        "VinDr-CXR/annotations_train.csv",
        "MS-CXR/MS_CXR_Local_Alignment_v1.0.0.csv",
        "PadChest/images_grounding",
    ):
        assert (published.root / name).exists(), name


def test_no_table_is_empty_even_with_one_patient(smallest: World) -> None:
    tables = [path for path in smallest.root.rglob("*.csv") if path.is_file()]
    assert len(tables) > 5
    assert [path.name for path in tables if len(path.read_text().splitlines()) < 2] == []
