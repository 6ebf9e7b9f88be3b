"""Which samples a page shows, and everything that it says of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from radvlm_cli.hashing import keyed_number
from radvlm_cli.reporting.page.pictures import small_picture
from radvlm_cli.reporting.samples import DrawnBox, Picture, Sample, SampleGroup, Why
from radvlm_cli.stages.reports.main_values import MainValues, main_values
from radvlm_cli.stages.reports.page.privacy import Privacy
from radvlm_cli.stages.reports.selection import Evaluated
from radvlm_cli.store.snapshot import Snapshot

_PATTERN: tuple[Why, ...] = (
    *("worst", "random", "best", "worst", "random", "random"),
    *("worst", "random", "worst", "random", "best", "random"),
)
"""In which order an evaluation's samples are taken while there is room: 4 worst, 6 random, 2 best."""
_ORDER: tuple[Why, ...] = ("worst", "random", "best")


class Asked(NamedTuple):
    """How many pictures are wanted, which by chance, and where their files lie."""

    pictures: int
    seed: int
    data_dir: Path | None
    derived_dir: Path | None


class Pick(NamedTuple):
    """A sample that is shown, and why."""

    evaluation: int
    position: int
    why: Why
    score: float | None


class Pictures(Protocol):
    """Copies of image files."""

    def of(self, path: str, root: str | None, relative: str | None) -> tuple[Picture | None, str | None]:
        """The copy of a sample's image, or why there is none."""


def sample_groups(
    store: Snapshot, evaluations: Sequence[Evaluated], asked: Asked, privacy: Privacy
) -> list[SampleGroup]:
    """The samples of each evaluation, so many that there are no more different pictures than asked for."""
    ranked = {one.id: main_values(store, one) for one in evaluations}
    picks = _plan(store, evaluations, ranked, asked)
    shown = _Pictures(asked, privacy)
    groups = []
    for one in evaluations:
        mine = [pick for pick in picks if pick.evaluation == one.id]
        mine.sort(key=lambda pick: _ORDER.index(pick.why))
        if mine:
            values = ranked[one.id]
            samples = [sample_of(store, one, pick, shown, privacy) for pick in mine]
            title = f"{one.test_set.name} ({one.test_set.task}): {one.model} #{one.id}"
            groups.append(SampleGroup(title, values and values.metric.title, _note(values, mine, asked), samples))
    return groups


def _note(values: MainValues | None, picks: Sequence[Pick], asked: Asked) -> str:
    counts = ", ".join(f"{number} {why}" for why in _ORDER if (number := sum(pick.why == why for pick in picks)))
    by = "This task has no metric of single samples: by chance only" if values is None else f"By {values.metric.title}"
    least = ""
    if values is not None:
        order = values.ranked()
        alike = sum(value == order[0][1] for _position, value in order) if order else 0
        if alike > 1:
            least = f" {alike:,} of {len(order):,} samples share the worst value; which are shown is by chance."
    return f"{by}; {counts}; seed {asked.seed}.{least}"


def _plan(
    store: Snapshot, evaluations: Sequence[Evaluated], ranked: Mapping[int, MainValues | None], asked: Asked
) -> list[Pick]:
    """Turn by turn one sample of each evaluation, while there is room for its picture."""
    chance = {one.test_set.id: _by_chance(store, one.test_set.id, asked.seed) for one in evaluations}
    waiting = {one.id: _candidates(one, ranked[one.id], chance[one.test_set.id]) for one in evaluations}
    taken: list[Pick] = []
    paths: set[str] = set()
    for _round in _PATTERN:
        for one in evaluations:
            pick = next(waiting[one.id], None)
            if pick is None:
                continue
            path = store.value(
                "SELECT path FROM test_sample WHERE test_set_id = ? AND position = ?", (one.test_set.id, pick.position)
            )
            if path in paths or len(paths) < asked.pictures:
                paths.add(path)
                taken.append(pick)
    return taken


def _candidates(one: Evaluated, values: MainValues | None, chance: Sequence[int]) -> Iterator[Pick]:
    """An evaluation's samples in the order in which they are taken; each once. Chance is the same for all models."""
    places = {position: place for place, position in enumerate(chance)}
    order = values.ranked() if values else []
    sign = -1.0 if values and values.metric.better == "lower" else 1.0
    worst = sorted(order, key=lambda each: (sign * each[1], places[each[0]]))
    best = sorted(order, key=lambda each: (-sign * each[1], places[each[0]]))
    scores = dict(order)
    lists: dict[Why, Sequence[int]] = {
        "worst": [position for position, _value in worst],
        "random": chance,
        "best": [position for position, _value in best],
    }
    gone: set[int] = set()
    for why in _PATTERN:
        position = next((each for each in lists[why] if each not in gone), None)
        if position is not None:
            gone.add(position)
            yield Pick(one.id, position, why, scores.get(position))


def _by_chance(store: Snapshot, test_set_id: int, seed: int) -> list[int]:
    """All positions in an order that depends on nothing but the seed and the samples' ids."""
    rows = store.rows(
        "SELECT position, sample_id FROM test_sample WHERE test_set_id = ? ORDER BY position", (test_set_id,)
    )
    return [position for _number, position in sorted((keyed_number(seed, "report", name, 0), at) for at, name in rows)]


