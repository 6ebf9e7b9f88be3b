"""The single file works where there is only Python: built once, run outside the checkout in a bare environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

from radvlm_cli import __version__, program

ROOT = Path(__file__).parents[1]
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"


class Machine(NamedTuple):
    """A home folder and a Python, and the single file."""

    binary: Path
    home: Path

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start it as where nothing else is: no setting, no proxy, no package of the tests' environment."""
        path = os.pathsep.join((str(Path(sys.base_prefix) / "bin"), "/usr/bin", "/bin"))
        return subprocess.Popen(
            [str(self.binary), *arguments],
            cwd=self.home,
            env={"HOME": str(self.home), "PATH": path, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, code: int = 0, **environment: str) -> tuple[str, str]:
        """What it says on stdout and stderr; it must end with `code`."""
        process = self.start(*arguments, **environment)
        said, warned = process.communicate()
        assert process.returncode == code, said + warned
        return said, warned


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """The file, moved away from where it was built, and a home where it has not run yet."""
    folder = tmp_path_factory.mktemp("binary")
    built = folder / "built" / "radvlm"
    subprocess.run([sys.executable, str(ROOT / "scripts" / "build_binary.py"), str(built)], check=True)
    (folder / "home").mkdir()
    return Machine(built.rename(folder / "home" / "radvlm"), folder / "home")


@pytest.fixture(scope="module")
def demo(machine: Machine) -> Path:
    """The folder of a demo that the file ran without training."""
    said, _ = machine.run("demo", "--fast", "--patients", "30", "--keep", "demo")
    assert "$ radvlm build" in said
    return machine.home / "demo"


@pytest.fixture(scope="module")
def tiny(demo: Path) -> str:
    """The folder of a model to train, from the machine's home."""
    from radvlm_cli.demo.tiny_model import dataset_texts, write_tiny_model

    write_tiny_model(demo / "tiny", dataset_texts(demo / "datasets" / "train" / "train.parquet"))
    return "demo/tiny"


@pytest.mark.slow
def test_two_first_runs_at_once_unpack_it_and_all_of_it_is_its_own(machine: Machine) -> None:
    for process in [machine.start("--version") for _ in range(2)]:
        said, warned = process.communicate()
        assert (said.strip(), warned, process.returncode) == (__version__, "", 0)
    code = "import radvlm_cli, numpy, sys; print(radvlm_cli.__file__); print(numpy.__file__); print(sys.path)"
    said, _ = machine.run("-c", code, PEX_INTERPRETER="1")
    own, numpy, path = said.splitlines()
    assert all(place.startswith(str(machine.home)) for place in (own, numpy))
    assert not [place for place in (str(ROOT), sys.prefix) if place in path]


@pytest.mark.slow
def test_it_runs_the_pipeline_and_reports(machine: Machine, demo: Path) -> None:
    assert (demo / "report.html").stat().st_size > 100_000
    assert (demo / "datasets" / "train" / "train.json").is_file()
    store = str(demo / "radvlm.db")
    said, _ = machine.run("report", "--json", "--store", store)
    assert json.loads(said)["view"] == "overview"
    said, _ = machine.run("report", "eval", "--json", "--store", store)
    assert "scripted" in json.dumps(json.loads(said))
    machine.run("report", "--html", "again.html", "--public", "--store", store)
    assert "<html" in (machine.home / "again.html").read_text()[:500]


@pytest.mark.slow
def test_without_torch_it_says_how_to_lend_it_one(machine: Machine, tiny: str) -> None:
    asked = ["train", "--gpus", "0", "--recipe", "tiny", "--dataset", "demo/datasets/train", "--model", tiny]
    _, warned = machine.run(*asked, "--store", "demo/radvlm.db", code=3)
    assert "needs torch" in warned
    assert f"export PEX_EXTRA_SYS_PATH=ENV/lib/{PYTHON}/site-packages" in warned
    assert "radvlm[models]" in warned


@pytest.mark.slow
def test_it_trains_and_evaluates_by_the_torch_of_another_environment(machine: Machine, tiny: str) -> None:
    lent = {"PEX_EXTRA_SYS_PATH": sysconfig.get_path("purelib"), "OMP_NUM_THREADS": "1"}
    where = ["--gpus", "0", "--store", "demo/radvlm.db"]
    given = ["--dataset", "demo/datasets/train", "--model", tiny, "--output", "demo/runs"]
    said, _ = machine.run("train", "--recipe", "tiny", "--max-steps", "2", *given, *where, **lent)
    final = Path(said.strip())
    assert (final / "config.json").is_file(), said
    asked = ["--dataset", "demo/datasets/test", "--task", "classification", "--limit", "2"]
    machine.run("eval", "--model", f"radvlm:{final}", *asked, "--data-dir", "demo/data", *where, **lent)


@pytest.mark.slow
def test_it_names_the_python_that_it_is_for(machine: Machine) -> None:
    with zipfile.ZipFile(machine.binary) as archive:
        about = json.loads(archive.read("PEX-INFO"))
    assert about["interpreter_constraints"] == [f"CPython=={PYTHON.removeprefix('python')}.*"]
    _, warned = machine.run("--version", code=1, PATH="/nowhere", HOME="/nowhere")
    assert PYTHON in warned


def test_the_hint_for_torch_is_one_that_the_single_file_can_follow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert program.how_to_get_models() == "pip install 'radvlm[models]'"
    (tmp_path / "PEX-INFO").touch()
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert program.how_to_get_models().startswith(f"export PEX_EXTRA_SYS_PATH=ENV/lib/{PYTHON}/site-packages")
