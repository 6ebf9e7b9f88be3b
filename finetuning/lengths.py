"""How many tokens each row of a table has, known before any picture is decoded.

The tokens of a picture follow from its size, those of the text are counted by the tokenizer; both are kept beside the
table's copy, so that only the first start of all takes longer than a moment. Sizes come from the headers of the image
files: the width and height of the table are those of the original, which conversion may have made smaller.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from finetuning.anyres import Anyres, capped
from finetuning.chat import Chat
from finetuning.order import Rows
from finetuning.pictures import header_size
from finetuning.samples import TOO_LONG, image_path
from finetuning.table import Table, locked, replacing

Sizes = NDArray[np.int32]

_THREADS = 16
"""Headers are read at once: on a network file system each is a wait."""
_PROBES = 64
"""Headers that are read again at each start, besides those that could not be read."""

_CORES = "TOKENIZERS_PARALLELISM"
UNREADABLE = "the image file is missing or its header damaged"


class Lengths(NamedTuple):
    """Per row of the table; 0 where the picture's header cannot be read."""

    tokens: Sizes
    """Tokens of the whole sample."""
    tiles: Sizes
    """Tiles of the picture."""


class Selection(NamedTuple):
    """Which rows are trained on."""

    rows: Rows
    """Row numbers, ascending."""
    dropped: dict[str, Rows]
    """Row numbers by reason."""


def select(lengths: Lengths, max_length: int) -> Selection:
    """Leave out rows that are longer than `max_length` tokens, and those whose picture cannot be read."""
    unreadable = lengths.tokens == 0
    too_long = lengths.tokens > max_length
    dropped = {UNREADABLE: np.flatnonzero(unreadable), TOO_LONG: np.flatnonzero(too_long)}
    kept = np.flatnonzero(~unreadable & ~too_long)
    return Selection(kept, {reason: rows for reason, rows in dropped.items() if len(rows)})


def lengths_of(
    table: Table,
    chat: Chat,
    anyres: Anyres,
    *,
    image_root: Path | None = None,
    max_image_side: int | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> Lengths:
    """Token length and tiles of every row, from the files beside the table's copy where they stand.

    `note` is told of work that may take minutes, by the process that does it.
    """

    def measure() -> Sizes:
        note(f"reading the sizes of the pictures of {len(table):,} pairs; this is done once")
        return read_sizes(table, image_root)

    def count() -> Sizes:
        note(f"counting the tokens of {len(table):,} conversations; this is done once")
        return count_text(table, chat)

    key = hashlib.sha256(f"{image_root}".encode()).hexdigest()[:16]
    stem = table.path.name.removesuffix(".arrow")
    text = _cached(table.path.with_name(f"{stem}.{chat.fingerprint[:16]}.text.npy"), count)
    sizes = _cached(
        table.path.with_name(f"{stem}.{key}.sizes.npy"), measure, lambda kept: _still_true(table, kept, image_root)
    )
    unique, which = np.unique(sizes[:, 0].astype(np.int64) << 32 | sizes[:, 1], return_inverse=True)
    each = [_of_size(anyres, size >> 32, size & 0xFFFFFFFF, max_image_side) for size in unique.tolist()]
    image, tiles = np.array(each, np.int32).reshape(-1, 2)[which].T
    return Lengths(np.where(image > 0, text + image, 0), tiles)


def _of_size(anyres: Anyres, width: int, height: int, longest: int | None) -> tuple[int, int]:
    """Tokens and tiles of a picture; zeros for one of no size."""
    if width < 1 or height < 1:
        return 0, 0
    tiling = anyres.tiling(*capped(width, height, longest))
    return tiling.tokens, tiling.tiles


def _cached(path: Path, make: Callable[[], Sizes], good: Callable[[Sizes], bool] = lambda _: True) -> Sizes:
    """The array of a file; made, by one process, where it is missing or no longer `good`."""
    if path.exists() and good(kept := _mapped(path)):
        return kept
    with locked(path):
        # Another process may have made it meanwhile.
        if not path.exists() or not good(_mapped(path)):
            made = make()
            with replacing(path) as stream:
                np.save(stream, made)
    return _mapped(path)


def _mapped(path: Path) -> Sizes:
    array: Sizes = np.load(path, mmap_mode="r")
    return array


def count_text(table: Table, chat: Chat) -> Sizes:
    """Tokens of each row but those of its picture; exactly what `Chat.encode` makes of it. Takes all cores."""
    with _all_cores():
        return _count_batches(table, chat)


@contextmanager
def _all_cores() -> Iterator[None]:
    """Let the tokenizer work on all cores, whatever is set for the workers that are forked later."""
    before = os.environ.get(_CORES)
    os.environ[_CORES] = "true"
    try:
        yield
    finally:
        os.environ[_CORES] = before if before is not None else "false"


def _count_batches(table: Table, chat: Chat) -> Sizes:
    return np.concatenate([_count_batch(batch, chat) for batch in table.batches] or [np.empty(0, np.int32)])


def _count_batch(batch: pa.RecordBatch, chat: Chat) -> Sizes:
    """Each different turn of the batch is tokenised once: most questions come many times."""
    spoken = batch.column("conversations")
    offsets = spoken.offsets.to_numpy()
    said = spoken.values.slice(offsets[0], offsets[-1] - offsets[0])
    starts, turns = offsets[:-1] - offsets[0], len(said)
    texts, roles = said.field("value").dictionary_encode(), said.field("from").dictionary_encode()
    kinds = 2 * roles.indices.to_numpy().astype(np.int64)
    filled = starts[offsets[1:] > offsets[:-1]]
    kinds[filled] += 1
    width = 2 * len(roles.dictionary)
    keys, which = np.unique(texts.indices.to_numpy() * width + kinds, return_inverse=True)
    words, names = texts.dictionary.to_pylist(), roles.dictionary.to_pylist()
    pieces = [chat.piece(names[key % width // 2], words[key // width], first=bool(key % 2)) for key in keys.tolist()]
    tokens = (chat.count(pieces) + chat.PER_TURN)[which]
    sums = np.zeros(turns + 1, np.int64)
    np.cumsum(tokens, out=sums[1:])
    counts: Sizes = (sums[offsets[1:] - offsets[0]] - sums[starts] + chat.overhead).astype(np.int32)
    return counts


def read_sizes(table: Table, image_root: Path | None) -> Sizes:
    """Width and height of each row's picture from its file's header, each file once; 0, 0 where there is none."""
    numbers: dict[str, int] = {}
    where = []
    for batch in table.batches:
        column = batch.column("image").dictionary_encode()
        own = [numbers.setdefault(image, len(numbers)) for image in column.dictionary.to_pylist()]
        where.append(np.array(own, np.int64)[column.indices.to_numpy()])
    sizes = np.array(_headers(numbers, image_root), np.int32).reshape(-1, 2)
    return sizes[np.concatenate(where)] if where else sizes


def _headers(images: Iterable[str], root: Path | None) -> list[tuple[int, int]]:
    paths = [image_path(root, image) for image in images]
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(header_size, paths))


def _still_true(table: Table, sizes: Sizes, root: Path | None) -> bool:
    """Whether the files still have the sizes that were kept: by a few of them, and by all that could not be read."""
    few = np.linspace(0, len(sizes) - 1, min(len(sizes), _PROBES), dtype=np.int64)
    rows = np.union1d(few, np.flatnonzero(sizes[:, 0] == 0))
    found = _headers([table.row(row).image for row in rows.tolist()], root)
    return np.array_equal(np.array(found, np.int32).reshape(-1, 2), sizes[rows])
