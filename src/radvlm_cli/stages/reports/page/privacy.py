"""What a page may say: everything, or only what may leave the circle of those who signed the agreements."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import NamedTuple

from radvlm_cli.reporting.tables import Table
from radvlm_cli.stages.reports.selection import Evaluated
from radvlm_cli.store.snapshot import Snapshot

_PLAIN_QUESTIONS = frozenset(("classification", "region", "abnormality", "detection"))
"""Tasks whose questions are made of a wording and a name, and have no text of a report in them."""
_OLD = 90
_WRITTEN = frozenset(("arguments", "reason", "remark", "why", "error", "dataset", "path"))
"""Columns of tables in which paths or pieces of texts may stand."""


class Privacy(NamedTuple):
    """Decides what of a sample, a path or a name is shown."""

    public: bool
    key: bytes
    """Of the hashes: secret with the store, so that nobody finds an id by hashing all there are."""

    def name(self, identifier: str) -> str:
        """An id, or a hash of it, which whoever has the store can make again."""
        if not self.public:
            return identifier
        return "sample " + hmac.new(self.key, identifier.encode(), hashlib.sha256).hexdigest()[:12]

    def text(self, written: str | None) -> str | None:
        """Text of a report, a model or a message."""
        return None if self.public else written

    def age(self, years: int | None) -> str | None:
        """An age; in public one above 89, which points at somebody, is but a bound."""
        if years is None:
            return None
        return "90 years or more" if self.public and years >= _OLD else f"{years} years"

    def question(self, task: str, prompt: str | None, wording: str) -> str | None:
        """What was asked; in public as the dataset words it, and only where no report has a part in it."""
        if not self.public:
            return prompt or wording
        return wording if task in _PLAIN_QUESTIONS else None

    def evaluated(self, one: Evaluated) -> Evaluated:
        """An evaluation whose model's name tells no folders."""
        if not self.public or "/" not in one.model:
            return one
        adapter, colon, place = one.model.partition(":")
        last = (place or adapter).rstrip("/").rpartition("/")[2]
        return one._replace(model=f"{adapter}{colon}{last}" if colon else last)

    def table(self, table: Table) -> Table:
        """A table without the columns in which texts or paths may stand."""
        if not self.public:
            return table
        return table._replace(columns=tuple(each for each in table.columns if each.field not in _WRITTEN))


def privacy_of(store: Snapshot, public: bool) -> Privacy:
    """The privacy of a store's page: its key comes from rows that no page shows."""
    row = store.value("SELECT json_array(host, pid, started_at, config_hash, arguments) FROM run ORDER BY id LIMIT 1")
    return Privacy(public, hashlib.sha256(json.dumps(row).encode()).digest())
