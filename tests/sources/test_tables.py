"""Damages that every table can have; what the cells mean is tested with each source."""

from __future__ import annotations

import gzip
import os
import zipfile
from pathlib import Path

import pytest

from radvlm_cli.errors import DataError
from radvlm_cli.sources.tables import first_row, read_header, read_table

ROWS = b"a,b,c\n" + b"".join(b"%d,Name of patient %d,x\n" % (n, n) for n in range(3000))


def _zip(content: bytes, *names: str) -> bytes:
    place = Path("made.zip")
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, content)
    return place.read_bytes()


def _flagged(archive: bytes, *, local: int, central: int, value: int) -> bytes:
    """A zip with one byte of both headers of its only member changed."""
    changed = bytearray(archive)
    changed[local] = value
    changed[archive.rfind(b"PK\x01\x02") + central] = value
    return bytes(changed)


def _read(name: str, content: bytes, *columns: str, optional: tuple[str, ...] = ()) -> list[tuple[str | None, ...]]:
    Path(name).write_bytes(content)
    return list(read_table(Path(name), columns, optional=optional))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", b"a,b,c\n1,2,3\n"),
        ("t.csv", b"c,b,a\n3,2,1"),
        ("t.csv", b"\xef\xbb\xbfa,b,c\r\n1,2,3\r\n"),
        ("t.csv", b'"a","b",c\n"1","2",3\n'),
        ("t.csv", b",a,b\n0,1,2\n"),
        ("t.csv", b"a,b,c,c\n1,2,3,4\n"),
        ("t.csv.gz", gzip.compress(b"a,b,c\n1,2,3\n", mtime=0)),
        ("t.csv.gz", gzip.compress(b"a,b,c\n", mtime=0) + gzip.compress(b"1,2,3\n", mtime=0)),
    ],
)
def test_a_table_is_read_by_column_name_however_it_is_written(name: str, content: bytes) -> None:
    assert _read(name, content, "a", "b") == [("1", "2")]


def test_a_table_alone_in_a_zip_is_read_like_a_plain_one() -> None:
    content = _zip(ROWS, "inner/t.csv", "__MACOSX/._t.csv")
    assert len(_read("t.csv.zip", content, "a")) == 3000


def test_line_breaks_and_commas_in_cells_are_kept() -> None:
    assert _read("t.csv", b'a,b\n"1\r\n2","x, y"\n', "a", "b") == [("1\r\n2", "x, y")]


def test_blank_cells_are_none_and_blanks_can_be_chosen() -> None:
    assert _read("t.csv", b'a,b,c\n"",NaN,nan\n', "a", "b", "c") == [(None, None, None)]
    assert list(read_table(Path("t.csv"), ["a", "b"], blanks=("",))) == [(None, "NaN")]


def test_an_optional_column_that_is_not_there_is_none() -> None:
    assert _read("t.csv", b"a,b\n1,2\n", "a", optional=("z", "b")) == [("1", None, "2")]


def test_rows_beyond_the_first_block_are_read_too() -> None:
    count = 400_000
    rows = _read("t.csv", b"a,b\n" + b"".join(b"%d,abcdefgh\n" % n for n in range(count)), "a")
    assert (len(rows), rows[-1]) == (count, (str(count - 1),))


def test_the_first_row_is_had_alone() -> None:
    Path("t.csv").write_bytes(ROWS)
    assert first_row(Path("t.csv"), ["a"]) == ("0",)


