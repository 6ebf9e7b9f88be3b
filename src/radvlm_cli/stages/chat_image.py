"""The image of a chat: a file of a user's own, shown to a model as `eval` shows those of the datasets.

A DICOM file, and a PNG of more than 8 bits, goes through the door of `prepare`; any other picture stays as it is.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from PIL import Image

from radvlm_cli.errors import DataError
from radvlm_cli.hashing import file_sha256
from radvlm_cli.sources.dicom import convert
from radvlm_cli.sources.dicom_notices import is_dicom, notices
from radvlm_cli.stages.conversions import CONVERTER_VERSION

SIZE = 1024
"""Longest side of a converted picture, as `prepare` makes them."""
AS_IT_IS = "none"
CONVERTED = f"grey-jpeg-{SIZE}/{CONVERTER_VERSION}"
"""Name of what `prepare` does: modality and VOI transform, MONOCHROME1 inverted, 8 bits, aspect ratio kept."""


class Picture(NamedTuple):
    """An image that a model can be asked about."""

    path: Path
    """The user's file, absolute."""
    called: str
    """How the store names it: that path; the name alone of a file that was uploaded."""
    sha256: str
    shown: Path
    """The 8-bit picture that the model gets."""
    size: tuple[int, int]
    """Width and height of the original, pixels."""
    preprocessing: str
    notices: tuple[str, ...]
    """What the user should know of it."""

    @property
    def name(self) -> str:
        """The name of the file, without its folder."""
        return Path(self.called).name


def open_image(path: Path, folder: Path, *, called: str | None = None) -> Picture:
    """Look at a file; what has to be converted is written to `folder`. DataError where it is no image.

    `called`: the name that an uploaded file has where it comes from.
    """
    path = path.expanduser().absolute()
    try:
        return _open(path, folder, called or str(path))
    except DataError as error:
        if called is None:
            raise
        # Where an upload lies here tells its owner nothing.
        raise DataError(error.message.replace(str(path), called), error.hint) from error


def at_full_size(picture: Picture, folder: Path) -> Path:
    """The 8-bit picture in the resolution of the original, to draw into; made in `folder` where it is not there."""
    if picture.preprocessing == AS_IT_IS or max(picture.size) <= SIZE:
        return picture.shown
    whole = folder / f"{picture.sha256}-whole.jpg"
    if not whole.exists() and (problem := convert(picture.path, whole, size=max(picture.size)).problem) is not None:
        raise DataError(f"{picture.called} gives no picture: {problem}.")
    return whole


def _open(path: Path, folder: Path, called: str) -> Picture:
    if not path.exists():
        raise DataError(f"There is no image {path}.")
    if path.is_dir():
        raise DataError(f"{path} is a folder, not an image.", "radvlm chat FILE: a .jpg, .png or .dcm")
    try:
        digest, dicom = file_sha256(path), is_dicom(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    if dicom or _more_than_8_bits(path):
        shown = folder / f"{digest}.jpg"
        made = convert(path, shown, size=SIZE)
        if made.problem is not None or made.width is None or made.height is None:
            raise DataError(f"{path} gives no picture: {made.problem}.")
        told = tuple(notices(path) if dicom else ())
        return Picture(path, called, digest, shown, (made.width, made.height), CONVERTED, told)
    return Picture(path, called, digest, path, _size(path), AS_IT_IS, ())


def _more_than_8_bits(path: Path) -> bool:
    if path.suffix.lower() != ".png":
        return False
    try:
        with Image.open(path) as picture:
            return picture.mode.startswith("I")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False  # `_size` says what is wrong


def _size(path: Path) -> tuple[int, int]:
    """Width and height of a picture of 8 bits that can be decoded whole."""
    try:
        with Image.open(path) as picture:
            if picture.mode.startswith(("I", "F")):
                raise DataError(f"{path} has more than 8 bits a pixel.", "Save it as PNG or DICOM")
            picture.load()
            return picture.size
    # Pillow's decoders raise these for files that are damaged, or none of theirs.
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise DataError(
            f"{path} is not an image that can be read ({type(error).__name__}).", "a .jpg, .png or .dcm file"
        ) from error
