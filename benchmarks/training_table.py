"""What does training's table of 1.1 million pairs cost: its copy, a random row, and the token lengths of all rows?

    python benchmarks/training_table.py [--rows 1115021] [--images 250000] [--folder DIR]

Writes a Parquet file of made-up conversations (reports, short answers, dialogues of six rounds) about that many image
files (links to one JPEG of 2544 x 3056 pixels), and prints seconds, CPU seconds over all threads, and memory:
`RssAnon` is the process's own, pages of mapped files are the machine's. Counting tokens takes all cores.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
from PIL import Image
from pyarrow import parquet

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.data_loader import REPORT, train_tokenizer
from finetuning.anyres import Anyres
from finetuning.chat import Chat
from finetuning.lengths import lengths_of, select
from finetuning.order import Order
from finetuning.table import open_table

WORDS = REPORT.lower().replace(".", "").split()
GROUP = 20_000
SPOKEN = pa.list_(pa.struct([("from", pa.string()), ("value", pa.string())]))
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("image", pa.string()),
        ("conversations", SPOKEN),
        ("task", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
    ]
)
_T = TypeVar("_T")


def timed(name: str, work: Callable[[], _T]) -> _T:
    """Run `work`; print how long it took and the memory of the process after it."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    lines = Path("/proc/self/status").read_text().splitlines()
    memory = {line.split(":")[0]: int(line.split()[1]) // 1024 for line in lines if line.startswith("Rss")}
    print(
        f"{name:44} {wall:8.2f} s {cpu:8.2f} CPU s   RssAnon {memory['RssAnon']} MiB, RssFile {memory['RssFile']} MiB"
    )
    return result


def sentence(rng: random.Random, words: int) -> str:
    """So many words of a report."""
    return " ".join(rng.choices(WORDS, k=words)) + "."


def conversation(rng: random.Random, questions: list[str]) -> list[dict[str, str]]:
    """Three reports in ten, five short answers, two dialogues."""
    kind = rng.random()
    length = rng.randint(30, 120) if kind < 0.3 else rng.randint(3, 15)
    turns = [("human", rng.choice(questions)), ("gpt", sentence(rng, length))]
    if kind >= 0.8:
        turns += [("human", sentence(rng, 10)), ("gpt", sentence(rng, 18))] * 5
    return [{"from": role, "value": text} for role, text in turns]


def write_table(folder: Path, rows: int, images: int) -> Path:
    """The Parquet file, and the links that it names as images."""
    rng = random.Random(0)
    noise = np.random.default_rng(0).integers(0, 256, (3056, 2544), np.uint8)
    Image.fromarray(noise).save(folder / "whole.jpg")
    (folder / "images").mkdir()
    for number in range(images):
        os.symlink(folder / "whole.jpg", folder / "images" / f"{number}.jpg")
    questions = [f"<image>\n{sentence(rng, 12)}" for _ in range(400)]
    with parquet.ParquetWriter(folder / "train.parquet", SCHEMA, compression="zstd") as writer:
        for start in range(0, rows, GROUP):
            numbers = range(start, min(start + GROUP, rows))
            columns = {
                "id": [f"part-{number}" for number in numbers],
                "image": [f"images/{number % images}.jpg" for number in numbers],
                "conversations": [conversation(rng, questions) for _ in numbers],
                "task": ["report"] * len(numbers),
                "width": [None] * len(numbers),
                "height": [None] * len(numbers),
            }
            writer.write_batch(pa.RecordBatch.from_pydict(columns, schema=SCHEMA))
    return folder / "train.parquet"


def measure(folder: Path, rows: int, images: int) -> None:
    """All figures, in the order in which a first run meets them."""
    source = timed("writing the Parquet file", lambda: write_table(folder, rows, images))
    chat, cache = Chat(train_tokenizer()), folder / "cache"
    table = timed("first open: hash and copy", lambda: open_table(source, cache))
    sha256 = table.sha256
    again = timed("open, copy there, hash known", lambda: open_table(source, cache, sha256=sha256))
    numbers = np.random.default_rng(0).integers(0, rows, 10_000).tolist()
    timed("10,000 random rows", lambda: [again.row(number) and None for number in numbers])
    timed("  and once more", lambda: [again.row(number) and None for number in numbers])
    timed("first lengths: texts and headers", lambda: lengths_of(table, chat, Anyres(), image_root=folder))
    lengths = timed("lengths, kept", lambda: lengths_of(table, chat, Anyres(), image_root=folder))
    timed("choosing and shuffling rows", lambda: Order(0, len(select(lengths, 16384).rows)).epoch(0))


def main() -> None:
    """Measure in a temporary folder, or in one that is kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_115_021)
    parser.add_argument("--images", type=int, default=250_000)
    parser.add_argument("--folder", type=Path, help="an empty folder; a temporary one where none is given")
    options = parser.parse_args()
    if options.folder is not None:
        measure(options.folder, options.rows, options.images)
        return
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), options.rows, options.images)


if __name__ == "__main__":
    main()
