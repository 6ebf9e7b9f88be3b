"""Cut MIMIC-CXR reports into sections exactly as the official extraction does.

The official programs are `txt/section_parser.py` and `txt/create_section_files.py` of MIT-LCP/mimic-cxr (MIT licence);
the header names and the rules for single studies in `section_names.py` are theirs. In short: a header is a line that
begins with one space and capitals up to a colon; the last section of each name counts; an impression or findings
section without text is only a title; where neither has text, the paragraphs after the first of the last section become
`last_paragraph`.

54 studies are too irregular for that, and the official table leaves them out. The official programs name, by hand,
which text of each says what was found; here that text becomes `findings`, and the rest of the report is not cut.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal, NamedTuple

from radvlm_cli.sources.section_names import CUSTOM_RANGES, CUSTOM_SECTIONS, EXACT, FINDINGS_WORDS, PARTS

_HEADER = re.compile(r"\n ([A-Z ()/,-]+):\s([^\n]*)")
"""A header and the rest of its line, in which no further header is looked for."""
_FINDINGS_WORDS = re.compile("|".join(FINDINGS_WORDS))
_PARAGRAPH = "\n \n"
_PREFERENCE = ("impression", "findings", "last_paragraph", "comparison")


class Sections(NamedTuple):
    """The sections of a report, stripped, inner line breaks kept; None where there is none or it has no text."""

    impression: str | None
    findings: str | None
    last_paragraph: str | None
    comparison: str | None
    history: str | None
    """The last history or indication section (not in the official table)."""
    origin: Literal["sections", "custom-rule"]


def extract(study: str, text: str) -> Sections:
    """Cut the `text` of a report (universal newlines) of `study` (`s` and eight digits) into sections.

    For the 54 studies with a rule of their own, `findings` is the text that the rule selects and the origin is
    `custom-rule`; where the text is not the one that the rule was made for, it is cut like any other.
    """
    if is_custom(study):
        selected = _custom_text(study, text)
        if selected is not None:
            return Sections(None, selected.strip() or None, None, None, None, "custom-rule")
    found = _cut(text)
    get = found.get
    return Sections(
        (get("impression") or "").strip() or None,
        (get("findings") or "").strip() or None,
        (get("last_paragraph") or "").strip() or None,
        (get("comparison") or "").strip() or None,
        _history(found),
        "sections",
    )


def single_section(study: str, text: str) -> str:
    """The one section that says most of `study`, as the official program writes it for labelling; '' if none does."""
    if is_custom(study):
        selected = _custom_text(study, text)
        if selected is not None:
            return selected
    found = _cut(text)
    return next((found[name].strip() for name in _PREFERENCE if name in found), "")


def is_custom(study: str) -> bool:
    """Tell whether `study` is one of the 54 that the official table leaves out."""
    return study in CUSTOM_RANGES or study in CUSTOM_SECTIONS


def _custom_text(study: str, text: str) -> str | None:
    """What the rule of `study` selects; None where the text has no such section, or ends before it."""
    if study in CUSTOM_RANGES:
        start, end = CUSTOM_RANGES[study]
        selected = text[start:end]
        return selected if selected.strip() or end == 0 else None
    section = _cut(text).get(CUSTOM_SECTIONS[study])
    return None if section is None else section.strip()


def _cut(text: str) -> dict[str, str]:
    """The last section of each name, in the order of the report, so that `history` can tell which came later."""
    preamble, *pieces = _HEADER.split(text)
    found: dict[str, str] = {}
    last_name, last = "preamble", preamble
    for i in range(0, len(pieces), 3):
        name, section = _normalise(pieces[i]), pieces[i + 1] + pieces[i + 2]
        if name in ("impression", "findings") and not section.strip():
            continue
        found.pop(name, None)
        found[name] = section
        last_name, last = name, section
    if "impression" not in found and "findings" not in found and _PARAGRAPH in last:
        first, _, rest = last.partition(_PARAGRAPH)
        found[last_name] = first
        found["last_paragraph"] = rest
    return found


@lru_cache(maxsize=4096)
def _normalise(header: str) -> str:
    """The name of a section from its header; headers that mean nothing here keep their own name."""
    name = header.lower().strip()
    if name in EXACT:
        return EXACT[name]
    for part in PARTS:
        if part in name:
            return part
    return "findings" if _FINDINGS_WORDS.search(name) else name


def _history(found: dict[str, str]) -> str | None:
    for name in reversed(found):
        if name in ("history", "indication"):
            return found[name].strip() or None
    return None
