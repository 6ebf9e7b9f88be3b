import os
import re
import zipfile
from pathlib import Path

import pytest

from radvlm_cli.errors import DataError
from radvlm_cli.sources.archive import read_files

TEXT = re.compile(r"\.txt$")
MEMBERS = {"files/p11/b.txt": b"second " * 50, "files/p10/a.txt": b"first " * 50, "files/p10/a.jpg": b"no text"}


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "reports.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, content in MEMBERS.items():
            out.writestr(name, content)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in MEMBERS.items():
        path = tmp_path / "unpacked" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "unpacked"


def test_archive_and_folder_give_the_same_files_by_name(archive, folder):
    expected = [(name, MEMBERS[name], None) for name in ("files/p10/a.txt", "files/p11/b.txt")]
    assert list(read_files(archive, TEXT, depth=0)) == expected
    assert list(read_files(folder, TEXT, depth=2)) == expected


def test_stored_order_is_that_of_the_archive(archive):
    names = [file.name for file in read_files(archive, TEXT, depth=0, order="stored")]
    assert names == ["files/p11/b.txt", "files/p10/a.txt"]


def test_folders_below_the_depth_are_not_searched(folder):
    assert list(read_files(folder, TEXT, depth=1)) == []


def test_members_stored_without_compression_and_empty_ones_are_read(tmp_path):
    path = tmp_path / "stored.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as out:
        out.writestr("a.txt", b"as it is")
        out.writestr("b.txt", b"")
    assert [file.content for file in read_files(path, TEXT, depth=0)] == [b"as it is", b""]


def test_a_local_header_with_a_long_extra_field_is_read(tmp_path):
    path = tmp_path / "extra.zip"
    member = zipfile.ZipInfo("a.txt")
    member.extra = b"\x99\x99" + (300).to_bytes(2, "little") + bytes(300)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr(member, b"content")
    assert [file.content for file in read_files(path, TEXT, depth=0)] == [b"content"]


@pytest.mark.parametrize("offset", [0, 45, 50])
def test_a_damaged_member_has_a_problem_and_the_others_are_read(archive, offset):
    with zipfile.ZipFile(archive) as opened:
        start = opened.getinfo("files/p10/a.txt").header_offset
    content = bytearray(archive.read_bytes())
    content[start + offset] ^= 0xFF
    archive.write_bytes(content)
    first, second = read_files(archive, TEXT, depth=0)
    assert (first.content, first.problem) == (b"", "damaged, or packed in a way that cannot be read")
    assert second.content == MEMBERS["files/p11/b.txt"]


def test_a_member_packed_in_another_way_has_a_problem(tmp_path):
    path = tmp_path / "bzip2.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as out:
        out.writestr("a.txt", b"content")
    assert [file.problem for file in read_files(path, TEXT, depth=0)] == [
        "damaged, or packed in a way that cannot be read"
    ]


def test_an_archive_cut_short_is_an_error_that_names_it(archive):
    archive.write_bytes(archive.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"reports\.zip cannot be read as a zip archive") as caught:
        list(read_files(archive, TEXT, depth=0))
    assert caught.value.hint is not None


def test_a_file_that_cannot_be_read_has_a_problem(folder):
    (folder / "files/p10/a.txt").unlink()
    os.symlink(folder / "nowhere", folder / "files/p10/a.txt")
    first, second = read_files(folder, TEXT, depth=2)
    assert first.problem == "the file cannot be read: No such file or directory"
    assert second.problem is None
