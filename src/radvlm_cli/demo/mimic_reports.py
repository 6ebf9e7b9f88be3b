"""Reports in the text layout of MIMIC-CXR, with the sections that the official extraction finds in them."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from typing import NamedTuple

from radvlm_cli.demo.findings import Finding
from radvlm_cli.demo.sentences import CHANGES, comparison, findings_text, impression_text

_RULE = "_" * 78
_TITLE = " " * 33 + "FINAL REPORT"
_BLANK = "\n \n"
"""Between paragraphs: the blank lines of these files hold one space."""
CUSTOM_SECTION = 50913680
"""A study of the official custom rules: its section is `recommendations`."""
CUSTOM_EMPTY = 58235663
"""A study of the official custom rules: characters 0 to 0, which is nothing."""


class MimicReport(NamedTuple):
    """A report and what the official section table has of it, blank for missing."""

    text: str
    impression: str = ""
    findings: str = ""
    last_paragraph: str = ""
    comparison: str = ""


def write_report(kind: str, findings: Sequence[Finding], *, woman: bool, follow_up: bool) -> MimicReport:
    """Write one report of a kind in KINDS; a follow-up also speaks of the earlier study."""
    return KINDS[kind](_Words(findings, woman, follow_up))


class _Words:
    """The paragraphs that every kind of report is put together from."""

    def __init__(self, findings: Sequence[Finding], woman: bool, follow_up: bool) -> None:
        person = "woman" if woman else "man"
        self.indication = f"___ year old {person} with shortness of breath  // evaluate for acute process"
        said = findings_text(findings)
        if follow_up:
            changes = [comparison(f, CHANGES[f.texture % len(CHANGES)]) for f in findings]
            said = " ".join([*changes, said]) if changes else f"No change since ___. {said}"
        self.findings = said
        self.impression = impression_text(findings) + (" Otherwise unchanged since ___." if follow_up else "")
        self.comparison = "Chest radiograph from ___." if follow_up else "None."


def _block(header: str, text: str) -> str:
    """One section, wrapped at 79 characters; every line starts with a space."""
    return textwrap.fill(f"{header}:  {text}", 79, initial_indent=" ", subsequent_indent=" ")


def _paragraph(text: str) -> str:
    return textwrap.fill(text, 79, initial_indent=" ", subsequent_indent=" ")


def _body(block: str) -> str:
    """What the extraction gives for a block: everything after the header."""
    return block.split(":", 1)[1].strip()


def _report(*blocks: str, before: str = "") -> str:
    return before + _TITLE + "\n" + _BLANK.join(blocks) + "\n"


def _standard(words: _Words) -> MimicReport:
    findings, impression = _block("FINDINGS", words.findings), _block("IMPRESSION", words.impression)
    compared = _block("COMPARISON", words.comparison)
    text = _report(
        _block("EXAMINATION", "CHEST (PA AND LAT)"),
        _block("INDICATION", words.indication),
        _block("TECHNIQUE", "Chest PA and lateral"),
        compared,
        findings,
        impression,
    )
    return MimicReport(text, _body(impression), _body(findings), "", _body(compared))


def _findings_only(words: _Words) -> MimicReport:
    findings = _block("FINDINGS", words.findings)
    return MimicReport(_report(_block("INDICATION", words.indication), findings), findings=_body(findings))


def _impression_only(words: _Words) -> MimicReport:
    impression = _block("IMPRESSION", words.impression)
    return MimicReport(_report(_block("INDICATION", words.indication), impression), impression=_body(impression))


def _last_paragraph(words: _Words) -> MimicReport:
    """No usable header: what follows the first paragraph of the last section is all there is."""
    last = _paragraph(words.findings)
    return MimicReport(_report(_block("INDICATION", words.indication), last), last_paragraph=last.strip())


def _no_header(words: _Words) -> MimicReport:
    last = _paragraph(words.findings)
    return MimicReport(_report(_paragraph("Portable chest, one view."), last), last_paragraph=last.strip())


def _blank(words: _Words) -> MimicReport:
    """One paragraph without a header: the official table has a row of blanks for it."""
    return MimicReport(_report(_paragraph(words.findings)))


def _comparison_only(words: _Words) -> MimicReport:
    compared = _block("COMPARISON", "Chest radiograph from ___.")
    return MimicReport(_report(_block("INDICATION", words.indication), compared), comparison=_body(compared))


def _two_findings(words: _Words) -> MimicReport:
    """FINDINGS twice: the later one counts."""
    first, second = _block("FINDINGS", "Portable view, limited by rotation."), _block("FINDINGS", words.findings)
    impression = _block("IMPRESSION", words.impression)
    return MimicReport(_report(first, second, impression), _body(impression), _body(second))


def _empty_title(words: _Words) -> MimicReport:
    """`CHEST, PA LATERAL:` would be a findings header, but nothing stands under it."""
    impression = _block("IMPRESSION", words.impression)
    text = _report(" CHEST, PA LATERAL:", _block("INDICATION", words.indication), impression)
    return MimicReport(text, impression=_body(impression))


def _wet_read(words: _Words) -> MimicReport:
    wet = f" WET READ: ___ ___ ___ 9:15 AM\n{textwrap.indent(_paragraph(words.impression), ' ')}\n{_RULE}\n"
    findings, impression = _block("FINDINGS", words.findings), _block("IMPRESSION", words.impression)
    return MimicReport(_report(findings, impression, before=wet), _body(impression), _body(findings))


def _addendum(words: _Words) -> MimicReport:
    added = f"{_TITLE}\n ADDENDUM  The tip of the catheter was discussed with Dr. ___ at 10:15 a.m.\n{_RULE}\n"
    findings, impression = _block("FINDINGS", words.findings), _block("IMPRESSION", words.impression)
    return MimicReport(_report(findings, impression, before=added), _body(impression), _body(findings))


def _lower_case(words: _Words) -> MimicReport:
    """Headers in lower case are none: everything after the first paragraph is the last paragraph."""
    rest = _BLANK.join([_block("findings", words.findings), _block("impression", words.impression)])
    text = _report(_block("indication", words.indication), rest).replace("FINAL REPORT", "final report")
    return MimicReport(text, last_paragraph=rest.strip())


def _upper_case(words: _Words) -> MimicReport:
    findings, impression = _block("FINDINGS", words.findings.upper()), _block("IMPRESSION", words.impression.upper())
    return MimicReport(_report(findings, impression), _body(impression), _body(findings))


def _custom_section(words: _Words) -> MimicReport:
    return MimicReport(_report(" FINDINGS: ", _block("RECOMMENDATIONS", words.findings)))


def _custom_empty(words: _Words) -> MimicReport:
    return MimicReport(_report(_block("INDICATION", words.indication), _paragraph("CHEST, TWO VIEWS.")))


KINDS: dict[str, Callable[[_Words], MimicReport]] = {
    "standard": _standard,
    "findings_only": _findings_only,
    "impression_only": _impression_only,
    "last_paragraph_only": _last_paragraph,
    "no_header": _no_header,
    "all_blank": _blank,
    "comparison_only": _comparison_only,
    "duplicate_findings": _two_findings,
    "empty_title_header": _empty_title,
    "wet_read": _wet_read,
    "addendum": _addendum,
    "lower_case": _lower_case,
    "upper_case": _upper_case,
    "custom_section": _custom_section,
    "custom_empty": _custom_empty,
}
