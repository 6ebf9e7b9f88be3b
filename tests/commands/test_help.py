"""Every command's help is quick to show and shows how it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.main import get_command

from radvlm_cli.main import application, run

HEAVY = (
    "aiohttp",
    "pandas",
    "pyarrow",
    "numpy",
    "pydicom",
    "PIL",
    "sqlmodel",
    "sqlalchemy",
    "alembic",
    "openai",
    "torch",
    "yaml",
)

GROUPS = (("db",), ("export",))
"""Commands that only have others below them."""


def _commands() -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = [()]
    for name, command in get_command(application()).commands.items():  # type: ignore[attr-defined]
        found.append((name,))
        found += [(name, inner) for inner in getattr(command, "commands", {})]
    return found


@pytest.mark.parametrize("command", _commands(), ids=" ".join)
def test_help_imports_nothing_heavy(command: tuple[str, ...]) -> None:
    code = (
        "import sys; from radvlm_cli.main import run; "
        f"code = run({[*command, '--help']!r}); "
        f"heavy = [m for m in {HEAVY!r} if m in sys.modules]; "
        "print('HEAVY', heavy); sys.exit(code or bool(heavy))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("command", [c for c in _commands() if c and c not in GROUPS], ids=" ".join)
def test_help_shows_two_real_examples(command: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*command, "--help"]) == 0
    examples = capsys.readouterr().out.partition("Examples:")[2]
    assert examples.count(f"radvlm {' '.join(command)}") >= 2, examples
