import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from radvlm_cli import __version__
from radvlm_cli.main import application
from radvlm_cli.sources import SOURCES

ROOT = Path(__file__).parents[1]


def test_generated_pages_are_up_to_date_and_the_same_in_any_terminal_and_environment() -> None:
    odd = {"COLUMNS": "40", "TERMINAL_WIDTH": "40", "TERM": "xterm-256color", "FORCE_COLOR": "1", "LANG": "C"}
    chosen = {"DATA_DIR": "/elsewhere", "RADVLM_STORE": "/elsewhere/radvlm.db", "RADVLM_DERIVED_DIR": "/derived"}
    result = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"],
        env={**os.environ, **odd, **chosen},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_column_of_the_store_is_described() -> None:
    page = (ROOT / "docs" / "store.md").read_text()
    undescribed = [line for line in page.splitlines() if line.startswith("| ") and line.endswith("| Row id. |")]
    assert all(line.startswith("| id |") for line in undescribed)


@pytest.mark.parametrize("name", SOURCES)
def test_the_page_about_the_datasets_names_each_with_its_folders_and_files(name: str) -> None:
    info = SOURCES[name]().info
    page = (ROOT / "docs" / "data.md").read_text()
    required = [path for requirement in info.requirements if requirement.needed for path in requirement.paths]
    first = [requirement.paths[0] for requirement in info.requirements]
    files = {Path(path).name for path in (*required, *first) if "*" not in path}
    words = {f"`{info.name}`", f"\n## {info.title.partition(' (')[0]}\n", info.title, info.licence}
    folders = {f"`{folder}`" for folder in info.folders}
    links = set(re.findall(r"https://[^ )]+", info.obtain))
    assert {word for word in words | folders | files | links if word not in page} == set()


def test_the_page_of_commands_shows_every_command_with_all_its_options_and_two_examples() -> None:
    page = (ROOT / "docs" / "commands.md").read_text()
    sections = {part.partition("\n")[0]: part for part in page.split("\n## ")[1:]}
    assert "\x1b" not in page
    seen = 0
    for path, command in _commands(get_command(application()), "radvlm"):
        seen += 1
        names = {name for each in command.params for name in (*each.opts, *each.secondary_opts) if name[0] == "-"}
        assert {name for name in names if name not in sections[path]} == set(), path
        if not getattr(command, "commands", None):
            examples = sections[path].partition("```sh\n")[2]
            assert examples.count(path) >= 2, path
    assert seen == len(sections)


def _commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from _commands(below, f"{path} {name}")


def test_the_citation_names_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (citation["version"], citation["license"]) == (__version__, "Apache-2.0")
    assert "TERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION" in (ROOT / "LICENSE").read_text()
