import re
import subprocess
import sys
from pathlib import Path

import pytest

from radvlm_cli.sources import SOURCES

ROOT = Path(__file__).parents[1]


def test_generated_pages_are_up_to_date() -> None:
    result = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"], capture_output=True, text=True, check=False
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
