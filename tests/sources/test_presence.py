from __future__ import annotations

from pathlib import Path

from radvlm_cli.sources import Options
from radvlm_cli.sources.presence import presence


def test_a_file_is_present_and_anything_else_is_missing(tmp_path: Path) -> None:
    (tmp_path / "here.jpg").touch()
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "link.jpg").symlink_to(tmp_path / "gone.jpg")
    assert presence(tmp_path / "here.jpg", Options()) == ("present", None)
    for name in ("gone.jpg", "folder.jpg", "link.jpg", "x" * 300, "nul\0.jpg"):
        assert presence(tmp_path / name, Options()) == ("missing", "file not found")


def test_nothing_is_looked_for_when_only_tables_are_wanted(tmp_path: Path) -> None:
    assert presence(tmp_path / "gone.jpg", Options(tables_only=True)) == ("unchecked", None)
