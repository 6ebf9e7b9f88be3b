"""Whose data a store holds, and so who may see its pages."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from radvlm_cli.reporting.served.shell import Banner
from radvlm_cli.sources import SOURCES
from radvlm_cli.stages.phantoms import only_phantoms
from radvlm_cli.store.snapshot import Snapshot

_RESEARCH = "Research use only."


class Held(NamedTuple):
    """What is in a store that not everybody may see."""

    credentialed: tuple[str, ...]
    """Sources under use agreements of which it has images, reports or answers."""
    own: bool
    """Whether it has chats about images of somebody's own."""
    phantoms: bool
    """Whether all images are of a demo's world, made by this program."""

    @property
    def restricted(self) -> bool:
        """Whether only some may see it."""
        return not self.phantoms and (bool(self.credentialed) or self.own)

    @property
    def what(self) -> str:
        """In words, for a sentence that begins `It holds`."""
        parts = [f"images, texts and ids of {', '.join(self.credentialed)}"] if self.credentialed else []
        return " and ".join([*parts, *(["chats about images of your own"] if self.own else [])])

    def banner(self) -> Banner:
        """What every page says."""
        if self.phantoms:
            return Banner(f"Phantoms: images and reports are made by a program, of nobody. {_RESEARCH}", False)
        if not self.restricted:
            return Banner(_RESEARCH, False)
        may = ["have signed their use agreements"] if self.credentialed else []
        may += ["may see those patients"] if self.own else []
        who = f"people who {' and '.join(may)}"
        return Banner(f"Not for everybody: this store holds {self.what}. Only for {who}. {_RESEARCH}", True)


def held(store: Snapshot, data_dir: Path | None) -> Held:
    """Look into the store: one row of each source and table, by index."""
    credentialed = [name for name, make in SOURCES.items() if make().info.credentialed and _has(store, name)]
    own = store.value("SELECT 1 FROM chat_turn LIMIT 1") is not None
    return Held(tuple(credentialed), own, only_phantoms(store, data_dir))


def _has(store: Snapshot, source: str) -> bool:
    tables = ("image", "report", "test_set")
    return any(
        store.value(f"SELECT 1 FROM {table} WHERE source = ? LIMIT 1", (source,)) is not None for table in tables
    )
