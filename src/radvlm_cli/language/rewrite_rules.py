"""The words and phrases by which comparison language is taken out of a report (rewrite.py)."""

from __future__ import annotations

import re


def _words(*lists: str) -> str:
    """Write a choice of patterns that are listed with blanks between them."""
    return f"(?:{'|'.join(' '.join(lists).split())})"


def _any_of(*lists: str) -> str:
    """Write any number of the words of a list, each with a blank after it."""
    return f"(?:{_words(*lists)} )*"


def _pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


def _rule(pattern: str, replacement: str = "") -> tuple[re.Pattern[str], str]:
    return _pattern(pattern), replacement


_DATE = r"(?:at least )?(?:_{2,}|X{3,}|\d[\d/.-]*)(?:,? (?:_{2,}|X{3,}|\d{4}))*"
_STUDY = (
    _any_of(
        "the an? most recent prior previous last earlier comparison outside immediate(?:ly)? chest portable frontal lateral",
        "pa ap ct abdomen same day patient's",
    )
    + _words(
        r"exam(?:ination)?s? stud(?:y|ies) radiographs? films? images? imaging ct scans? x-\w+ priors? previous chest"
    )
    + rf"(?:,? (?:from|of|dated|on|performed|obtained|done))*(?: {_DATE})?"
)
_OTHER = rf"(?:{_STUDY}|{_DATE}|baseline)\b(?! ?-)"
_HOW = _any_of(
    "also again very slightly mildly moderately significantly markedly largely essentially relatively grossly overall not",
    "substantially probably still otherwise generally minimally somewhat now all both likely only considerably been since",
    "perhaps appreciably unchanged interval the",
)
_NOTABLE = _any_of(
    "significant appreciable definite substantial interval acute gross apparent some mild moderate slight minimal"
)
_SAME = r"(?:unchanged|unaltered|stable|similar|the same|persistent|changed)"
_PLACING = r"(?:position|location|alignment|configuration)s?"
_CHANGED = (
    f"(?:{_SAME}|"
    + _words(
        "new increas(?:ed|ing) decreas(?:ed|ing) improved improving worsened worsening worse better larger smaller",
        "enlarging growing shrinking",
        "progressed grown developed developing evolving evolved recurred appeared resolving placed inserted advanced",
        "retracted repositioned",
    )
    + rf"|in (?:an? )?(?:unchanged|stable|similar|same) {_PLACING})"
)
_ASPECT = _words(
    "size appearance density opacity position extent configuration contours? number alignment severity degree location",
    "caliber conspicuity prominence placement",
)
_RESPECT = rf"(?: in (?:(?:its|the|their|overall) )*{_ASPECT}(?:(?:,| and|/| or) ?{_ASPECT})?)?"
_SEEN = _words("seen noted demonstrated identified visuali[sz]ed described reported present shown mentioned")
ADJECTIVE = _pattern(
    _words(
        "newly new interval unchanged stable persistent(?:ly)? persisting continued ongoing residual recurrent improv(?:ed|ing)",
        "worsen(?:ed|ing) increas(?:ed|ing) decreas(?:ed|ing) enlarging growing shrinking progressive(?:ly)? developing evolving resolving similar",
        "re-?demonstrated still now again",
    )
    + rf"(?:[ -]appearing)?\b(?!(?<=ed) (?:lung |left |right |basilar )*(?:volume|aerat|inspir|size)){_RESPECT},?\s*"
)
UNSAFE_DENIED = _pattern(
    _words(
        "interval enlarging growing shrinking improv worsen increas decreas progress evolv resolv unchanged stable continued ongoing similar re-?dem"
    )
)
"""Taken out of a denial these leave more denied than the writer denied: `no worsening edema`."""
PHRASES = (
    # a look that is told from another study's is a change
    _rule(
        rf"\b(in|de)creased\b(?=[^,;.]*,? (?:since|from|than|(?:in )?compar\w+ (?:to|with)) {_OTHER})", r"\1creasing"
    ),
    _rule(rf"\b(?:similar|larger|smaller|worse|(?:more|less) \w+) (?:than|to|as) (?:on |in )?{_OTHER}", "unchanged"),
    _rule(r"\binterval (in|de)creased\b", r"\1creasing"),
    # nothing but the change is denied
    _rule(
        rf"\b(?:there (?:is|has been) )?no {_NOTABLE}change (?!or |and |from |since |to |compared )(?:in )?(?:the )?"
        r"(?:(?:size|appearance) of (?:the )?)?",
        "unchanged ",
    ),
    _rule(rf"\b(no|without) {_NOTABLE}interval change,? (?:or )?(?!in |of |from |since |to )(?=\w)", r"\1 "),
    # where it refers to: another study or time
    _rule(rf",? ?\b(?:when |as |in )?(?:compared|comparison|relative) (?:to|with) {_OTHER}"),
    _rule(rf"({_CHANGED}{_RESPECT}),? (?:from|to|since|as|than|on) {_OTHER}", r"\1"),
    _rule(rf",? ?\bsince (?:the )?{_OTHER}"),
    _rule(r",? ?\b(?:in|over) the (?:interval|interim|meantime)\b"),
    _rule(r",? ?(?<!not )\b(?:as |more |less )?(?:seen |noted |described )?(?:as|than) (?:previously|before)\b"),
    _rule(rf",? ?(?<!not )(?<!never )\bas {_SEEN} previously\b"),
    _rule(rf"(?<!not )(?<!never )\bpreviously {_SEEN} (?=\w)"),
    # seen again
    _rule(rf"^(?:(?:once )?again,? (?:{_SEEN} )?|re-?demonstrated )(is|are) ", r"There \1 "),
    _rule(r"\b(is|are) re-?demonstrated", r"\1 seen"),
    _rule(r"\b(?:redemonstration|persistence|continuation) of (?:an? |the )?"),
    # still there
    _rule(r"\bthere (?:remains|continues to be)\b", "there is"),
    _rule(r"\bthere (?:remain|continue to be)\b", "there are"),
    _rule(r"\b(?:remains|has remained|continues to be) (?!which |that )(?=\w)", "is "),
    _rule(r"\b(?:remain|have remained|continue to be) (?!which |that )(?=\w)", "are "),
    _rule(r"\b(?:(?:once )?again,?|still|now|persistently) (?=\w)"),
    # how it is
    _rule(rf"(?<!\bis)(?<!\bare),? in (?:an? )?(?:unchanged|stable|similar|the same) {_PLACING}\b"),
    _rule(rf"\b(?:{_SAME})[ -](?:appearance|appearing|position(?:ing)?|configuration|size|course) of (?:the |an? )?"),
    _rule(rf",? (?:which|that) (?:is|are|appears?) {_HOW}{_CHANGED}{_RESPECT}(?=[,;.]|$)"),
    _rule(rf"\b(?:is|are|appears?) {_HOW}{_SAME}{_RESPECT} (?:and|but),? (?=(?:is|are|appears?|has|have) )"),
    _rule(rf"(?<=\w) {_SAME}{_RESPECT} and (?=within |normal|unremark)", " "),
    _rule(rf"\b(is|are|appears?) {_HOW}{_SAME}{_RESPECT} (?:and|but),? (?=\w)", r"\1 "),
    _rule(rf"(?:,| and| but) {_HOW}{_SAME}{_RESPECT}(?=[,;.]|$| with| without)"),
    _rule(r"\b(?:,? (?:and|or)|,) (?:significant )?interval change(?=[,;.]|$)"),
    _rule(r",? without (?:significant |interval |appreciable )*change(?=[,;.]|$)"),
)
CLAUSE = _pattern(
    r"(;\s*|,\s+(?!X{3}|__)(?:and\s+|but\s+|or\s+)?|(?<!consistent)(?<!compatible)\s+(?:but|while|although|though|with)\s+"
    r"|\s+and\s+(?=(?:the|there|no|an?|this|these|has|have)\s))"
)
_WHERE = r"(?P<where> (?:in|at|within|over|which) .+)?"
CHANGE = _pattern(rf"(?P<what>.+?) (?:is|are|appears?|has|have|was|were) {_HOW}{_CHANGED}{_RESPECT}{_WHERE}")
PERSISTS = _pattern(rf"(?P<what>.+?) (?:persists?|remains?){_WHERE}")
EVENT = _pattern(
    rf"(?:there (?:has|have|is|are)(?: been)? )?{_HOW}{_NOTABLE}{_HOW}"
    + _words("development placement insertion appearance increase worsening enlargement progression decrease reduction")
    + r"(?: in| of)(?: size| extent| number)?(?: of| in)? (?P<what>.+)"
)
TRAILING = _pattern(rf"(?:,| and| but)? {_HOW}(?:unchanged|stable|similar|increased|decreased|again){_RESPECT}$")
DENIAL = _pattern(r"\b(?:no|not(?! (?:\w+ )?changed)|without|negative|free of|nor|absence|never|cleared?|resolved)\b")
VERB = _pattern(r"\b(?:is|are|has|have|shows?|appears?|demonstrates?|seen|noted)\b")
CLAIM = _pattern(r"\b(?:is|are|was|were|has|have|may|might|could)\b")
DEPENDENT = _pattern(
    _words(
        r"which that likely probably possibly consistent compatible suggest\w* represent\w* concerning worrisome may could might",
        "measuring due secondary versus vs or is are has have at in of on from within more most less greater given allowing",
        "than status was were previously probable possible presumably reflecting indicating but however and it this these they left as a",
    )
    + r"\b"
)
"""How a clause starts that says nothing without the one before it."""
DANGLING = _pattern(
    r"\b(?:"
    + _words(
        "is are has have been with of the an? and or to from in appears? which not than more less on but no was were for"
    )
    + rf"|may|might|could|in {_PLACING})$|\b(?:is|are) (?:as|and|but|which|appears?|in size)\b|^in\b"
)
SAYS = _pattern(
    _words(
        r"effusion volume\sloss pneumothora hydropneumo opaci consolidat atelecta edema congest cardiomegal enlarg nodul mass",
        r"lesion granulom infiltrat pneumon fractur deformit scoliosis kypho curvature emphysem hyperinfl hyperexpan copd",
        r"fibro scar thicken blunt elevat calcif tortuo ectat ectasia dilat unfold hernia spondyl degenerat osteo arthr",
        r"bronchiect adenopathy lymph\snode catheter tubes?\b picc \bport pacemaker \bicd aicd defibrill \bleads?\b",
        r"\blines?\b clips?\b stent valve hardware wires device coil sternotomy suture prosthe cavit cyst lucen densit",
        r"marking haze hazy crowding collapse airspace air\sspace disease \bnormal clear unremarkable intact \blow\b large",
        r"small prominen widen increased decreased reticul interstiti compress shift deviat engorge pleural abnormal process",
        r"air\b fluid injur plate drain lobectomy resection surg exagg hypoinfl hypoventil in\splace plaque asymmetr bullet",
        r"foreign tracheo eventration dextro levo aneurysm hypertens infect failure malignan",
    )
)
"""What says something about an image: a finding, a device, a state. `Heart size.` says nothing."""
MEASURED = _pattern(rf"(?:the )?(?:amount|distribution|{_ASPECT}) of (?:the |these |this )?")
ANATOMY = _pattern(
    r"\b"
    + _words(
        "size silhouette contours? mediastinum lungs chest appearance position aeration structures volumes vasculature thorax",
        r"examination study hilum hila ribcage spine heart findings bones lines\sand\stubes",
    )
    + "$"
)
"""Of these nothing is said by their being there."""
COUNTED = _pattern(
    _words(
        "effusion pneumothorax opacity nodule mass consolidation fracture catheter tube line pacemaker hernia granuloma",
        "device cavity lesion infiltrate arch deformity density stent drain aorta",
    )
)
AFTER_NOUN = _pattern(
    r"\s(?:of|in|at|within|along|over|ending|with|projecting|measuring|involving|on|overlying|seen)\s"
)
ARTICLE = _pattern(r"(?:(the|this|these|those|that|an?|both)\s+)?(.*)")
ADVERBS = _pattern(r"(?:\b(?:grossly|slightly|mildly|largely|relatively|essentially|significantly|very|again)\s+)+$")
JOINT = _pattern(r"(^|\b(?:an?|the|is|are|with)\s+)(?:and|but|or|to|,)\s+")
LEADING = _pattern(r"^(?:,|;|and|but|or|with|while|although|though|however|otherwise)\b[\s,]*")
_LOOK = _words(
    "mild(?:ly)? moderate(?:ly)? severe(?:ly)? marked(?:ly)? minimal slight tiny small medium large massive trace subtle",
    "faint dense extensive prominent left right bilateral bibasilar basilar apical patchy diffuse focal multifocal chronic old",
    "low borderline loculated linear rounded nodular irregular vague stable",
)
LOOKS_LAST = _pattern(rf"(?:^|\s){_LOOK}$")
"""A clause that breaks off before what it describes."""
LOOKS_AND = _pattern(rf"((?:^|\s){_LOOK}),? (?:and|but|or) $")
