"""converse: dialogues about images, plain or with the annotation's boxes, by a language model or by rules."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator, Sequence
from typing import Any

from radvlm_cli.errors import DataError
from radvlm_cli.hashing import keyed_number
from radvlm_cli.instructions.conversation import decode, encode, parse
from radvlm_cli.labels import ABNORMALITIES
from radvlm_cli.language import Fault, Located, Scene
from radvlm_cli.language.dialogue import rule_dialogue
from radvlm_cli.language.dialogue_checks import dialogue_faults, quote_box
from radvlm_cli.language.rewrite import without_comparisons
from radvlm_cli.llm.prompting import find_object
from radvlm_cli.records import Box
from radvlm_cli.stages.texts.asking import Statement
from radvlm_cli.stages.texts.tasks import Accepted, Faulty, Item, Nothing
from radvlm_cli.store.engine import Store
from radvlm_cli.store.generated import DIALOGUE_SQL, DROP_DIALOGUE_SQL, ImageItem, dialogue_images, image_items

KINDS = {"mimic": "standard", "mscxr": "grounded", "padchest-gr": "grounded"}
"""Source of the dialogues -> their kind; MS-CXR's are about MIMIC-CXR images."""
PUBLISHED = {("mimic", "train"): 86_155, ("mimic", "test"): 500}
"""How many dialogues of a source and split the published dataset has, where that is fewer than could be written."""


class Dialogues:
    """The images of one source that dialogues are to be written about. See tasks.Task."""

    stage = "converse"
    without_text = "the image has nothing to tell of"
    schema: dict[str, Any] = {  # noqa: RUF012 - a constant
        "type": "object",
        "properties": {
            "rounds": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"question": {"type": "string"}, "answer": {"type": "string"}},
                    "required": ["question", "answer"],
                    "additionalProperties": False,
                },
            }
        },
        "required": ["rounds"],
        "additionalProperties": False,
    }

    def __init__(self, store: Store, source: str, splits: Sequence[str], limit: int | None) -> None:
        self.source = source
        self.split = ", ".join(splits) or "all"
        self.step = KINDS[source]
        self.prompt_name = f"converse-{self.step}"
        self.label = " ".join((source, self.step, *splits))
        self._store = store
        self._ids = _sample(dialogue_images(store, source, self.step, splits), source, limit)

    def count(self) -> int:
        """How many images there are."""
        return len(self._ids)

    def items(self) -> Iterator[Item]:
        """Every image, with what a dialogue about it may speak of."""
        for image in image_items(self._store, self.source, self.step, self._ids):
            scene = _scene(image, grounded=self.step == "grounded")
            yield Item(image.image_id, _told(scene), (image, scene), image.known)

    def judge(self, item: Item, text: str) -> Accepted | Nothing | Faulty:
        """Read the rounds and check them."""
        rounds = (find_object(text, "rounds") or {}).get("rounds")
        try:
            turns = parse(_turns(rounds))
        except (DataError, ValueError) as error:
            reason = error.message if isinstance(error, DataError) else str(error)
            return Faulty((Fault(reason, ""),), None)
        faults = tuple(dialogue_faults(turns, item.content[1]))
        return Faulty(faults, encode(turns)) if faults else Accepted(encode(turns))

    def complaint(self, faults: Sequence[Fault]) -> str:
        """Name what is wrong, word for word."""
        lines = [f"- {fault.reason}{f': {fault.words}' if fault.words else ''}" for fault in faults]
        return (
            "This is not right yet:\n" + "\n".join(lines) + "\nWrite the whole conversation again with these mended. "
            "Answer with the JSON object only."
        )

    def by_rules(self, item: Item) -> Accepted | Nothing | Faulty:
        """Put a dialogue together by rules."""
        scene = item.content[1]
        turns = rule_dialogue(scene, item.name)
        faults = tuple(dialogue_faults(turns, scene))
        return Faulty(faults, encode(turns)) if faults else Accepted(encode(turns))

    def save(self, item: Item, content: str, *, origin: str, key: bytes, call: bytes | None, run: int) -> Statement:
        """Keep a dialogue."""
        image: ImageItem = item.content[0]
        row = (self.source, image.image, self.step, image.split, content, origin, key, call, None, run)
        return DIALOGUE_SQL, row

    def drop(self, item: Item) -> Statement:
        """Remove a dialogue."""
        return DROP_DIALOGUE_SQL, (self.source, item.content[0].image, self.step)


def published_form(turns: str) -> str:
    """The stored turns as the published files hold them: a list of {from, value}."""
    return json.dumps([{"from": turn.role, "value": turn.text} for turn in decode(turns)], indent=1, ensure_ascii=False)


def _sample(images: Iterator[tuple[int, str]], source: str, limit: int | None) -> array[int]:
    """The images to speak of: all, or those that the keyed hash puts first, the same whatever else there is."""
    if limit is None:
        return array("q", (row_id for row_id, _name in images))
    ranked = sorted((keyed_number(0, f"converse {source}", name, 0), row_id) for row_id, name in images)
    return array("q", sorted(row_id for _rank, row_id in ranked[:limit]))


def _scene(image: ImageItem, *, grounded: bool) -> Scene:
    located: list[Located] = []
    sentences: list[str] = []
    for phrase, label, boxes in json.loads(image.groundings or "[]") if grounded else ():
        said = without_comparisons(phrase or "") or (label or "")
        sentences.append(said)
        if boxes and said:
            located.append(Located(said, tuple(Box(*box) for box in boxes)))
    text = image.text or " ".join(sentence for sentence in sentences if sentence)
    labels: dict[str, int] = json.loads(image.labels) if image.labels else {}
    return Scene(text, image.view, image.sex, labels, tuple(located))


def _told(scene: Scene) -> str:
    """What a model is told about an image; '' if there is nothing to tell."""
    by_value = {
        name: [finding for finding in ABNORMALITIES if scene.labels.get(finding) == value]
        for name, value in (("present", 1), ("uncertain", -1), ("absent", 0))
    }
    if not scene.text and not scene.located and not by_value["present"]:
        return ""
    lines = [f"View: {scene.view or 'not known'}"]
    lines.append(f"Sex: { {'F': 'female', 'M': 'male'}.get(scene.sex or '', 'not known') }")
    lines += [f"Labelled {name}: {', '.join(found)}" for name, found in by_value.items() if found]
    lines.append(f"Description: {scene.text}" if scene.text else "Description: none")
    if scene.located:
        lines.append("Located findings:")
        lines += [f"- {item.phrase} {' '.join(map(quote_box, item.boxes))}" for item in scene.located]
    return "\n".join(lines)


def _turns(rounds: Any) -> list[dict[str, str]]:
    if not isinstance(rounds, list) or not all(isinstance(r, dict) for r in rounds):
        raise ValueError("the answer holds no list of rounds")
    pairs = [(r.get("question"), r.get("answer")) for r in rounds]
    if not all(isinstance(text, str) for pair in pairs for text in pair):
        raise ValueError("a round lacks its question or its answer")
    return [
        turn
        for question, answer in pairs
        for turn in ({"from": "human", "value": str(question)}, {"from": "gpt", "value": str(answer)})
    ]
