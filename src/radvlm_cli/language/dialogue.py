"""A dialogue about one image from nothing but what is known of it: the offline provider, and a baseline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from radvlm_cli.hashing import keyed_number
from radvlm_cli.labels import ABNORMALITIES
from radvlm_cli.language import Located, Scene
from radvlm_cli.language.dialogue_checks import ROUNDS, dialogue_faults, quote_box
from radvlm_cli.language.findings import findings
from radvlm_cli.language.rewrite import without_comparisons
from radvlm_cli.language.sentences import split_sentences
from radvlm_cli.records import Turn

_OPENINGS = (
    "What can you see on this chest X-ray?",
    "Could you tell me what this image shows?",
    "I would like to understand this chest X-ray. What do you see?",
    "Please describe this image.",
)
_PRESENT = ("Is there any sign of {}?", "Do you see {} here?", "What about {}?", "Could there be {}?")
_YES = ("Yes, {} is visible.", "Yes, there are signs of {}.", "Yes, this image shows {}.")
_NO = ("No, I see no sign of {}.", "No, {} is not visible here.", "There is no sign of {} on this image.")
_ABOUT = {
    "heart": ("How does the heart look?", "What can you say about the heart?", "Is the heart of normal size?"),
    "lungs": ("How do the lungs look?", "What about the lungs?", "Could you describe the lungs?"),
    "pleura": ("Is there fluid or air around the lungs?", "What about the pleural spaces?"),
    "bones": ("And the bones?", "How does the skeleton look?"),
    "devices": ("Are there any tubes, lines or other devices?", "Is anything implanted or inserted?"),
}
_TOPICS = {
    "heart": {"cardiomegaly", "normal heart", "mediastinal widening", "pericardial effusion"},
    "lungs": {"clear lungs", "opacity", "consolidation", "infiltrate", "pneumonia", "atelectasis", "edema", "nodule"},
    "pleura": {"effusion", "pneumothorax", "pleural thickening"},
    "bones": {"normal bones", "fracture", "degenerative change", "scoliosis", "osteopenia"},
    "devices": {"endotracheal tube", "enteric tube", "central line", "chest tube", "pacemaker", "sternotomy", "clips"},
}
_WHERE = (
    "Where is it? {}",
    "Could you point to this: {}",
    "Please show me where this is: {}",
    "Where do you see this: {}",
)
_WHERE_MANY = ("Please mark these for me: {}", "Where are these: {}")
_HERE = ("It is at {}.", "You can see it at {}.", "The location is {}.")
_VIEW = ("Which view is this?", "How was this image taken?")
_VIEWS = {
    "PA": "a posteroanterior (PA)",
    "AP": "an anteroposterior (AP)",
    "AP_horizontal": "a supine anteroposterior (AP)",
}
_FILLERS = (
    ("Is this enough for a diagnosis?", "No. An image is one part of it; a physician has to judge it with the rest."),
    ("Should I be worried?", "I can only tell what is visible; what it means is for a physician to say."),
    ("Can you see the whole chest?", "I can speak of what is visible on this image, and not of what lies outside it."),
    ("Is this a chest X-ray at all?", "Yes, it is a chest X-ray."),
    ("Thank you, that helps.", "You are welcome."),
)  # fmt: skip
_SAID_AT_MOST = 6
_LOCATED_ROUNDS = 6
_NO_SCENE = Scene("", None, None, {})


class _Round(NamedTuple):
    question: str
    answer: str


def rule_dialogue(scene: Scene, key: str) -> tuple[Turn, ...]:
    """Write 5 to 10 rounds; `key` (the image) chooses the words, the same each time."""
    words = _Words(key)
    sentences = [s for s in split_sentences(without_comparisons(scene.text)) if not _at_fault(s)]
    rounds = [_opening(scene, sentences, words), *_located(scene.located, words)]
    room = ROUNDS[1] - 1 - len(rounds)
    others = [*_topics(sentences, words), *_labelled(scene, words), *_view(scene, words)]
    rounds += [r for r in others if not _at_fault(r.question) and not _at_fault(r.answer)][:room]
    *fillers, closing = (_Round(*filler) for filler in _FILLERS)
    rounds += [*fillers[: max(0, ROUNDS[0] - 1 - len(rounds))], closing]
    return tuple(turn for r in rounds for turn in (Turn("human", r.question), Turn("gpt", r.answer)))


class _Words:
    """Chooses among wordings by a keyed hash."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._number = 0

    def pick(self, wordings: Sequence[str]) -> str:
        self._number += 1
        return wordings[keyed_number(0, "dialogue", self._key, self._number) % len(wordings)]


def _at_fault(text: str) -> bool:
    """Whether a sentence may not be said in a dialogue: it compares, or speaks of a report."""
    return bool(dialogue_faults([Turn("human", "Where?"), Turn("gpt", text)] * ROUNDS[0], _NO_SCENE))


def _opening(scene: Scene, sentences: Sequence[str], words: _Words) -> _Round:
    said = " ".join(sentences[:_SAID_AT_MOST])
    if not said:
        present = [name.lower() for name in ABNORMALITIES if scene.labels.get(name) == 1]
        said = f"This chest X-ray shows {_and(present)}." if present else "This is a chest X-ray."
    return _Round(words.pick(_OPENINGS), said)


def _located(located: Sequence[Located], words: _Words) -> Iterator[_Round]:
    """One round for each located finding; where there are too many, several in one."""
    size = -(-len(located) // _LOCATED_ROUNDS) or 1
    for start in range(0, len(located), size):
        group = located[start : start + size]
        names = [_name(item) for item in group]
        places = [" and ".join(dict.fromkeys(quote_box(box) for box in item.boxes)) for item in group]
        if len(group) == 1:
            yield _Round(words.pick(_WHERE).format(names[0]), f"{names[0]} {words.pick(_HERE).format(places[0])}")
        else:
            told = " ".join(f"{name} It is at {place}." for name, place in zip(names, places, strict=True))
            yield _Round(words.pick(_WHERE_MANY).format(" ".join(names)), told)


def _name(located: Located) -> str:
    """The phrase as a sentence, without comparisons; where nothing can be said of it, only that it is marked."""
    phrase = without_comparisons(located.phrase).strip()
    if not phrase or _at_fault(phrase):
        return "The marked finding."
    return phrase if phrase[-1] in ".!?" else f"{phrase[0].upper()}{phrase[1:]}."


def _topics(sentences: Sequence[str], words: _Words) -> Iterator[_Round]:
    """Questions about parts of the image, answered in the report's own sentences."""
    told = [(sentence, {finding.concept for finding in findings(sentence)}) for sentence in sentences]
    for topic, concepts in _TOPICS.items():
        answer = " ".join(sentence for sentence, found in told if found & concepts)
        if answer:
            yield _Round(words.pick(_ABOUT[topic]), answer)


def _labelled(scene: Scene, words: _Words) -> Iterator[_Round]:
    for wanted, answers in ((1, _YES), (0, _NO)):
        for name in ABNORMALITIES:
            if scene.labels.get(name) == wanted:
                thing = name.lower()
                yield _Round(words.pick(_PRESENT).format(thing), words.pick(answers).format(thing))


def _view(scene: Scene, words: _Words) -> Iterator[_Round]:
    if scene.view in _VIEWS:
        yield _Round(words.pick(_VIEW), f"It is {_VIEWS[scene.view]} view.")


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
