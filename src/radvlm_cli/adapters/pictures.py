"""Pictures of a batch, read and prepared in threads; one that cannot be read costs only its own request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from PIL import Image

from radvlm_cli.adapters.protocol import Reply, Request

T = TypeVar("T")
_THREADS = 8


def answer_readable(
    requests: Sequence[Request],
    prepare: Callable[[Image.Image], T],
    answer: Callable[[list[Request], list[T]], list[Reply]],
) -> list[Reply]:
    """Answer the requests whose picture can be read, with what `prepare` makes of it; the others get an error.

    `answer` is called once, if at all, and gives a reply for each of its requests, in order. So does this.
    """
    with ThreadPoolExecutor(min(_THREADS, len(requests)) or 1) as threads:
        prepared = list(threads.map(lambda request: _prepared(request.image, prepare), requests))
    readable = [number for number, each in enumerate(prepared) if not isinstance(each, Reply)]
    replies = {number: each for number, each in enumerate(prepared) if isinstance(each, Reply)}
    if readable:
        pictures = [each for each in prepared if not isinstance(each, Reply)]
        answers = answer([requests[number] for number in readable], pictures)
        replies.update(zip(readable, answers, strict=True))
    return [replies[number] for number in range(len(requests))]


def _prepared(path: Path, prepare: Callable[[Image.Image], T]) -> T | Reply:
    try:
        with Image.open(path) as picture:
            picture.load()
    # Pillow's decoders raise these for files that are damaged; the name alone, as a path may name a patient.
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        return Reply("", error=f"the picture cannot be read ({type(error).__name__})")
    return prepare(picture)
