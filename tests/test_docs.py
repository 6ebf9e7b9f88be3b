import subprocess
import sys
from pathlib import Path

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
