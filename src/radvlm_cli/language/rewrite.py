"""Take comparison language out of a report and keep what it says of the present.

Each sentence that refers to another study is rewritten by rules: first phrases (`since ___`, `as before`), then its
clauses one by one (`has increased` -> `There is`; `stable cardiomegaly` -> `cardiomegaly`). A clause that can't be
rewritten safely, or that says nothing once the comparison is gone (`heart size is stable`), is dropped.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from radvlm_cli.language.sentences import split_sentences
from radvlm_cli.language.temporal import comparisons


def without_comparisons(text: str) -> str:
    """Take comparison language out of an English report; what has none stays as it is, blank if nothing is left.

    No word is added but `there is`, `is`, `are`, `seen` and articles, so nothing is found that the report doesn't find.
    """
    if not comparisons(text):
        return " ".join(text.split())
    sentences = (_in_the_present(sentence) for sentence in split_sentences(text))
    return " ".join(filter(None, sentences))


_DATE = r"(?:at least )?(?:_{2,}|X{3,}|\d[\d/.-]*)(?:,? (?:_{2,}|X{3,}|\d{4}))*"
_STUDY = (
    r"(?:(?:the|an?|most|recent|prior|previous|last|earlier|comparison|outside|immediate(?:ly)?|chest|portable"
    r"|frontal|lateral"
    r"|pa|ap|ct|abdomen|same|day|patient's) )*"
    r"(?:exam(?:ination)?s?|stud(?:y|ies)|radiographs?|films?|images?|imaging|ct|scans?|x-\w+|priors?|previous"
    r"|tomogram|chest)"
    rf"(?:,? (?:from|of|dated|on|performed|obtained|done))*(?: {_DATE})?"
)
_OTHER = rf"(?:{_STUDY}|{_DATE}|baseline)\b(?! ?-)"
_HOW = (
    r"(?:(?:also|again|very|slightly|mildly|moderately|significantly|markedly|largely|essentially|relatively"
    r"|grossly|overall|not"
    r"|substantially|probably|still|otherwise|generally|minimally|somewhat|now|all|both|likely|only|considerably"
    r"|appreciably"
    r"|been|since|perhaps|unchanged|interval|the) )*"
)
_NOTABLE = r"(?:(?:significant|appreciable|definite|substantial|interval|acute|gross|apparent|some|mild|moderate|slight|minimal) )*"
_SAME = r"(?:unchanged|unaltered|stable|similar|the same|persistent|changed)"
_CHANGED = (
    rf"(?:{_SAME}|new|increas(?:ed|ing)|decreas(?:ed|ing)|improved|improving|worsened|worsening|worse|better"
    rf"|larger|smaller|progressed"
    r"|grown|developed|developing|evolving|evolved|recurred|appeared|resolving|placed|inserted|advanced|retracted"
    r"|repositioned|in (?:an? )?(?:unchanged|stable|similar|same) (?:position|location|alignment|configuration)s?)"
)
_RESPECT = (
    r"(?: in (?:its |the |their )?(?:overall )?(?:size|appearance|density|opacity|position|extent|configuration|contours?|number"
    r"|alignment"
    r"|severity|degree|location|caliber|conspicuity|prominence|placement)(?:(?:,| and|/| or) ?(?:size|appearance"
    r"|contours?|number"
    r"|configuration|extent|position|alignment))?)?"
)
_SEEN = r"(?:seen|noted|demonstrated|identified|visuali[sz]ed|described|reported|present|shown|mentioned)"
_ADJECTIVE = re.compile(
    r"(?:newly|new|interval|unchanged|stable|persistent(?:ly)?|persisting|continued|ongoing|residual|recurrent"
    r"|improv(?:ed|ing)"
    r"|worsen(?:ed|ing)|increas(?:ed|ing)|decreas(?:ed|ing)|progressive(?:ly)?|developing|evolving|resolving|similar"
    r"|re-?demonstrated|still|now|again)(?:[ -]appearing)?\b(?!(?<=ed) (?:lung |left |right |basilar )*(?:volume"
    r"|aerat|inspir|size)),?\s*",
    re.IGNORECASE,
)
_UNSAFE_DENIED = re.compile(
    r"interval|improv|worsen|increas|decreas|progress|evolv|resolv|unchanged|stable|continued|ongoing|similar|re-?dem",
    re.I,
)
"""Taken out of a denial these leave more denied than the writer denied: `no worsening edema`."""


class _Rule(NamedTuple):
    pattern: re.Pattern[str]
    replacement: str


def _rule(pattern: str, replacement: str = "") -> _Rule:
    return _Rule(re.compile(pattern, re.IGNORECASE), replacement)


_PHRASES = (
    # a look that is told from another study's is a change
    _rule(
        rf"\b(in|de)creased\b(?=[^,;.]*,? (?:since|from|than|(?:in )?compar\w+ (?:to|with)) {_OTHER})", r"\1creasing"
    ),
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
    _rule(rf"^(?:once )?again,? (?:{_SEEN} )?(is|are) ", r"There \1 "),
    _rule(r"^re-?demonstrated (is|are) ", r"There \1 "),
    _rule(r"\b(is|are) re-?demonstrated", r"\1 seen"),
    _rule(r"\b(?:once )?again,? (?=\w)"),
    _rule(r"\b(?:redemonstration|persistence|continuation) of (?:an? |the )?"),
    # still there
    _rule(r"\bthere (?:remains|continues to be)\b", "there is"),
    _rule(r"\bthere (?:remain|continue to be)\b", "there are"),
    _rule(r"\b(?:remains|has remained|continues to be) (?=\w)", "is "),
    _rule(r"\b(?:remain|have remained|continue to be) (?=\w)", "are "),
    _rule(r"\b(?:still|now|persistently) (?=\w)"),
    # how it is
    _rule(
        r"(?<!\bis)(?<!\bare),? in (?:an? )?(?:unchanged|stable|similar|the same) (?:position|location"
        r"|alignment)s?\b"
    ),
    _rule(rf"\b(?:{_SAME})[ -](?:appearance|appearing|position(?:ing)?|configuration|size|course) of (?:the |an? )?"),
    _rule(rf",? (?:which|that) (?:is|are|appears?) {_HOW}{_CHANGED}{_RESPECT}(?=[,;.]|$)"),
    _rule(rf"\b(?:is|are|appears?) {_HOW}{_SAME}{_RESPECT} (?:and|but),? (?=(?:is|are|appears?|has|have) )"),
    _rule(rf"(?<=\w) {_SAME}{_RESPECT} and (?=within |normal)", " "),
    _rule(rf"\b(is|are|appears?) {_HOW}{_SAME}{_RESPECT} (?:and|but),? (?=\w)", r"\1 "),
    _rule(rf"(?:,| and| but) {_HOW}{_SAME}{_RESPECT}(?=[,;.]|$| with| without)"),
    _rule(r"\b(?:,? (?:and|or)|,) (?:significant )?interval change(?=[,;.]|$)"),
    _rule(r",? without (?:significant |interval |appreciable )*change(?=[,;.]|$)"),
)
_CLAUSE = re.compile(
    r"(;\s*|,\s+(?!X{3}|__)(?:and\s+|but\s+|or\s+)?|\s+(?:but|while|although|though|with)\s+"
    r"|\s+and\s+(?=(?:the|there|no|an?|this|these|has|have)\s))",
    re.IGNORECASE,
)
_CHANGE = re.compile(
    rf"(?P<what>.+?) (?:is|are|appears?|has|have|was|were) {_HOW}{_CHANGED}{_RESPECT}(?P<where> (?:in|at|within"
    rf"|over) .+)?",
    re.IGNORECASE,
)
_PERSISTS = re.compile(
    r"(?P<what>.+?) (?:persists?|remains?|continues?)(?P<where> (?:in|at|within|over) .+)?", re.IGNORECASE
)
_EVENT = re.compile(
    rf"(?:there (?:has|have|is|are)(?: been)? )?{_HOW}{_NOTABLE}{_HOW}(?:development|placement|insertion|appearance|increase|worsening"
    r"|enlargement|progression|decrease|reduction)(?: in| of)(?: size| extent| number)?(?: of| in)? (?P<what>.+)",
    re.IGNORECASE,
)
_TRAILING = re.compile(
    rf"(?:,| and| but)? {_HOW}(?:unchanged|stable|increased|decreased|again){_RESPECT}$", re.IGNORECASE
)
_DENIAL = re.compile(
    r"\b(?:no|not(?! (?:\w+ )?changed)|without|negative|free of|nor|absence|neither|never|cleared?"
    r"|resolved)\b",
    re.IGNORECASE,
)
_VERB = re.compile(r"\b(?:is|are|has|have|shows?|appears?|demonstrates?|seen|noted)\b", re.IGNORECASE)
_DEPENDENT = re.compile(
    r"(?:which|that|likely|probably|possibly|consistent|compatible|suggest\w*|represent\w*|concerning|worrisome"
    r"|may|could|might"
    r"|measuring|due|secondary|versus|vs|or|is|are|has|have|at|in|of|on|from|within|more|most|less|greater|given"
    r"|allowing|than"
    r"|status|previously|probable|possible|presumably|reflecting|indicating|but|however|and|it|this|these|they"
    r"|left|as|a)\b",
    re.IGNORECASE,
)
_DANGLING = re.compile(
    r"\b(?:is|are|has|have|been|with|of|the|an?|and|or|to|from|in|appears?|which|not|than|more|less|on|but|no|was"
    r"|were|for"
    r"|in (?:position|location|alignment))$",
    re.IGNORECASE,
)
_SAYS = re.compile(
    r"effusion|volume loss|pneumothora|hydropneumo|opaci|consolidat|atelecta|edema|congest|cardiomegal|enlarg|nodul|mass"
    r"|lesion|granulom"
    r"|infiltrat|pneumon|fractur|deformit|scoliosis|kypho|curvature|emphysem|hyperinfl|hyperexpan|copd|fibro|scar"
    r"|thicken|blunt"
    r"|elevat|calcif|tortuo|ectat|ectasia|dilat|unfold|hernia|spondyl|degenerat|osteo|arthr|bronchiect|adenopathy"
    r"|lymph node"
    r"|catheter|tube\b|tubes\b|picc|\bport|pacemaker|\bicd|aicd|defibrill|\bleads?\b|\blines?\b|clips?\b|stent"
    r"|valve|hardware|wires"
    r"|device|sternotomy|suture|prosthe|cavit|cyst|lucen|densit|marking|haze|hazy|crowding|collapse|airspace"
    r"|air space|disease"
    r"|\bnormal|clear|unremarkable|intact|\blow\b|large|small|prominen|widen|increased|decreased|reticul"
    r"|interstiti|compress|shift"
    r"|deviat|engorge|pleural|abnormal|process|air\b|fluid|injur|cardiac enl|plate|drain|lobectomy|resection|surg"
    r"|exagg|hypoinfl"
    r"|hypoventil|in place|silhouette is|osteop|plaque|asymmetr|bullet|foreign|tracheo|eventration|dextro|levo"
    r"|aneurysm|hypertens",
    re.IGNORECASE,
)
"""What says something about an image: a finding, a device, a state. `Heart size.` says nothing."""
_MEASURED = re.compile(
    r"(?:the )?(?:size|position|positioning|appearance|extent|degree|amount|severity|distribution) of (?:the "
    r"|these |this )?",
    re.I,
)
_ANATOMY = re.compile(
    r"\b(?:size|silhouette|contours?|mediastinum|lungs|chest|appearance|position|aeration|structures|volumes"
    r"|vasculature|thorax"
    r"|examination|study|hilum|hila|ribcage|spine|heart|findings|bones|lines and tubes)$",
    re.IGNORECASE,
)
"""Of these nothing is said by their being there."""
_COUNTED = re.compile(
    r"effusion|pneumothorax|opacity|nodule|mass|consolidation|fracture|catheter|tube|line|pacemaker|hernia"
    r"|granuloma|device"
    r"|cavity|lesion|infiltrate|arch|deformity|density|stent|drain|silhouette|heart|aorta|hemidiaphragm",
    re.IGNORECASE,
)
_AFTER_NOUN = re.compile(
    r"\s(?:of|in|at|within|along|over|ending|with|projecting|measuring|involving|on|overlying|seen)\s"
)
_ARTICLE = re.compile(r"(?:(the|this|these|those|that|an?|both)\s+)?(.*)", re.IGNORECASE | re.DOTALL)
_ADVERBS = re.compile(
    r"(?:\b(?:grossly|slightly|mildly|largely|relatively|essentially|overall|significantly|very|again)\s+)+$", re.I
)
_JOINT = re.compile(r"(^|\b(?:an?|the|is|are|with)\s+)(?:and|but|or|to|,)\s+", re.IGNORECASE)
_LEADING = re.compile(
    r"^(?:,|;|and|but|or|with|while|although|though|however|otherwise|there is(?= there))\b[\s,]*", re.IGNORECASE
)


def _in_the_present(sentence: str) -> str:
    if not comparisons(sentence):
        return _finished(sentence)
    for pattern, replacement in _PHRASES:
        sentence = " ".join(pattern.sub(replacement, sentence).split())
    body = sentence.strip(" ,;").rstrip(".!?:; ")
    kept = _finished(_rejoined(body))
    if comparisons(kept) or not _SAYS.search(kept):
        return ""
    return kept.upper() if sentence.isupper() else kept


def _rejoined(body: str) -> str:
    """Rewrite clause by clause, and put together what can stand without the clauses that are dropped."""
    first, *rest = _CLAUSE.split(body)
    said, denied, orphaned = "", False, False
    for link, clause in [("", first), *zip(rest[::2], rest[1::2], strict=True)]:
        on_its_own = bool(_VERB.search(clause) or _DENIAL.search(clause))
        if orphaned and (_DEPENDENT.match(clause) or (denied and not on_its_own)):
            continue
        denied = denied and not on_its_own
        present = _clause_in_the_present(clause, denied=denied)
        denied = denied or bool(_DENIAL.search(clause))
        orphaned = not present
        if present:
            said += (link if said else "") + present
    return said


def _clause_in_the_present(clause: str, *, denied: bool) -> str:
    """Rewrite a clause, blank where nothing is left; `denied`: the clause before it denies, and this one goes on."""
    if not comparisons(clause):
        return "" if _DANGLING.search(clause) else clause
    present = "" if denied else _being_there(clause)
    present = present or _without_adjectives(clause, denied=denied)
    safe = present and not comparisons(present) and not _DANGLING.search(present) and _SAYS.search(present)
    return present if safe else ""


def _being_there(clause: str) -> str:
    """`The effusion has increased` -> `There is an effusion`; blank where that can't be said."""
    if event := _EVENT.fullmatch(clause):
        what = event["what"]
        if _DENIAL.search(clause[: event.start("what")]):
            return ""
        return _there(what, "") if clause.lower().startswith("there") else _ARTICLE.sub(r"\2", what, count=1)
    if change := _CHANGE.fullmatch(clause) or _PERSISTS.fullmatch(clause):
        return _there(change["what"], change["where"] or "")
    return ""