class _Pictures:
    """Small copies, each file read once."""

    def __init__(self, asked: Asked, privacy: Privacy) -> None:
        self._asked = asked
        self._none = privacy.public or not asked.pictures
        self._read: dict[str, tuple[Picture | None, str | None]] = {}

    def of(self, path: str, root: str | None, relative: str | None) -> tuple[Picture | None, str | None]:
        """The copy, or why there is none."""
        if self._none:
            return None, None
        if path not in self._read:
            self._read[path] = self._look(path, root, relative)
        return self._read[path]

    def _look(self, path: str, root: str | None, relative: str | None) -> tuple[Picture | None, str | None]:
        folder = {"data": self._asked.data_dir, "derived": self._asked.derived_dir}.get(root or "")
        there = image_file(path, folder, relative)
        if there is None:
            return None, "image not found"
        try:
            return small_picture(there, path), None
        except OSError:
            return None, "image cannot be read"


def image_file(path: str, folder: Path | None, relative: str | None) -> Path | None:
    """A sample's image: where it lay when it was frozen, else below today's folder; None where it is in neither."""
    places = [Path(path), *([folder / relative] if folder is not None and relative else [])]
    return next((place for place in places if place.is_file()), None)


def sample_of(store: Snapshot, one: Evaluated, pick: Pick, pictures: Pictures, privacy: Privacy) -> Sample:
    """Everything that is said of a sample and its answer."""
    row = next(
        store.rows(
            "SELECT s.sample_id, coalesce(r.status, p.status, 'unasked'), s.sex, s.age, s.view, p.prompt, s.turns, "
            "p.text, r.content, s.reference, p.error, s.path, i.root, i.path, s.width, s.height "
            "FROM test_sample s LEFT JOIN prediction p ON p.evaluation_id = ?1 AND p.position = s.position "
            "LEFT JOIN parsed r ON r.evaluation_id = ?1 AND r.position = s.position "
            "LEFT JOIN image i ON i.id = s.image_id WHERE s.test_set_id = ?2 AND s.position = ?3",
            (one.id, one.test_set.id, pick.position),
        )
    )
    name, status, sex, age, view, prompt, turns, text, content, reference, error, path, root, relative, *size = row
    task, right = one.test_set.task, json.loads(reference)
    read = json.loads(content) if content else None
    picture, missing = pictures.of(path, root, relative)
    talk = task == "conversation"
    return Sample(
        name=privacy.name(name),
        why=pick.why,
        status=status,
        score=pick.score,
        person=", ".join(part for part in (sex, privacy.age(age), view) if part) or None,
        prompt=None if talk else privacy.question(task, prompt, " ".join(json.loads(turns))),
        answer=None if talk else privacy.text(error or text or ""),
        read=_read(task, read),
        right=_right(task, right, privacy),
        rounds=() if privacy.public or not talk else tuple(_rounds(turns, text, right)),
        true=tuple(_boxes(right.get("boxes"))),
        predicted=tuple(_boxes(read.get("boxes") if isinstance(read, dict) else None)),
        picture=picture,
        missing=missing,
        aspect=size[0] / size[1] if all(size) else 1.0,
    )


def _boxes(boxes: Any) -> Iterator[DrawnBox]:
    """Boxes as tasks have them: a list, or lists by label."""
    for label, each in boxes.items() if isinstance(boxes, dict) else ((None, boxes or ()),):
        for corners in each:
            x_min, y_min, x_max, y_max = (min(max(float(corner), 0.0), 1.0) for corner in corners)
            yield DrawnBox(x_min, y_min, x_max, y_max, label or None)


def _read(task: str, read: Any) -> str | None:
    """What the parser made of the answer, where the answer itself does not show it."""
    if not isinstance(read, dict):
        return None
    if task == "classification":
        labels = read.get("labels") or {}
        present = [label for label, value in labels.items() if value == 1]
        unsure = [f"{label} (uncertain)" for label, value in labels.items() if value == -1]
        return ", ".join((*present, *unsure)) or "no finding"
    if "boxes" in read and not any(True for _box in _boxes(read["boxes"])):
        return "no box"
    return None


def _right(task: str, reference: Mapping[str, Any], privacy: Privacy) -> str | None:
    if task == "report":
        return privacy.text(str(reference["text"]))
    if task == "classification":
        return ", ".join(reference["positive"]) or "no finding"
    if task == "detection":
        named = [f"{label} ({len(boxes)})" for label, boxes in reference["boxes"].items()]
        return ", ".join(named) or "nothing to mark"
    if "boxes" in reference and not reference["boxes"]:
        return "nothing to mark"
    return None


def _rounds(turns: str, text: str | None, reference: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Question, answer and reference of each round."""
    said = _listed(text)
    wanted = [str(each) for role, each in reference.get("turns", ()) if role != "human"]
    for place, question in enumerate(json.loads(turns)):
        answer = said[place] if place < len(said) else ""
        yield str(question), answer, wanted[place] if place < len(wanted) else ""


def _listed(text: str | None) -> list[str]:
    try:
        said = json.loads(text or "[]")
    except ValueError:
        return [text or ""]
    return [str(each) for each in said] if isinstance(said, list) else [str(said)]
