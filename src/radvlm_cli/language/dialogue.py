"""A dialogue about one image from nothing but what is known of it: the offline provider, and a baseline."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple, TypeVar

from radvlm_cli.hashing import keyed_number
from radvlm_cli.labels import NO_FINDING
from radvlm_cli.language import Located, Scene
from radvlm_cli.language.dialogue_checks import ROUNDS, quote_box, sayable
from radvlm_cli.language.findings import Finding, denied_by, findings, narrower
from radvlm_cli.language.rewrite import without_comparisons
from radvlm_cli.language.sentences import split_sentences
from radvlm_cli.records import Turn

_T = TypeVar("_T")

_OPENINGS = (
    "What can you see on this chest X-ray?",
    "Could you tell me what this image shows?",
    "I would like to understand this chest X-ray. What do you see?",
    "Please describe this image.",
)
_OPENING_OF = "This is the chest X-ray of a {} patient. What do you see?"
_SEXES = {"F": "female", "M": "male"}
_ABOUT = {
    "heart": ("How does the heart look?", "What can you say about the heart?", "And the heart?"),
    "mediastinum": ("What about the mediastinum?", "How do the mediastinum and the great vessels look?"),
    "lungs": ("How do the lungs look?", "What about the lungs?", "Could you describe the lungs?"),
    "pleura": ("How do the pleural spaces look?", "What about the pleura?", "What can you say about the pleura?"),
    "bones": ("And the bones?", "How does the skeleton look?", "What about the bones?"),
    "devices": ("Are there any tubes, lines or other devices?", "Is anything implanted or inserted?"),
}
_TOPICS = {
    "heart": {"cardiomegaly", "pericardial effusion"},
    "mediastinum": {"mediastinal widening", "mediastinal shift", "pneumomediastinum", "hilar enlargement",
                    "lymphadenopathy", "aortic ectasia", "normal mediastinum", "normal aorta"},
    "lungs": {"opacity", "consolidation", "infiltrate", "pneumonia", "atelectasis", "edema", "congestion", "nodule",
              "mass", "lesion", "interstitial disease", "emphysema", "hyperinflation", "low lung volumes", "fibrosis",
              "granuloma", "clear lungs", "well expanded lungs"},
    "pleura": {"effusion", "pneumothorax", "pleural thickening", "normal pleura"},
    "bones": {"fracture", "vertebral compression", "degenerative change", "scoliosis", "osteopenia", "bone lesion",
              "normal bones"},
    "devices": {"endotracheal tube", "tracheostomy", "enteric tube", "central line", "port", "chest tube", "pacemaker",
                "sternotomy", "clips", "prosthetic valve", "stent", "hardware", "device"},
}  # fmt: skip
"""Part of the image -> concepts of findings.yaml that speak of it."""
_LABELLED = {
    "Atelectasis": ("atelectasis", "atelectasis"),
    "Cardiomegaly": ("cardiomegaly", "cardiomegaly"),
    "Consolidation": ("consolidation", "consolidation"),
    "Edema": ("pulmonary edema", "edema"),
    "Enlarged Cardiomediastinum": ("an enlarged cardiomediastinal silhouette", "mediastinal widening"),
    "Fracture": ("a fracture", "fracture"),
    "Lung Lesion": ("a lung lesion", "lesion"),
    "Lung Opacity": ("a lung opacity", "opacity"),
    "Pleural Effusion": ("a pleural effusion", "effusion"),
    "Pleural Other": ("an abnormality of the pleura other than an effusion", "pleural thickening"),
    "Pneumonia": ("pneumonia", "pneumonia"),
    "Pneumothorax": ("a pneumothorax", "pneumothorax"),
    "Support Devices": ("support devices", "device"),
}
"""Label -> its words, and the concept of findings.yaml."""
_ASKED = ("Is there any sign of {}?", "Do you see {} here?", "What about {}?", "Does the image show {}?")
_ANSWERED = {
    1: ("Yes, I see {}.", "Yes, this image shows {}.", "Yes, {} can be seen."),
    0: ("No, I see no sign of {}.", "No, this image shows no sign of {}.", "No. There is no sign of {}."),
    -1: ("Possibly, but I cannot be certain of {}.", "I am not certain: the image may show {}."),
}
_WHERE = ("Where do you see {}?", "Where exactly do you see {}?")
_POINT = ("Could you point out {}?", "Please mark {} for me.", "Where on the image can I find {}?")
_HERE = ("I see {} at {}.", "I would mark {} at {}.", "You can find {} at {}.")
_CLAUSE_HERE = ("You can see it at {}.", "I would mark it at {}.")
_VIEW = ("Which view is this?", "How was this image taken?", "What projection is this?")
_VIEWS = {
    "PA": "a posteroanterior (PA)",
    "AP": "an anteroposterior (AP)",
    "AP_horizontal": "a supine anteroposterior (AP)",
}
_SUMMARY = ("What is your overall impression?", "How would you sum this up?", "What stands out most?")
_FILLERS = (
    ("Is this enough for a diagnosis?", "No. An image is one part of it; a physician has to judge it with the rest."),
    ("Should I be worried?", "I can only tell what is visible; what it means is for a physician to say."),
    ("What kind of image is this?", "It is an X-ray of the chest."),
    ("Can an X-ray show everything?", "No. Some things are too small or too faint to be visible on an X-ray."),
)  # fmt: skip
_CLOSINGS = (
    ("Thank you, that helps.", "You are welcome."),
    ("Thanks for the explanation.", "You are welcome. A physician can tell you what it means for the patient."),
)
_SAID_AT_MOST = 6
_LOCATED_ROUNDS = 8
_ARTICLE = re.compile(r"^(?:there (?:is|are) )?(?:(?:an?|the) )?", re.IGNORECASE)
_SEEN = re.compile(
    r"(?: (?:is|are)(?: \w+ly)?)? (?:seen|noted|visible|present|identified|visuali[sz]ed)$", re.IGNORECASE
)
_CLAUSE = re.compile(
    r"\b(?:is|are|has|have|may|might|could|shows?|appears?|terminates?|ends|projects?|overl(?:ies|ie)|lies|extends?|contains?"
    r"|demonstrates?|indicates?|suggests?|represents?|reflects?)\b",
    re.IGNORECASE,
)
"""Verbs that make a sentence of a phrase; `infiltrates` and `nodule seen in ..` do not."""
_DENIAL = re.compile(r"no\b", re.IGNORECASE)


class _Round(NamedTuple):
    question: str
    answer: str


class _Named(NamedTuple):
    """A located finding in words."""

    thing: str
    """What one can see: `the left effusion`, `that the heart is enlarged`."""
    sentence: str
    boxes: str


class _Said(NamedTuple):
    """What the scene holds, so that no two rounds contradict each other."""

    sentences: dict[str, list[Finding]]
    affirmed: frozenset[str]
    """Concepts that are there, or may be; a narrower one affirms the wider."""
    denied: frozenset[str]


def rule_dialogue(scene: Scene, key: str) -> tuple[Turn, ...]:
    """Write 5 to 10 rounds; `key` (the image) chooses the words, the same each time."""
    words = _Words(key)
    located = _named(scene.located)
    said = _said(scene, located)
    rounds = [_opening(scene, said, located, words), *_where(located, words)]
    others = [*_topics(said, words), *_labels(scene, said, words), *_view(scene, words), *_summary(scene, said, words)]
    wanted = ROUNDS[1] - 1 - words.below(3)
    rounds += words.some(_once(others, words), max(0, wanted - len(rounds)))
    rounds += words.some([_Round(*filler) for filler in _FILLERS], max(0, ROUNDS[0] - 1 - len(rounds)))
    rounds.append(_Round(*words.pick(_CLOSINGS)))
    return tuple(turn for r in rounds for turn in (Turn("human", r.question), Turn("gpt", r.answer)))


def _once(rounds: Sequence[_Round], words: _Words) -> list[_Round]:
    """One round for each answer: a sentence may speak of the lungs, of the pleura and of three labels."""
    by_answer: dict[str, list[_Round]] = {}
    for found in rounds:
        by_answer.setdefault(found.answer, []).append(found)
    return [words.pick(same) for same in by_answer.values()]


class _Words:
    """Chooses by a keyed hash."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._number = 0

    def below(self, count: int) -> int:
        self._number += 1
        return keyed_number(0, "dialogue", self._key, self._number) % count

    def pick(self, wordings: Sequence[_T]) -> _T:
        return wordings[self.below(len(wordings))]

    def some(self, things: Sequence[_T], count: int) -> list[_T]:
        """Choose up to `count`, in their order."""
        places = list(range(len(things)))
        while len(places) > count:
            places.pop(self.below(len(places)))
        return [things[place] for place in places]