def _there(what: str, where: str) -> str:
    what = _without_adjectives(_MEASURED.sub("", what), denied=False)
    match = _ARTICLE.fullmatch(what)
    article, name = (match[1] or "", match[2]) if match else ("", what)
    head = _AFTER_NOUN.split(name, maxsplit=1)[0]
    if _ANATOMY.search(head) or not _SAYS.search(head) or _DENIAL.search(head) or comparisons(what):
        return ""
    name = name[0].lower() + name[1:] if name[1:2].islower() else name
    plural = bool(re.search(r"(?:[^sui]s|ses|thoraces)$| and ", head, re.IGNORECASE))
    counted = not plural and bool(_COUNTED.fullmatch(head.split()[-1]))
    article = f"{article.lower()} " if article.lower() in ("a", "an") else "a " if counted else ""
    return _with_articles(f"There {'are' if plural else 'is'} {article}{name}{where}")


def _without_adjectives(clause: str, *, denied: bool) -> str:
    """`stable but increased effusion` -> `effusion`."""
    clause = _TRAILING.sub("", clause)
    for mention in reversed(comparisons(clause)):
        adjective = _ADJECTIVE.match(clause, mention.start)
        before = clause[: mention.start]
        if not adjective or ((denied or _DENIAL.search(before)) and _UNSAFE_DENIED.match(adjective[0])):
            return clause
        clause = _JOINT.sub(r"\1", _ADVERBS.sub("", before) + clause[adjective.end() :])
    return _with_articles(clause)


def _with_articles(text: str) -> str:
    text = re.sub(r"\b([Aa])n (?=[b-gi-tv-z])", r"\1 ", text)
    return re.sub(r"\b([Aa]) (?=[aeio]|u(?!ni|s|t))", r"\1n ", text)


def _finished(sentence: str) -> str:
    """Capitalise a sentence and end it."""
    sentence = re.sub(r"\s+(?=[,.;:])", "", _LEADING.sub("", sentence.strip(" ,;"))).strip(" ,;")
    sentence = re.sub(r"^without (?:evidence of )?", "no ", sentence, flags=re.IGNORECASE)
    if not sentence:
        return ""
    return sentence[0].upper() + sentence[1:] + ("" if sentence[-1] in ".!?:" else ".")
