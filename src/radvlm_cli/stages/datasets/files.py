"""The files of a built dataset, streamed: LLaVA JSON, Hugging Face messages, Parquet. Same pairs, same bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import accumulate
from json.encoder import encode_basestring
from pathlib import Path
from typing import IO, NamedTuple, Protocol

import pyarrow as pa
from pyarrow import parquet

from radvlm_cli.files import atomic_write
from radvlm_cli.recipes import Component
from radvlm_cli.records import Turn
from radvlm_cli.store.components import Candidate

IMAGE_TOKEN = "<image>"
FIRST = f"{IMAGE_TOKEN}\n"
"""What stands before the first question."""
_CHAT_ROLES = {"human": "user", "gpt": "assistant"}

_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("image", pa.string()),
        ("conversations", pa.list_(pa.struct([("from", pa.string()), ("value", pa.string())]))),
        ("component", pa.string()),
        ("task", pa.string()),
        ("source", pa.string()),
        ("image_id", pa.string()),
        ("patient_id", pa.string()),
        ("study_id", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
    ]
)


class Pair(NamedTuple):
    """One pair as it is written."""

    pair_id: str
    image: str
    """Path of the image file: absolute, or relative to the image root."""
    turns: tuple[Turn, ...]
    """Human first; the image token is put before the first when it is written."""
    record: Candidate
    """What it was made from."""
    grounding: int | None
    """Ordinal of the grounding, or place of the region, that it is about."""


class Writer(Protocol):
    """Takes pairs in batches, each of one component."""

    def write(self, component: Component, pairs: Sequence[Pair]) -> None:
        """Append pairs (at least one)."""

    def finish(self) -> None:
        """Write what comes after the last pair."""


class LlavaWriter:
    """A JSON array with one pair a line: `image`, `conversations` from human and gpt, `id`."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._separator = "[\n"

    def write(self, component: Component, pairs: Sequence[Pair]) -> None:
        """Append pairs."""
        quoted = encode_basestring
        lines = []
        for pair_id, image, turns, _record, _grounding in pairs:
            said = [f'{{"from": "{role}", "value": {quoted(text)}}}' for role, text in turns[1:]]
            first = f'{{"from": "{turns[0][0]}", "value": {quoted(FIRST + turns[0][1])}}}'
            spoken = ", ".join([first, *said])
            lines.append(f'{{"image": {quoted(image)}, "conversations": [{spoken}], "id": {quoted(pair_id)}}}')
        self._stream.write(self._separator + ",\n".join(lines))
        self._separator = ",\n"

    def finish(self) -> None:
        """Close the array."""
        self._stream.write("[]\n" if self._separator == "[\n" else "\n]\n")


class MessagesWriter:
    """JSON Lines in the Hugging Face chat format: `id`, `images`, `messages` with typed content."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, component: Component, pairs: Sequence[Pair]) -> None:
        """Append pairs."""
        for pair in pairs:
            messages = [
                {"role": _CHAT_ROLES[turn.role], "content": [{"type": "text", "text": turn.text}]}
                for turn in pair.turns
            ]
            messages[0]["content"] = [{"type": "image"}, *messages[0]["content"]]
            document = {"id": pair.pair_id, "images": [pair.image], "messages": messages}
            self._stream.write(json.dumps(document, ensure_ascii=False) + "\n")

    def finish(self) -> None:
        """Nothing comes after the last line."""


class ParquetWriter:
    """A row group per batch, with what a trainer wants to know besides the pair (task, true image size)."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._writer = parquet.ParquetWriter(stream, _SCHEMA, compression="zstd")

    def write(self, component: Component, pairs: Sequence[Pair]) -> None:
        """Append pairs as one row group."""
        ids, images, dialogues, records, _groundings = zip(*pairs, strict=True)
        speakers = [turn[0] for turns in dialogues for turn in turns]
        texts = [text for turns in dialogues for text in (FIRST + turns[0][1], *[turn[1] for turn in turns[1:]])]
        offsets = [0, *accumulate(map(len, dialogues))]
        spoken = pa.StructArray.from_arrays([pa.array(speakers), pa.array(texts)], names=["from", "value"])
        arrays = [
            pa.array(ids, pa.string()),
            pa.array(images, pa.string()),
            pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), spoken),
            *(pa.repeat(value, len(pairs)) for value in (component.name, component.task, component.source)),
            pa.array([record.image_id for record in records], pa.string()),
            pa.array([record.patient_id for record in records], pa.string()),
            pa.array([record.study_id for record in records], pa.string()),
            pa.array([record.width for record in records], pa.int32()),
            pa.array([record.height for record in records], pa.int32()),
        ]
        self._writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=_SCHEMA))

    def finish(self) -> None:
        """Write the footer; a second time does nothing."""
        self._writer.close()


@contextmanager
def dataset_writers(paths: dict[str, Path]) -> Iterator[list[Writer]]:
    """Open a writer per format (`llava`, `messages`, `parquet`); all files appear together at the end, or none."""
    with ExitStack() as stack:
        writers: list[Writer] = []
        for name, path in paths.items():
            if name == "parquet":
                table = ParquetWriter(stack.enter_context(atomic_write(path, "wb")))
                stack.callback(table.finish)  # also where the build stops: before its stream is closed
                writers.append(table)
            else:
                stream = stack.enter_context(atomic_write(path))
                writers.append(LlavaWriter(stream) if name == "llava" else MessagesWriter(stream))
        yield writers
        for writer in writers:
            writer.finish()
