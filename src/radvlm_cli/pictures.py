"""Boxes drawn into a picture: what a chat saves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from radvlm_cli.errors import ConfigError
from radvlm_cli.files import atomic_write
from radvlm_cli.records import Box

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
PREDICTED = (255, 160, 46)
"""The orange of the HTML pages: stands out from every grey of a film, and from the teal of what is right, also for the
colour-blind."""
_HALO = (0, 0, 0)
_PAPER, _INK = (20, 20, 20), (235, 235, 235)
_LEAST_SIDE = 640
"""A smaller picture is enlarged, so that lines and words have room."""


class Mark(NamedTuple):
    """A box and the words at its corner."""

    box: Box
    words: str


def check_format(path: Path) -> None:
    """ConfigError where pictures are not written as that kind of file."""
    if path.suffix.lower() not in FORMATS:
        raise ConfigError(f"{path.name} is no name of a picture: it ends with none of {', '.join(FORMATS)}.")


def save(drawn: Image, target: Path) -> None:
    """Write a picture in the format of the target's name. ConfigError or DataError where that cannot be."""
    check_format(target)
    kind = FORMATS[target.suffix.lower()]
    with atomic_write(target, "wb") as stream:
        drawn.save(stream, kind, **({"quality": 92} if kind == "JPEG" else {}))


def draw_boxes(picture: Path, marks: Sequence[Mark], *, caption: str) -> Image:
    """The picture in RGB with its boxes, and the caption on a strip below it. The file must be a picture of 8 bits."""
    from PIL import Image, ImageDraw, ImageFont

    with Image.open(picture) as opened:
        shown = opened.convert("RGB")
    if (scale := _LEAST_SIDE / max(shown.size)) > 1:
        shown = shown.resize([max(1, round(side * scale)) for side in shown.size], Image.Resampling.BICUBIC)
    unit = max(shown.size) / 512
    font = ImageFont.load_default(13 * unit)
    lines = _wrapped(caption, font, shown.width - 8 * unit)
    strip = round((17 * len(lines) + 7) * unit)
    whole = Image.new("RGB", (shown.width, shown.height + strip), _PAPER)
    whole.paste(shown)
    draw = ImageDraw.Draw(whole)
    for number, line in enumerate(lines):
        draw.text((4 * unit, shown.height + (3 + 17 * number) * unit), line, _INK, font)
    for mark in marks:
        _draw_box(draw, mark, shown.size, unit)
    for mark in marks:  # after all boxes, so that no line runs through words
        _draw_words(draw, mark, shown.size, unit, font)
    return whole


def _corners(box: Box, size: tuple[int, int]) -> tuple[float, float, float, float]:
    width, height = size[0] - 1, size[1] - 1
    return box.x_min * width, box.y_min * height, box.x_max * width, box.y_max * height


def _draw_box(draw: ImageDraw, mark: Mark, size: tuple[int, int], unit: float) -> None:
    left, top, right, bottom = _corners(mark.box, size)
    line, halo = max(2, round(2.4 * unit)), max(1, round(unit))
    # A dark line on either side: the box shows on bone as well as on air.
    draw.rectangle((left - halo, top - halo, right + halo, bottom + halo), outline=_HALO, width=line + 2 * halo)
    draw.rectangle((left, top, right, bottom), outline=PREDICTED, width=line)


def _draw_words(
    draw: ImageDraw, mark: Mark, size: tuple[int, int], unit: float, font: FreeTypeFont | ImageFont
) -> None:
    """Above the box's upper left corner, or inside where there is no room; never beyond the picture."""
    left, top, _right, _bottom = _corners(mark.box, size)
    start, high, end, low = draw.textbbox((0, 0), mark.words, font)
    pad = 2 * unit
    width, height = end - start + 2 * pad, low - high + 2 * pad
    x = min(max(0.0, left), max(0.0, size[0] - width))
    y = top - height if top >= height else top
    draw.rectangle((x, y, x + width, y + height), fill=PREDICTED)
    draw.text((x + pad - start, y + pad - high), mark.words, (0, 0, 0), font)


def _wrapped(text: str, font: FreeTypeFont | ImageFont, width: float) -> list[str]:
    """The text in lines that fit; a word too long for a line stands alone."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if not lines[-1] or font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
