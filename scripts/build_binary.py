"""Build dist/radvlm: the program with all packages but those of LEFT_OUT, in one file (docs/binary.md).

    .venv/bin/python scripts/build_binary.py [FILE]

Nothing is downloaded: what goes in is what the environment that runs this has installed, so the file holds the versions
that the tests ran with. The same environment and code give the same bytes. Takes about a minute.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[1]
LEFT_OUT = {"models", "all", "dev"}
"""Extras whose packages do not go in: torch and its like are too large."""

PYTHON = f"CPython=={sys.version_info.major}.{sys.version_info.minor}.*"


def build(target: Path) -> None:
    """Write the file. SystemExit where this does not run in a virtual environment, or a step fails."""
    if sys.prefix == sys.base_prefix:
        sys.exit("Run this by the python of the virtual environment whose packages are to go in (make binary).")
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="radvlm-binary-") as folder:
        work = Path(folder)
        _run("hatchling", "build", "-t", "wheel", "-d", str(work))
        (wheel,) = work.glob("*.whl")
        made = _bind(work, _gather(work, wheel))
        partial = target.with_name(f"{target.name}.partial")
        partial.write_bytes(made.read_bytes())
        partial.chmod(0o755)
        partial.replace(target)
    print(f"{target}: {target.stat().st_size / 1e6:.0f} MB, for {PYTHON}")


def _gather(work: Path, wheel: Path) -> Path:
    """The wheel and the packages that it needs, out of this environment; not compressed."""
    packages = work / "packages"
    source = ["--venv-repository", sys.prefix, "--project", f"{wheel}{_extras()}"]
    _pex(work, *source, "--layout=packed", "--no-compress", "--output-file", str(packages))
    return packages


def _bind(work: Path, packages: Path) -> Path:
    """The executable file, bound to this minor version of Python, so that another is told so in plain words.

    A step of its own: where pex gathers from an environment, it takes a constraint only if the tags of all that is
    installed there fit. --venv: it runs in an environment that it unpacks to. --sh-boot: once unpacked, it starts there
    without looking for a Python first.
    """
    made = work / "radvlm"
    which = ["--interpreter-constraint", PYTHON, "--python-path", sys.executable]
    source = ["--pex-repository", str(packages), f"radvlm{_extras()}"]
    _pex(work, *source, *which, "--console-script=radvlm", "--venv", "--sh-boot", "--output-file", str(made))
    return made


def _extras() -> str:
    """The extras that do go in, as they stand after a package's name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = sorted(set(project["optional-dependencies"]) - LEFT_OUT)
    return f"[{','.join(names)}]" if names else ""


def _pex(work: Path, *arguments: str) -> None:
    # A folder of pex's own: neither stale packages nor settings of the user get in.
    _run("pex", *arguments, PEX_ROOT=str(work / "root"), PEX_IGNORE_RCFILES="true")


def _run(module: str, *arguments: str, **settings: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PEX_")}
    words = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(words, cwd=ROOT, env={**environment, **settings}, check=False)
    if done.returncode:
        sys.exit(f"{module} ended with {done.returncode}.")


if __name__ == "__main__":
    build(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "dist" / "radvlm")
