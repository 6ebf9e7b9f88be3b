"""Picture files, opened for a model by the training program's own code, many at a time.

So every model is shown the same pixels, a picture of more than 8 bits by its percentiles, and none but a damaged one
is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from radvlm_cli.adapters.protocol import Reply, Request
from radvlm_cli.program import make_importable

if TYPE_CHECKING:
    from PIL.Image import Image

T = TypeVar("T")
_THREADS = 8


class PictureError(Exception):
    """A picture that cannot be read; the message names neither path nor patient."""


def open_picture(path: Path) -> Image:
    """The picture in grey (L) or colour (RGB), decoded whole. PictureError: it is absent, damaged or no picture."""
    make_importable()
    from finetuning.pictures import UnreadableImage, read_picture

    try:
        return read_picture(path)
    except UnreadableImage as error:
        raise PictureError(f"the picture cannot be read ({type(error.__cause__).__name__})") from error


def picture_size(path: Path) -> tuple[int, int]:
    """Width and height by the file's header; one pixel where it cannot be read, as it will cost next to nothing."""
    make_importable()
    from finetuning.pictures import header_size

    width, height = header_size(path)
    return max(width, 1), max(height, 1)


def answer_readable(
    requests: Sequence[Request],
    prepare: Callable[[Image], T],
    answer: Callable[[list[Request], list[T]], list[Reply]],
) -> list[Reply]:
    """Answer the requests whose picture can be read, with what `prepare` makes of it; the others get an error.

    `prepare` runs in threads. `answer` is called once, if at all, and gives a reply for each of its requests, in order.
    So does this.
    """
    with ThreadPoolExecutor(min(_THREADS, len(requests)) or 1) as threads:
        prepared = list(threads.map(partial(_prepared, prepare), [request.image for request in requests]))
    readable = [number for number, each in enumerate(prepared) if not isinstance(each, Reply)]
    replies = {number: each for number, each in enumerate(prepared) if isinstance(each, Reply)}
    if readable:
        pictures = [each for each in prepared if not isinstance(each, Reply)]
        answers = answer([requests[number] for number in readable], pictures)
        replies.update(zip(readable, answers, strict=True))
    return [replies[number] for number in range(len(requests))]


def _prepared(prepare: Callable[[Image], T], path: Path) -> T | Reply:
    try:
        picture = open_picture(path)
    except PictureError as error:
        return Reply("", error=str(error))
    return prepare(picture)


def described_reading() -> dict[str, str]:
    """What decides the pixels of a picture besides its file."""
    import PIL

    return {"pillow": PIL.__version__}
