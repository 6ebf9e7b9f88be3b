"""Build dist/radvlm: the program with all that it needs but the `models` extra, in one file (docs/binary.md).

    .venv/bin/python scripts/build_binary.py [FILE]

Nothing is downloaded: what goes in is what the environment that runs this has installed, so the file holds the versions
that the tests ran with. The same environment and code give the same bytes. Takes about a minute.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[1]


def build(target: Path) -> None:
    """Write the file. SystemExit where this does not run in a virtual environment, or a step fails."""
    if sys.prefix == sys.base_prefix:
        sys.exit("Run this by the python of the virtual environment whose packages are to go in (make binary).")
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="radvlm-binary-") as folder:
        work = Path(folder)
        _run(work, "hatchling", "build", "-t", "wheel", "-d", str(work))
        (wheel,) = work.glob("*.whl")
        # In two steps, as pex takes packages from an environment only for every Python that can run them all: the first
        # gathers them, the second says which Python they are for, so that another one is told so in plain words.
        packages = work / "packages"
        _pex(work, "--venv-repository", sys.prefix, "--project", str(wheel), "--layout=packed", "-o", str(packages))
        python = f"CPython=={sys.version_info.major}.{sys.version_info.minor}.*"
        which = ["--interpreter-constraint", python, "--python-path", sys.executable]
        made = work / "radvlm"
        _pex(work, "--pex-repository", str(packages), "radvlm", *which, "-c", "radvlm", "--venv", "-o", str(made))
        partial = target.with_name(f"{target.name}.partial")
        partial.write_bytes(made.read_bytes())
        partial.chmod(0o755)
        partial.replace(target)
    print(f"{target}: {target.stat().st_size / 1e6:.0f} MB, for {python}")


def _pex(work: Path, *arguments: str) -> None:
    # --sh-boot: a file that has unpacked itself starts without looking for a Python first. Only the second step's file
    # is compressed and kept.
    kept = ["--sh-boot"] if "--venv" in arguments else ["--no-compress"]
    _run(work, "pex", *kept, *arguments)


def _run(work: Path, module: str, *arguments: str) -> None:
    # A folder of pex's own: neither stale packages nor settings of the user get in.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PEX_")}
    environment |= {"PEX_ROOT": str(work / "root"), "PEX_IGNORE_RCFILES": "true"}
    done = subprocess.run([sys.executable, "-m", module, *arguments], cwd=ROOT, env=environment, check=False)
    if done.returncode:
        sys.exit(f"{module} ended with {done.returncode}.")


if __name__ == "__main__":
    build(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "dist" / "radvlm")
