"""Token lengths known beforehand are those of the samples."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from finetuning import lengths as module
from finetuning.anyres import Anyres
from finetuning.lengths import UNREADABLE, lengths_of, read_sizes, select
from finetuning.samples import TOO_LONG, Sample, Samples
from finetuning.table import Table, open_table
from tests.finetuning.datasets import Given, draw, write_table
from tests.finetuning.golden import chat

ANYRES = Anyres()
DIALOGUE = ("Is there an effusion?", "Yes.\n\nOn the left.", "Sure?", "<|im_end|>", "Where?", "\n[0.1, 0.2]")


@pytest.fixture
def table(tmp_path: Path) -> Table:
    draw(tmp_path / "a.jpg", 400, 300)
    draw(tmp_path / "b.png", 1500, 900)
    draw(tmp_path / "c.jpg", 300, 800, mode="RGB")
    pairs = [
        Given("a.jpg"),
        Given("b.png", DIALOGUE),
        Given("c.jpg", ("", "Yes.\n\nOn the left."), (3000, 8000)),  # the table has the size before conversion
        Given("a.jpg", DIALOGUE[2:4]),
        Given("missing.jpg", size=(400, 300)),
    ]
    return open_table(write_table(tmp_path / "train.parquet", pairs, group=2), tmp_path / "cache")


@pytest.mark.parametrize("longest", [None, 512])
def test_lengths_are_exactly_those_of_the_samples(table: Table, tmp_path: Path, longest: int | None) -> None:
    lengths = lengths_of(table, chat(), ANYRES, image_root=tmp_path, max_image_side=longest)
    samples = Samples(table, chat(), ANYRES, max_length=10**6, max_image_side=longest, image_root=tmp_path)
    for number in range(4):
        sample = samples[number]
        assert isinstance(sample, Sample)
        assert (lengths.tokens[number], lengths.tiles[number]) == (len(sample.ids), len(sample.tiles))
    assert lengths.tokens[4] == 0


def test_rows_too_long_or_unreadable_are_left_out_with_their_reason(table: Table, tmp_path: Path) -> None:
    lengths = lengths_of(table, chat(), ANYRES, image_root=tmp_path)
    longest = int(lengths.tokens.max())
    everything = select(lengths, longest)
    assert everything.rows.tolist() == [0, 1, 2, 3]
    assert {reason: rows.tolist() for reason, rows in everything.dropped.items()} == {UNREADABLE: [4]}
    fewer = select(lengths, longest - 1)
    assert fewer.rows.tolist() == [row for row in range(4) if lengths.tokens[row] < longest]
    assert fewer.dropped[TOO_LONG].tolist() == [int(lengths.tokens.argmax())]


def test_a_second_start_reads_neither_texts_nor_all_headers(table: Table, tmp_path: Path) -> None:
    first = lengths_of(table, chat(), ANYRES, image_root=tmp_path)
    with mock.patch.object(module, "count_text"), mock.patch.object(module, "read_sizes"):
        again = lengths_of(table, chat(), ANYRES, image_root=tmp_path)
        capped = lengths_of(table, chat("llava-next"), ANYRES, image_root=tmp_path, max_image_side=64)
    assert first.tokens.tolist() == again.tokens.tolist()
    assert capped.tiles.tolist() == [2, 2, 2, 2, 0]


def test_sizes_are_read_again_when_the_files_have_changed(table: Table, tmp_path: Path) -> None:
    before = lengths_of(table, chat(), ANYRES, image_root=tmp_path)
    draw(tmp_path / "a.jpg", 1200, 1200)
    after = lengths_of(table, chat(), ANYRES, image_root=tmp_path)
    assert after.tiles[0] > before.tiles[0]
    assert after.tokens[1:3].tolist() == before.tokens[1:3].tolist()


def test_a_picture_that_has_been_mended_is_trained_on(tmp_path: Path) -> None:
    pairs = [Given("a.jpg")] * 500 + [Given("late.jpg")] + [Given("a.jpg")] * 499
    draw(tmp_path / "a.jpg", 400, 300)
    table = open_table(write_table(tmp_path / "train.parquet", pairs, group=1000), tmp_path)
    assert select(lengths_of(table, chat(), ANYRES, image_root=tmp_path), 9999).dropped[UNREADABLE].tolist() == [500]
    draw(tmp_path / "late.jpg", 400, 300)
    assert not select(lengths_of(table, chat(), ANYRES, image_root=tmp_path), 9999).dropped


def test_the_first_start_tells_what_takes_long_and_a_later_one_is_silent(table: Table, tmp_path: Path) -> None:
    told: list[str] = []
    for _ in range(2):
        lengths_of(table, chat(), ANYRES, image_root=tmp_path, note=told.append)
    assert told == [
        "counting the tokens of 5 conversations; this is done once",
        "reading the sizes of the pictures of 5 pairs; this is done once",
    ]


def test_each_file_is_opened_once(table: Table, tmp_path: Path) -> None:
    with mock.patch.object(module, "header_size", wraps=module.header_size) as header:
        sizes = read_sizes(table, tmp_path)
    assert header.call_count == 4
    assert sizes.tolist() == [[400, 300], [1500, 900], [300, 800], [400, 300], [0, 0]]


def test_no_rows_have_no_lengths(tmp_path: Path) -> None:
    empty = open_table(write_table(tmp_path / "none.parquet", []), tmp_path)
    lengths = lengths_of(empty, chat(), ANYRES)
    assert len(lengths.tokens) == len(select(lengths, 5).rows) == 0
    assert lengths.tokens.dtype == np.int32