GZ = gzip.compress(ROWS, mtime=0)  # the time would be in the names of the tests


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.csv", b"", "is empty"),
        ("t.csv", b"\n\n", "is empty"),
        ("t.csv", b"a,b,c\n", "no rows"),
        ("t.csv", b"a,c\n1,3\n", "column 'b' is missing"),
        ("t.csv", b"a, b\n1,2\n", "' b' among them"),
        ("t.csv", b"a;b;c\n1;2;3\n", "separated by semicolons"),
        ("t.csv", b"a\tb\tc\n1\t2\t3\n", "separated by tabs"),
        ("t.csv", b"a,b,b\n1,2,3\n", "column 'b' is there twice"),
        ("t.csv", b"a,b,c\n1,2,3\n1,2\n", "Expected 3 columns, got 2"),
        ("t.csv", b"a,b,c\n1,2,3\n1,2,3,4\n", "Expected 3 columns, got 4"),
        ("t.csv", b'a,b,c\n1,"2,3\n4,5,6\n7,8,9\n', "Expected 3 columns"),
        ("t.csv", b'a,b,c\n1,2,"3\n4,5,6\n7,8,9\n', "never closes"),
        ("t.csv", "a,b,c\n1,é,3\n".encode("latin-1"), "not UTF-8"),
        ("t.csv", ROWS + "1,é,3\n".encode("latin-1"), "UTF8"),
        ("t.csv", "a,b,c\n1,2,3\n".encode("utf-16"), "not UTF-8"),
        ("t.csv", GZ, "not UTF-8"),
        ("t.csv.gz", ROWS, "Not a gzipped file"),
        ("t.csv.gz", b"", "is empty"),
        ("t.csv.gz", GZ[:5], "ended before the end"),
        ("t.csv.gz", GZ[: len(GZ) // 2], "Truncated compressed stream"),
        ("t.csv.gz", GZ[:-1], "Truncated compressed stream"),
        ("t.csv.gz", GZ[:900] + b"\xff\xff\xff" + GZ[903:], "cannot be read|damaged"),
        ("t.csv.zip", ROWS, "not a zip file"),
    ],
)
def test_a_damaged_table_is_a_clear_error(name: str, content: bytes, said: str) -> None:
    with pytest.raises(DataError, match=said) as raised:
        _read(name, content, "a", "b")
    assert raised.value.message.startswith(name)
    assert raised.value.hint


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda z: z[: len(z) // 2], "not a zip file"),
        (lambda z: z[:1000] + b"\xff\xff" + z[1002:], "cannot be read|damaged"),
        (lambda z: _flagged(z, local=6, central=8, value=1), "encrypted"),
        (lambda z: _flagged(z, local=8, central=10, value=99), "compression method"),
        (lambda _z: _zip(ROWS, "t.csv", "u.csv"), "holds 2 tables"),
        (lambda _z: _zip(ROWS, "t.txt"), "holds 0 tables"),
    ],
)
def test_a_damaged_zip_is_a_clear_error(change, said: str) -> None:
    with pytest.raises(DataError, match=said):
        _read("t.csv.zip", change(_zip(ROWS, "t.csv")), "a", "b")


def test_a_folder_in_place_of_a_table_is_a_clear_error() -> None:
    Path("t.csv").mkdir()
    with pytest.raises(DataError, match="is a folder where a file should be"):
        list(read_table(Path("t.csv"), ["a"]))


def test_a_table_that_vanished_is_a_clear_error() -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_header(Path("gone.csv"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_table_without_read_permission_says_how_to_mend_it() -> None:
    Path("t.csv").write_bytes(ROWS)
    Path("t.csv").chmod(0)
    with pytest.raises(DataError, match="permission denied") as raised:
        list(read_table(Path("t.csv"), ["a"]))
    assert raised.value.hint == "chmod u+r t.csv"


@pytest.mark.parametrize(
    "content",
    [
        b"Anna Example,1932\n1,2\n",  # the first line is lost: what is there is a patient
        b"a,b\n1,2\nAnna Example\n",
        b"a,b\n1,2\n" + "Anna Example,é\n".encode("latin-1"),
        b'a,b\n1,"Anna Example\n2,3\n',
    ],
)
def test_a_message_never_quotes_the_table(content: bytes) -> None:
    with pytest.raises(DataError) as raised:
        _read("t.csv", content, "a", "b")
    assert "Anna" not in raised.value.message
