"""The walk through the documentation, with our packages in place of an installation."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.walk.pages import ROOT
from tests.walk.shell import Shell, surprise_in


@pytest.mark.slow
def test_a_newcomer_meets_no_surprise() -> None:
    walk = subprocess.run(
        [sys.executable, "-m", "tests.walk"], cwd=ROOT, capture_output=True, text=True, errors="replace", check=False
    )
    assert walk.returncode == 0, walk.stdout[-4000:] + walk.stderr


def test_what_a_command_sets_holds_for_the_next(tmp_path: Path) -> None:
    with Shell(tmp_path, {"PATH": "/usr/bin:/bin"}, tmp_path) as shell:
        assert shell.run("export FILM=x; mkdir y; cd y", patience_s=20).code == 0
        assert shell.run('echo "$FILM in $(basename "$PWD")"', patience_s=20)[:2] == (0, "x in y\n")
        assert shell.run("ls nothing 2>&1 | cat; (exit 7)", patience_s=20).code == 7
        assert shell.run("cat", patience_s=20).code == 0, "there is no keyboard to wait for"
        assert shell.run("sleep 60", patience_s=0.2).code is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("all\nis well, 3 warnings counted\n", None),
        ("a\nx.py:3: UserWarning: old\n", "x.py:3: UserWarning: old"),
        ("warning: deprecated\n", "warning: deprecated"),
        ("[2026] [WARNING] [real_accelerator.py] no GPU", "[2026] [WARNING] [real_accelerator.py] no GPU"),
        ("Traceback (most recent call last):\n  File\n", "Traceback (most recent call last):"),
    ],
)
def test_a_surprise_is_what_looks_like_one(text: str, found: str | None) -> None:
    assert surprise_in(text) == found
