"""Words that a language model puts around a report instead of writing the report."""

from __future__ import annotations

import re
from functools import lru_cache

from radvlm_cli.language.choices import by_stems
from radvlm_cli.language.sentences import stretches

_DONE = r"(?:removed|edited|rewrote|rewritten|revised|omitted|deleted|excluded|kept|replaced|rephrased|converted)"
_NEW = r"(?:edited|revised|rewritten|cleaned|curated|modified|corrected|updated|filtered|original)"
_REPORT = r"(?:(?:chest |radiology |x-ray )*(?:report|text|findings|impression|version|sentences?|section|passage))"
_COMPARED = r"(?:comparisons?|references?|mentions?|sentences?|phrases?)"

_MARKS = r"```\w*|<\|[^|>\n]*\|?>|\*\*|__\w+__|^[ \t]*\#{1,6}[ \t]|[{}]|</?[a-z]+/?>|\[/?inst\]|\\n|\"(?:text|report)\""
_WORDS = (
    # the assistant speaks
    r"as an? (?:ai|large language model|language model|(?:helpful )?assistant)\b",
    r"(?:sure|certainly|of course|absolutely|okay)[!,.:]",
    rf"here(?: is|'s|\u2019s| are) (?:the|your|a|an|my)\b(?: {_NEW})?(?: {_REPORT})?",
    rf"(?:i|we)(?:'ve|\u2019ve| have)?(?: also)? {_DONE}\b",
    r"i(?:'m|\u2019m| am)? (?:cannot|can't|can\u2019t|unable|sorry|apologi[sz]e|hope)\b",
    r"(?:please provide|let me know)\b",
    # it speaks about the text
    rf"{_NEW} {_REPORT}\b",
    rf"(?:the|this|your) (?:given|provided|input) {_REPORT}\b",
    r"(?:note|explanation|output|answer|response|text|report|result|changes|changes made)[ \t]*:",
    r"(?:references?|mentions?) (?:to|of) (?:any |the |a )?(?:prior|previous|earlier|other|comparison)\b",
    rf"{_COMPARED} (?:to [\w ]{{1,30}} )?(?:was|were|has been|have been) {_DONE}\b",
    r"the (?:user|prompt|instructions?|task|guidelines)\b",
    r"nothing_left\b|json\b",
)
_META = re.compile(rf"{_MARKS}|\b(?:{'|'.join(_WORDS)})", re.IGNORECASE | re.MULTILINE)
_IN_MARKS = re.compile(r"[`<*_#{}\[\\\"]")
"""One of these is in each of the marks; few reports have any."""
_SAID = re.compile(rf"(?<!\w){by_stems(_WORDS)[0]}")


def meta_text(text: str) -> list[str]:
    """List the words of a text that are about the text, not about the patient."""
    if not _IN_MARKS.search(text) and not any(_speaks(words) for _, words in stretches(text)):
        return []
    return [match[0].strip() for match in _META.finditer(text)]


@lru_cache(maxsize=10_000)
def _speaks(stretch: str) -> bool:
    return bool(_SAID.search(stretch.lower()))