def _said(scene: Scene, located: Sequence[_Named]) -> _Said:
    sentences = [s for s in split_sentences(without_comparisons(scene.text)) if sayable(s)]
    told = {sentence: findings(sentence) for sentence in sentences}
    mentions = [f for found in (*told.values(), *(findings(item.sentence) for item in located)) for f in found]
    affirmed = {f.concept for f in mentions if f.polarity != "absent"}
    affirmed |= {_LABELLED[name][1] for name, value in scene.labels.items() if value and name in _LABELLED}
    absent = {f.concept for f in mentions if f.polarity == "absent"}
    denied = {below for concept in absent for below in narrower(concept)}
    return _Said(told, frozenset(affirmed), frozenset(denied.union(*map(denied_by, affirmed))))


def _opening(scene: Scene, said: _Said, located: Sequence[_Named], words: _Words) -> _Round:
    questions = (*_OPENINGS, *([_OPENING_OF.format(_SEXES[scene.sex])] if scene.sex in _SEXES else []))
    told = list(said.sentences) or [item.sentence for item in located if item.sentence]
    present = [thing for name, (thing, _) in _LABELLED.items() if scene.labels.get(name) == 1]
    unwritten = f"I see {_and(present)}." if present else "This is a chest X-ray."
    return _Round(words.pick(questions), " ".join(told[:_SAID_AT_MOST]) or unwritten)


