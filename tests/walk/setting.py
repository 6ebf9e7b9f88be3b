"""What a newcomer has before the first command: a clone, Python, datasets (phantoms), a served model (a fake)."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import NamedTuple

from radvlm_cli.demo.world import write_world
from tests.walk.pages import ROOT

_KEPT = ("PATH", "LANG", "LC_ALL", "TERM", "TMPDIR", "OMP_NUM_THREADS", "PIP_INDEX_URL", "PIP_CONFIG_FILE")
"""Of the environment of whoever runs the walk. No setting of radvlm is among them."""


class Setting(NamedTuple):
    """Where the walk takes place."""

    clone: Path
    environment: dict[str, str]


def make_setting(folder: Path, server: str, *, borrow: bool) -> Setting:
    """Clone the last commit, write the phantoms, and name both and the server's address in the environment.

    With `borrow` the clone gets a virtual environment that takes its packages from the one that runs this, in place of
    the one that `make` would install. A folder of an earlier walk is gone on in, with the last commit.
    """
    clone = folder / "radvlm"
    known = clone.exists()
    if known:
        subprocess.run(["git", "-C", str(clone), "pull", "--quiet", "--ff-only"], check=True)
    else:
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    changed = subprocess.run(["git", "-C", str(ROOT), "status", "--short"], capture_output=True, text=True, check=True)
    if changed.stdout:
        print(f"The clone is of the last commit; these changes are not in it:\n{changed.stdout}", flush=True)
    world = folder / "cxr"
    write_world(world, patients=12, with_generated=False)
    home = folder / "home"
    home.mkdir(exist_ok=True)
    if borrow and not known:
        _borrow(clone)
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    film = min(world.glob("VinDr-CXR/test/*.dicom"))
    return Setting(
        clone,
        {**kept, "HOME": str(home), "WALK_WORLD": str(world), "WALK_SERVER": server, "WALK_FILM": str(film)},
    )


def _borrow(clone: Path) -> None:
    """A virtual environment with our packages and the clone's own radvlm, which `make` takes for one of its own."""
    place = clone / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    inside = sysconfig.get_path("purelib", vars={"base": str(place), "platbase": str(place)})
    # Folders in a .pth file are searched, but their own .pth files are not: the clone's radvlm is the only one.
    lines = [str(clone / "src"), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    Path(inside, "walk.pth").write_text("".join(f"{line}\n" for line in dict.fromkeys(lines)), encoding="utf-8")
    program = place / "bin" / "radvlm"
    # As pip writes it: processes that are spawned read it again, as a module of another name.
    code = "from radvlm_cli.main import main\n\nif __name__ == '__main__':\n    main()\n"
    program.write_text(f"#!{place}/bin/python\n{code}", encoding="utf-8")
    program.chmod(0o755)
    (place / ".installed").touch()
