"""Comparison language: what a report says about another study or about a change, which one image can't show.

Decided as a radiologist would:

* how long something has been there is innocent where the image shows it: old, chronic, healed, remote, sequelae;
* what was done to or befell the patient is innocent: `prior sternotomy`, `previous granulomatous disease`;
* increased and decreased are innocent of a look (`increased interstitial markings`) and comparisons of a change;
* a recommendation is no comparison: `follow-up to resolution`, `if symptoms persist`; but one that sends the reader to
  an earlier study is (`recommend comparison with prior films`);
* other studies of any kind, and their absence, count: `No comparison available`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from string import ascii_lowercase, ascii_uppercase
from typing import NamedTuple

from radvlm_cli.language.choices import by_stems
from radvlm_cli.language.sentences import stretches


class Mention(NamedTuple):
    """Comparison language in a text."""

    start: int
    end: int
    term: str
    """Family of the pattern, e.g. `unchanged`; countable."""


_STUDY = (
    r"(?:exams?|examinations?|study|studies|radiographs?|x-?rays?|films?"
    r"|images?|imaging|ct|mri|scans?|chest|tomograms?)"
)
_DATE = r"(?:x{3,}|_{2,}|\d)"
_HISTORY = (
    r"(?:\w*(?:ectomy|otomy|plasty|ostomy|pexy|desis)|surg\w+|operati\w+|procedures?|intervention|fusion|bypass|cabg|repair"
    r"|replacement|resection|grafts?|ablation|biops\w+|banding|stent\w*|granulom\w+|infect\w+|inflamm\w+|trauma|fractur\w+"
    r"|injur\w+|radiation|radiotherapy|therapy|treatment|disease|process|infarct\w*|avn|tuberculosis|tb|histo\w*|pneumonia|gunshot|wounds?"
    r"|insult|exposure|instrumentation|aspiration|augmentation|smok\w+|malignancy|cancer)"
)
_LOOK = (
    r"(?:densit\w+|opaci\w+|lucenc\w+|attenuation|markings?|volumes?|diameter|dimension|kyphosis|lordosis|curvature|vascular\w*"
    r"|reticula\w+|interstiti\w+|minerali[sz]ation|airspace|space|inspirat\w+|sensitivity|penetration|exposure|transparency"
    r"|conspicuity|prominence|soft|translucency|trabecula\w+|air|expansion|muscles?|inflation)"
)
_ABNORMAL = r"(?:effusions?|pneumothora\w+|edema|atelectasis|consolidations?|cardiomegaly|congestion|pneumonia)"
_PLACE = (
    r"(?:(?:left|right|bilateral|bibasilar|basilar|small|moderate|large|mild|pleural|pulmonary|interstitial|vascular) )"
)
_SYMPTOM = r"(?:concern|suspicion|symptoms?|complaints?|pain|fever|cough)"
_CHANGE = r"(?:interval|new|no|resol|improv|worsen|increas|decreas|progress|clear|develop|placement|remov|change)"
_LATER = r"(?:since|from|compared|in size|in the interval)"
"""What makes a change of a look."""

INNOCENT: tuple[str, ...] = (
    # history: what was done to or befell the patient
    rf"(?:prior|previous)(?: (?!{_STUDY}\b)[\w/-]+){{0,4}}? {_HISTORY}(?! {_STUDY})",
    rf"there (?:has|have) been (?:an? )?(?:(?!{_CHANGE})[\w-]+ ){{0,4}}?{_HISTORY}(?! {_STUDY})",
    r"prior to",
    r"residuals? (?:of|from|volumes?|contrast|barium|thymus|thymic|radiopaque)",
    r"recurrent (?:laryngeal|infections?|aspiration)",
    # recommendations and conditions
    r"(?:to|until|ensure|document|confirm|show|for)"
    r"(?: (?:document|ensure|confirm|assess|complete|evaluate|show|for|its|full))* (?:resolution|clearing)",
    r"(?:does|do|should|fails|if) (?:(?:it|this|they|not|to) )+(?:resolve|improve)s?",
    rf"{_SYMPTOM}(?: \w+)? (?:persist|worsen|remain|continue)s?",
    rf"continu(?:ed|ing) (?:clinical |radiographic |imaging )?(?:{_SYMPTOM}|follow\w*|attention|surveillance)",
    r"(?:if|if there is) no improvement",
    r"(?:would|could|may|might|can|to) (?:be )?improved?",
    r"improved (?:inspirat\w+|position\w*|technique|penetration|views?)(?: \w+)? (?:would|could|may|might)",
    r"(?:short|short-term|short term|appropriate|time|pr|qt|qrs|week|weeks|month|months|day|days) interval",
    r"interval (?:follow|imaging|radiograph)\w*",
    # the look of one image
    rf"(?:increased|increase in|decreased|decrease in)(?: (?!size)[\w/-]+){{0,3}}? {_LOOK}(?! {_LATER}\b)",
    r"(?:volumes?|density|mineralization|vascularity|markings?|heart size|cardiac size) (?:is|are|appears?)(?: \w+)?"
    rf" (?:in|de)creased(?! {_LATER})",
    rf"there (?:is|are)(?: \w+){{0,2}}? increased(?! {_PLACE}*{_ABNORMAL}| size| extent| {_LATER})",
    r"(?:degenerative|arthritic|arthropathic|atherosclerotic|emphysematous|chronic|fibrotic|cystic|senescent|postsurgical"
    r"|post-?operative|postop|inflammatory|osseous|bony|granulomatous)"
    r"(?:(?: |-)(?!no |without |any )\w+){0,2} changes?(?! (?:from|since))",
    r"(?:postsurgical|postoperative|post-operative) changes? from",
    r"(?:compared|relative|comparison) (?:to|with) (?:the )?"
    rf"(?:right|left|contralateral|opposite|other|remain\w+|rest|adjacent)(?! (?:\w+ )?{_STUDY})",
    r"high(?: |-)resolution",
    r"progressive massive fibrosis",
    # the patient, the dictation, other senses
    r"(?:clinically|hemodynamically|medically|neurologically) stable",
    r"(?:patient|condition) (?:is|was|remains)(?: \w+)? stable",
    r"stable (?:patient|condition|vitals?|vital signs|angina|hemodynamics)",
    r"new (?:paragraph|line(?=[.:]|$)|york|england)",
    r"(?:repeat|image|imaged|perform|performed|obtain|obtained|call|called|try|tried) again",
    r"since (?:the patient|there (?:is|are|was)|it|they|he|she|no|only|th(?:is|ese) (?:is|are|may|could|can)"
    r"|the (?:\w+ ){1,3}(?:is|are|was|were|cannot))",
    r"still (?:images?|frames?|pictures?)",
    r"for now",
    r"continu(?:es|ing) (?:in|into|to the|toward|below|above|beyond|inferiorly|superiorly|down)",
)
"""What is let through although a word of it stands below; tried first, and what it matches isn't looked at again."""

