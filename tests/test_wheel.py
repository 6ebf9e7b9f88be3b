"""The built wheel works outside the checkout: migrations and package data come with it."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, unpacked into a folder of its own as pip would."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], cwd=ROOT, check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def _run(installed: Path, code: str, cwd: Path) -> str:
    # -P keeps the working folder off the path; the wheel comes before the editable checkout.
    program = f"import sys; sys.path.insert(0, {str(installed)!r}); {code}"
    result = subprocess.run([sys.executable, "-P", "-c", program], cwd=cwd, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_wheel_carries_migrations_recipes_and_wording(installed: Path) -> None:
    package = installed / "radvlm_cli"
    assert (package / "migrations" / "versions" / "0001_initial.py").is_file()
    assert (package / "recipes" / "radvlm.yaml").is_file()
    assert (package / "instructions" / "wording" / "classification.txt").is_file()
    assert (package / "commands" / "chat_page" / "page.js").is_file()


def test_the_wheel_makes_and_opens_a_store(installed: Path, tmp_path: Path) -> None:
    code = (
        "import pathlib, radvlm_cli; from radvlm_cli.store.engine import open_store\n"
        f"assert radvlm_cli.__file__.startswith({str(installed)!r})\n"
        "with open_store(pathlib.Path('radvlm.db')) as store: print(store.value('SELECT count(*) FROM image'))"
    )
    assert _run(installed, code, tmp_path).strip() == "0"


def test_the_wheel_carries_the_training_program_and_runs_it_by_itself(installed: Path, tmp_path: Path) -> None:
    program = installed / "radvlm_cli" / "programs" / "finetuning"
    assert (program / "train.py").is_file()
    assert (program / "deepspeed" / "zero2.json").is_file()
    assert (program / "slurm" / "train.sh").is_file()
    code = (
        "from radvlm_cli.program import make_importable, program_folder; from radvlm_cli.training import recipe; "
        "make_importable(); from finetuning import chat; print(program_folder(), *recipe.built_in(), chat.__file__)"
    )
    assert _run(installed, code, tmp_path).split() == [
        str(program),
        "radvlm-0.5b",
        "radvlm-7b",
        "radvlm-7b-lora",
        "tiny",
        str(program / "chat.py"),
    ]
    manifest = tmp_path / "manifest.json"
    manifest.write_text('{"format": 2}')
    words = [sys.executable, "-P", str(program / "estimate.py"), str(manifest), "--check"]
    result = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 3, result.stderr
    assert "this program reads format 1" in result.stdout


def test_the_wheel_carries_the_prompts_of_models(installed: Path, tmp_path: Path) -> None:
    code = (
        "from radvlm_cli.adapters import CARDS; from radvlm_cli.adapters.protocol import Asked; "
        "print(*(each.prompt(Asked('report', None, 'asked'), 'default')[:5] for each in CARDS.values()))"
    )
    assert _run(installed, code, tmp_path).startswith("asked Write")
