"""The language of radiology reports: sentences, comparisons with earlier studies, findings, dialogues.

Rules only, no model: the checks that stand behind every generated text, and the offline provider that needs none.
Everything works on English text and is deterministic.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from radvlm_cli.records import Box


class Fault(NamedTuple):
    """Something wrong with a generated text."""

    reason: str
    """One clause without words of the text, so that equal reasons can be counted: `comparison language is left`."""
    words: str
    """The words at fault, for whoever repairs the text; report text, so never logged."""


class Located(NamedTuple):
    """Something that an annotation names and points at."""

    phrase: str
    """A sentence or a few words, e.g. `Moderate right pleural effusion.`"""
    boxes: tuple[Box, ...]
    """At least one."""


class Scene(NamedTuple):
    """What a dialogue about one image may speak of."""

    text: str
    """The report, free of comparisons; may be empty where `located` says it all."""
    view: str | None
    """`PA`, `AP`, ...; None where unknown."""
    sex: str | None
    """`F`, `M`; None where unknown."""
    labels: Mapping[str, int]
    """Finding (labels.FINDINGS) -> 1 present, 0 absent, -1 uncertain."""
    located: tuple[Located, ...] = ()
    """What the dialogue must point at; empty for a standard dialogue."""