def _named(located: Sequence[Located]) -> list[_Named]:
    """Name what is located; what has the same name is one thing with all its boxes."""
    boxes: dict[str, dict[str, None]] = {}
    sentences = dict(reversed([_name(item.phrase) for item in located]))  # of equal names, the first one's sentence
    for item in located:
        boxes.setdefault(_name(item.phrase)[0], {}).update(dict.fromkeys(map(quote_box, item.boxes)))
    return [_Named(thing, sentences[thing], _and(list(quoted))) for thing, quoted in boxes.items()]


@lru_cache(maxsize=10_000)
def _name(phrase: str) -> tuple[str, str]:
    """A phrase as something one can see, and as a sentence; `` where all that may be said is that it is marked."""
    words = " ".join(without_comparisons(phrase).split()).rstrip(" .,;:!?")
    words = words.lower() if len(words) > 4 and words.isupper() else words  # 4: the length of an abbreviation
    noun = _SEEN.sub("", _ARTICLE.sub("", words))
    if not any(map(str.isalpha, noun)) or not sayable(words) or not sayable(f"I see the {noun} at"):
        return "the marked finding", ""
    sentence = f"{words[0].upper()}{words[1:]}."
    if _DENIAL.match(noun):
        return f"that there is {_lowered(noun)}", sentence
    is_clause = _CLAUSE.search(noun) or len(split_sentences(words)) > 1
    return f"that {_lowered(words)}" if is_clause else f"the {_lowered(noun)}", sentence


def _where(located: Sequence[_Named], words: _Words) -> Iterator[_Round]:
    """One round for each located finding; where there are too many, several in one."""
    size = -(-len(located) // _LOCATED_ROUNDS) or 1
    for start in range(0, len(located), size):
        group = located[start : start + size]
        has_clause = any(item.thing.startswith("that ") for item in group)
        question = words.pick(_WHERE if has_clause else _WHERE + _POINT).format(_and([item.thing for item in group]))
        yield _Round(question, " ".join(_pointed(item, words) for item in group))


def _pointed(item: _Named, words: _Words) -> str:
    if item.thing.startswith("that "):
        return f"{item.sentence} {words.pick(_CLAUSE_HERE).format(item.boxes)}"
    return words.pick(_HERE).format(item.thing, item.boxes)


def _topics(said: _Said, choice: _Words) -> Iterator[_Round]:
    """Questions about parts of the image, answered in the report's own sentences."""
    for topic, concepts in _TOPICS.items():
        told = [words for words, found in said.sentences.items() if not concepts.isdisjoint(f.concept for f in found)]
        if told:
            yield _Round(choice.pick(_ABOUT[topic]), " ".join(told))


def _labels(scene: Scene, said: _Said, words: _Words) -> Iterator[_Round]:
    """Questions about findings by name, save those whose label the rest of the scene contradicts."""
    for name, (thing, concept) in _LABELLED.items():
        value = scene.labels.get(name)
        contradicted = concept in said.denied if value else not said.affirmed.isdisjoint(narrower(concept))
        if value is not None and contradicted:
            continue
        answer = _own_words(said, concept, value)
        if answer is None and value is not None:
            answer = words.pick(_ANSWERED[value]).format(thing)
        if answer:
            yield _Round(words.pick(_ASKED).format(thing), answer)


def _own_words(said: _Said, concept: str, value: int | None) -> str | None:
    """The sentence about a finding, unless the label says as much: `No large effusion` is not `no effusion`."""
    for sentence, found in said.sentences.items():
        if polarities := {f.polarity for f in found if f.concept == concept}:
            return None if value == 1 and polarities == {"present"} else sentence
    return None


def _view(scene: Scene, words: _Words) -> Iterator[_Round]:
    if scene.view in _VIEWS:
        yield _Round(words.pick(_VIEW), f"It is {_VIEWS[scene.view]} view.")


def _summary(scene: Scene, said: _Said, words: _Words) -> Iterator[_Round]:
    """What is abnormal, by its labels; that nothing is, where a label says so and nothing speaks against it."""
    things = [
        thing
        for name, (thing, concept) in _LABELLED.items()
        if scene.labels.get(name) == 1 and concept not in said.denied and name != "Support Devices"
    ]
    if things:
        yield _Round(words.pick(_SUMMARY), f"What stands out is {_and(things)}.")
    elif scene.labels.get(NO_FINDING) == 1 and not scene.located and not _abnormal(said):
        yield _Round(words.pick(_SUMMARY), "I see no abnormal finding on this image.")


def _abnormal(said: _Said) -> bool:
    return any(not concept.startswith(("normal ", "clear ", "well ")) for concept in said.affirmed)


def _lowered(words: str) -> str:
    """Without the capital of a sentence's start; `PICC`, `L1` and `Swan-Ganz` keep theirs."""
    rest = words.partition(" ")[0][1:]
    return words[0].lower() + words[1:] if not rest or rest.islower() else words


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
