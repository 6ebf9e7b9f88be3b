"""One row of the table as what the model is trained on, or the reason why it is left out."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from finetuning.anyres import Anyres, cap, tiles_of
from finetuning.chat import Chat, ConversationError, Ids, Turn
from finetuning.pictures import UnreadableImage, read_picture
from finetuning.table import Row, Table

FILLER = -1
"""The row number of no row: a dummy stands there, which keeps the ranks in step."""
TOO_LONG = "longer than the longest sample allowed"


class Sample(NamedTuple):
    """A conversation about a picture, ready to be put into a batch."""

    pair_id: str
    task: str
    ids: Ids
    labels: Ids
    """As long as the ids; -100: not supervised."""
    tiles: NDArray[np.uint8]
    """Shape (tiles, 1 or 3, side, side): a grey picture has one channel."""
    size: tuple[int, int]
    """Height and width of the picture that was cut into tiles."""
    literals: int = 0
    """How often the text held what reads like a special token; it was kept as text."""
    weight: float = 1.0
    """0: a dummy."""


class Dropped(NamedTuple):
    """A pair that is left out."""

    pair_id: str
    reason: str


class Samples:
    """The rows of a table as samples: what a DataLoader reads, in any number of workers."""

    def __init__(
        self,
        table: Table,
        chat: Chat,
        anyres: Anyres,
        *,
        max_length: int,
        max_image_side: int | None = None,
        image_root: Path | None = None,
    ) -> None:
        """`max_length`: most tokens of a sample, those of the picture among them; a longer one is left out."""
        self.table, self.chat, self.anyres = table, chat, anyres
        self.max_length, self.max_image_side, self.image_root = max_length, max_image_side, image_root

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, number: int) -> Sample | Dropped:
        """Load a row; `FILLER` gives a dummy."""
        if number == FILLER:
            return dummy(self.chat, self.anyres)
        return self.load(self.table.row(int(number)))

    def load(self, row: Row) -> Sample | Dropped:
        """Make the sample of a row, never a shortened one."""
        try:
            picture = read_picture(image_path(self.image_root, row.image))
            picture = cap(picture, self.max_image_side)
            encoded = self.chat.encode(row.turns, self.anyres.tiling(*picture.size).tokens)
            if len(encoded.ids) > self.max_length:
                return Dropped(row.pair_id, TOO_LONG)
            tiles = tiles_of(picture, self.anyres)
        except (ConversationError, UnreadableImage) as error:
            return Dropped(row.pair_id, str(error))
        size = (picture.height, picture.width)
        return Sample(row.pair_id, row.task, encoded.ids, encoded.labels, tiles, size, encoded.literals)


def dummy(chat: Chat, anyres: Anyres, pair_id: str = "") -> Sample:
    """A black picture of two tiles and one supervised answer, of weight 0: it stands where a sample should."""
    side = anyres.tile
    turns = (Turn("human", "<image>\n"), Turn("gpt", "."))
    encoded = chat.encode(turns, anyres.tiling(side, side).tokens)
    tiles = tiles_of(Image.new("L", (side, side)), anyres)
    return Sample(pair_id, "", encoded.ids, encoded.labels, tiles, (side, side), weight=0.0)


def image_path(root: Path | None, image: str) -> Path:
    """Where the image file of a row is; `root` is for relative paths."""
    return Path(image) if root is None else root / image