FAMILIES: dict[str, tuple[str, ...]] = {
    "prior": (r"prior(?:s|ly)?", r"pre-?existing", r"formerly"),
    "previous": (r"previous(?:ly)?",),
    "compared": (r"compar(?:ed?|ing|isons?|able)",),
    "unchanged": (r"unchanged", r"unaltered", r"not (?:\w+ )?changed"),
    "change": (
        r"(?:no|not|without|any|little|minimal)(?: (?:or |an? )?(?:significant|appreciable|definite|substantial|major"
        r"|gross|great|relevant|obvious|important|real|much|other|radiographic|overall|discernible))* changes?(?! of)",
        r"changes? (?:from|since|compared)",
        r"(?:has|have) changed",
    ),
    "interval": (r"in the interval", r"interval", r"interim", r"in the meantime"),
    "new": (r"new(?:ly)?", r"de novo"),
    "again": (
        r"(?:again|once again)",
        r"re(?:-|- )?(?:demonstrat|identif|visuali[sz]|accumulat|appear|collaps|expan)\w+",
    ),
    "stable": (r"stabl[ey]", r"stability"),
    "since": (r"since", r"dating back"),
    "persistent": (r"persist(?:s|ed|ing|ent|ently|ence)?",),
    "remains": (r"remain(?:s|ed)?", r"still", r"continu(?:ed|es|ing|e to)", r"ongoing"),
    "residual": (r"residual",),
    "recurrent": (r"recur(?:s|red|rent|rence|rences)?",),
    "improved": (r"improv(?:e|es|ed|ing|ements?)",),
    "worsened": (
        r"worsen(?:s|ed|ing)?",
        r"(?:is|are|appears?|slightly|mildly|somewhat|much|now|become|significantly) worse"
        r"(?! (?:\w+ )?(?:than (?:the |on |on the )?(?:left|right)|in|on|at)\b)",
        r"deteriorat\w+",
    ),
    "increased": (
        r"(?:has|have|is|are|appears?)(?: \w+ly| also| again| been| not)* increased",
        r"increased?(?: \w+){0,3}? (?:since|from|compared|in (?:size|extent|number|severity|degree|volume|amount))",
        r"increased? (?:in )?(?:size|number|extent)",
        r"increas(?:ing|ingly|es)",
        r"enlarging",
        r"growing",
        rf"increased {_PLACE}*{_ABNORMAL}",
    ),
    "decreased": (
        r"decreas(?:e|ed|es|ing)",
        r"shrinking",
        r"diminish(?:ed|ing) (?:since|from|in size)",
        r"reduc(?:ed|tion) (?:in|of)",
    ),
    "size": (
        r"(?:has|have)(?: \w+)? (?:enlarged|grown|shrunk|moved|migrated|advanced|evolved|returned|diminished|subsided"
        r"|appeared|disappeared|occurred|become|reaccumulated)",
        r"(?:is|are|slightly|mildly|somewhat|much) (?:larger|smaller)(?! (?:on|in|than))",
        rf"(?:larger|smaller) than (?:on|in) (?:(?:the|an?) )?(?:\w+ )?{_STUDY}",
        r"evolving",
    ),
    "resolved": (r"resol(?:ved|ves|ving|ution)", r"clear(?:ed|ing)", r"regress(?:ed|ion|ing)"),
    "progressed": (r"progress(?:ed|es|ing|ion|ive|ively)?",),
    "developing": (r"developing", r"(?:has|have)(?: \w+)? developed", r"development of"),
    "placed": (
        r"(?:has|have|had)(?: also)? been(?: \w+)? (?:removed|placed|inserted|replaced|repositioned|retracted|advanced"
        r"|withdrawn|pulled|exchanged|intubated|extubated|drained|resected)",
        r"(?:was|were) (?:removed|replaced|repositioned|retracted|advanced|withdrawn)",
        r"(?:removed|placed|inserted) since",
        r"removal of",
        r"extubat(?:ed|ion)",
    ),
    "event": (r"there(?:'s| has| have) been",),
    "no longer": (r"no longer",),
    "now": (r"now", r"today(?!'s)", r"yesterday"),
    "earlier": (
        r"earlier",
        rf"last (?:{_STUDY}|visit|time|night|week|month|year)",
        r"(?:days?|hours?|weeks?|months?|years?) (?:ago|before|apart)",
        r"(?:as|than|like) before",
        rf"subsequent {_STUDY}",
        r"(?:from|at|to) (?:the )?baseline",
    ),
    "other study": (
        rf"recent(?: \w+){{0,2}}? {_STUDY}",
        rf"outside (?:\w+ )?{_STUDY}",
        rf"{_STUDY} (?:from|dated) (?:the )?{_DATE}\w*",
        r"from _{2,}",
    ),
    "similar": (
        rf"similar(?:ly)?(?:(?: |-)appearing| in \w+)*(?: (?:as|to|from))(?: slightly| the)*(?: {_STUDY}| {_DATE}\w*)",
        r"appears? (?:\w+ )?similar",
        r"(?:similar-appearing|similar appearing|grossly similar)",
        r"(?:similar appearance|same as|same configuration)",
    ),
    "follow-up": (
        r"follow(?:-| )?up to (?!(?:\w+ )?(?:resol|ensur|docum|confirm|evaluat|assess|exclud|clear|further|rule))\w*",
        r"serial (?:exam|radiogr)\w*",
    ),
}
"""Family -> patterns in lower case, where a blank stands for any white space; each starts with letters or a choice,
and none goes on over the end of a stretch (sentences.stretches)."""


def _compiled() -> tuple[re.Pattern[str], tuple[str, ...]]:
    """Compile all into one pattern, and list the family of each of its groups; groups are empty and at the end."""
    named = [("", pattern) for pattern in INNOCENT]
    named += [(family, pattern) for family, patterns in FAMILIES.items() for pattern in patterns]
    choice, places = by_stems([pattern + r"(?!\w)" + ("()" if family else "") for family, pattern in named])
    families = (named[place][0] for place in places)
    return re.compile(rf"(?<!\w){choice}".replace(" ", r"\s+")), tuple(filter(None, families))


_PATTERN, _TERMS = _compiled()
_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)
"""str.lower may change the length of a text."""


def comparisons(text: str) -> list[Mention]:
    """List the comparison language of an English report, in order."""
    return [
        Mention(start + mention.start, start + mention.end, mention.term)
        for start, words in stretches(text)
        for mention in _in_stretch(words)
    ]


@lru_cache(maxsize=10_000)
def _in_stretch(words: str) -> tuple[Mention, ...]:
    found = _PATTERN.finditer(words.translate(_LOWER))
    return tuple(Mention(*match.span(), _TERMS[match.lastindex - 1]) for match in found if match.lastindex)
