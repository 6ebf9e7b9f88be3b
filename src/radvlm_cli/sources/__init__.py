"""The datasets, one file each: the official layout in, records out.

A source knows its own files and nothing of the store. `SOURCES` is in the order in which `prepare --source all`
takes them: a source comes after those that it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

from radvlm_cli.records import Grounding, Image, Outcome, Report
from radvlm_cli.sources.layout import Info, Layout


class Conversion(NamedTuple):
    """One original file to be turned into an 8-bit JPEG."""

    image_id: str
    source: Path
    """The DICOM or 16-bit PNG file."""
    target: Path
    published: bool = False
    """Whether the published layout has the target too: one that the store does not know may then be somebody's own."""


class Options(NamedTuple):
    """What the user may choose about reading; part of a run's configuration."""

    tables_only: bool = False
    """Register images without looking for their files (status `unchecked`)."""
    official_sections: bool = False
    """MIMIC-CXR: leave out the 54 studies that the official section file leaves out."""
    size: int = 1024
    """VinDr-CXR and PadChest-GR: pixels on the longest side of converted images."""
    square: bool = False
    """Squeeze converted images to size x size, as the published code does (512)."""


class Known(NamedTuple):
    """What is known of an image that a later step asks about."""

    width: int | None
    height: int | None


class Resolution(Protocol):
    """What a later step asks about an image; the store's own records answer as they are."""

    @property
    def width(self) -> int | None: ...

    @property
    def height(self) -> int | None: ...


Images = Mapping[str, Resolution]
"""By image id."""


class Source:
    """What `prepare` asks of a dataset. Each method streams, in a fixed order, and by default there is nothing.

    An Outcome among the records tells of an item that is left out, or of a part of one.
    """

    info: Info

    def images(self, layout: Layout, options: Options) -> Iterator[Image | Outcome]:
        """Every image of the release."""
        yield from ()

    def reports(self, layout: Layout, options: Options) -> Iterator[Report | Outcome]:
        """Every report of the release."""
        yield from ()

    def conversions(self, layout: Layout, options: Options) -> Iterator[Conversion]:
        """The original files to turn into JPEG below `layout.derived`; the results become the images' files."""
        yield from ()

    def groundings(self, layout: Layout, options: Options, images: Images) -> Iterator[Grounding | Outcome]:
        """Every grounding; `images` are those that the boxes lie on, with the true resolution where known."""
        yield from ()


def _mimic() -> Source:
    from radvlm_cli.sources.mimic import Mimic

    return Mimic()


def _chexpert() -> Source:
    from radvlm_cli.sources.chexpert import CheXpert

    return CheXpert()


def _chexpert_plus() -> Source:
    from radvlm_cli.sources.chexpert_plus import CheXpertPlus

    return CheXpertPlus()


def _imagenome() -> Source:
    from radvlm_cli.sources.imagenome import ImaGenome

    return ImaGenome()


def _vindr() -> Source:
    from radvlm_cli.sources.vindr import VinDr

    return VinDr()


def _mscxr() -> Source:
    from radvlm_cli.sources.mscxr import MsCxr

    return MsCxr()


def _padchest() -> Source:
    from radvlm_cli.sources.padchest import PadChest

    return PadChest()


def _padchest_gr() -> Source:
    from radvlm_cli.sources.padchest_gr import PadChestGr

    return PadChestGr()


def _openi() -> Source:
    from radvlm_cli.sources.openi import OpenI

    return OpenI()


SOURCES: dict[str, Callable[[], Source]] = {
    "mimic": _mimic,
    "chexpert": _chexpert,
    "chexpert-plus": _chexpert_plus,
    "imagenome": _imagenome,
    "mscxr": _mscxr,
    "vindr": _vindr,
    "padchest": _padchest,
    "padchest-gr": _padchest_gr,
    "openi": _openi,
}
