"""Test sets: what a built dataset asks, and what is right, frozen so that every model gets the same.

The pairs are made again from the store's records, as `build` made them, and held against those that the dataset has:
the store must still hold what the dataset was built from.
"""

from __future__ import annotations

import hashlib
import heapq
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from radvlm_cli.adapters.pictures import picture_size
from radvlm_cli.adapters.protocol import Task
from radvlm_cli.errors import ConfigError, DataError
from radvlm_cli.hashing import canonical_json, keyed_number
from radvlm_cli.labels import ABNORMALITIES
from radvlm_cli.recipes import Component, load_recipe
from radvlm_cli.stages.datasets.files import Pair
from radvlm_cli.stages.datasets.pairs import ImagePlace, Uncertain, pairs, positive_findings
from radvlm_cli.store.components import Selection, candidates
from radvlm_cli.store.engine import Store
from radvlm_cli.store.runs import Run
from radvlm_cli.store.test_sets import SampleRow, keep_test_set

TASK_OF: dict[str, Task] = {
    "report": "report",
    "classification": "classification",
    "region-grounding": "region",
    "abnormality-grounding": "abnormality",
    "phrase-grounding": "phrase",
    "abnormality-detection": "detection",
    "conversation": "conversation",
    "grounded-conversation": "conversation",
}
"""Task of a component -> what a model is asked to do."""
_BUILD = "radvlm build --recipe evaluation --output datasets/test"


class DatasetRow(NamedTuple):
    """A complete dataset."""

    id: int
    name: str
    output: Path
    recipe: dict[str, Any]
    options: dict[str, Any]


class Frozen(NamedTuple):
    """A test set, not yet written to the store."""

    key: str
    name: str
    task: Task
    source: str
    dataset_id: int
    options: tuple[str, ...]
    """Findings to choose among."""
    expected: int | None
    found: int
    """Samples of the component, before the limit."""
    samples: tuple[SampleRow, ...]


class _Person(NamedTuple):
    """What an image's row says besides a candidate."""

    sex: str | None
    age: int | None
    view: str | None
    indication: str | None
    source: str


def find_dataset(store: Store, wanted: str | None) -> DatasetRow:
    """The dataset in a folder, or of a name; None: the newest that was built with the evaluation recipe."""
    name = load_recipe("evaluation").name
    rows = store.rows("SELECT id, name, output, recipe, options FROM dataset WHERE status = 'complete' ORDER BY id")
    known = [DatasetRow(i, n, Path(o), json.loads(r), json.loads(c)) for i, n, o, r, c in rows]
    if wanted is None:
        known = [row for row in known if row.name == name]
        if not known:
            raise ConfigError("The store knows no dataset that was built with the evaluation recipe.", _BUILD)
        return known[-1]
    place = Path(wanted).absolute()
    here = [row for row in known if row.output in (place, place.parent)] or [r for r in known if r.name == wanted]
    here = [row for row in here if row.name in (name, place.stem)] or here
    if not here:
        listed = ", ".join(str(row.output) for row in known) or "none"
        raise ConfigError(f"The store knows no complete dataset in {wanted} (there are: {listed}).", _BUILD)
    return here[-1]


def components_of(dataset: DatasetRow) -> list[tuple[int, Component]]:
    """The components of a dataset with their positions."""
    entries = dataset.recipe["components"]
    return [(n, Component(**{**entry, "split": tuple(entry["split"])})) for n, entry in enumerate(entries)]


def collect(
    store: Store,
    dataset: DatasetRow,
    position: int,
    component: Component,
    *,
    data_dir: Path,
    derived_dir: Path,
    limit: int | None = None,
    seed: int = 0,
) -> Frozen:
    """The test set of a component; nothing is written.

    `limit`: that many samples at most, chosen by keyed hash of `seed` and sample. DataError where the store does not
    hold any more what the dataset was built from.
    """
    task, uncertain = TASK_OF[component.task], dataset.options.get("uncertain", "positive")
    made = list(_pairs(store, dataset, position, component, data_dir, derived_dir))
    people = _people(store, dataset, position)
    refer = _REFERENCES[task]
    samples = [_sample(pair, people[pair.record.image], refer(pair, uncertain)) for pair in made]
    options = _options(task, samples)
    found = len(samples)
    if limit is not None and limit < found:
        numbered = enumerate(samples)
        chosen = heapq.nsmallest(limit, numbered, lambda each: keyed_number(seed, "eval", each[1].sample_id, 0))
        samples = [sample for _number, sample in sorted(chosen, key=lambda each: each[0])]
    samples = [sample._replace(position=n) for n, sample in enumerate(samples)]
    key = _key(component.name, task, options, samples, {pair.pair_id: _image_name(pair, people) for pair in made})
    frozen = map(_measured, samples)
    return Frozen(
        *(key, component.name, task, component.source, dataset.id, options, component.expected, found),
        samples=tuple(frozen),
    )


def freeze(run: Run, frozen: Frozen) -> int:
    """Write a test set, or find it; return its id."""
    return keep_test_set(
        run,
        key=frozen.key,
        name=frozen.name,
        task=frozen.task,
        source=frozen.source,
        dataset_id=frozen.dataset_id,
        options=frozen.options,
        expected=frozen.expected,
        samples=frozen.samples,
    )


def _pairs(
    store: Store, dataset: DatasetRow, position: int, component: Component, data_dir: Path, derived_dir: Path
) -> Iterator[Pair]:
    """The component's pairs that the dataset has, in its order."""
    options = dataset.options
    wanted = {
        pair_id: place
        for place, pair_id in store.rows(
            "SELECT position, pair_id FROM pair WHERE dataset_id = ? AND component = ?", (dataset.id, position)
        )
    }
    selection = Selection(component.task, component.source, component.split, paper=options["protocol"] == "paper")
    place = ImagePlace(f"{data_dir.resolve().as_posix()}/", f"{derived_dir.resolve().as_posix()}/")
    images = {
        image
        for (image,) in store.rows(
            "SELECT DISTINCT image_id FROM pair WHERE dataset_id = ? AND component = ?", (dataset.id, position)
        )
    }
    records = (record for record in candidates(store, selection) if record.image in images)
    made = pairs(component, records, place, seed=options["seed"], uncertain=options["uncertain"])
    found = [pair for pair in made if pair.pair_id in wanted]
    if len(found) != len(wanted):
        raise DataError(
            f"The store does not hold any more what {component.name} of the dataset in {dataset.output} was built "
            f"from: {len(wanted):,} pairs, {len(found):,} found.",
            f"Build it again: {_BUILD}",
        )
    return iter(sorted(found, key=lambda pair: wanted[pair.pair_id]))


def _people(store: Store, dataset: DatasetRow, component: int) -> dict[int, _Person]:
    rows = store.rows(
        "SELECT DISTINCT i.id, i.sex, i.age, i.view, r.history, i.source FROM pair p JOIN image i ON i.id = p.image_id "
        "LEFT JOIN report r ON r.source = i.source AND r.study_id = i.study_id "
        "WHERE p.dataset_id = ? AND p.component = ?",
        (dataset.id, component),
    )
    return {image: _Person._make(rest) for image, *rest in rows}


def _sample(pair: Pair, person: _Person, said: tuple[str | None, dict[str, Any]]) -> SampleRow:
    record, (subject, reference) = pair.record, said
    return SampleRow(
        position=0,
        sample_id=pair.pair_id,
        image_id=record.image,
        path=Path(pair.image),
        patient_id=record.patient_id,
        study_id=record.study_id,
        sex=person.sex,
        age=person.age,
        view=person.view,
        width=record.width,
        height=record.height,
        subject=subject,
        indication=person.indication,
        turns=tuple(turn.text for turn in pair.turns if turn.role == "human"),
        reference=reference,
    )


_Said = tuple[str | None, dict[str, Any]]
"""Subject and reference."""


def _report(pair: Pair, _uncertain: Uncertain) -> _Said:
    return None, {"text": pair.turns[1].text}


def _classification(pair: Pair, uncertain: Uncertain) -> _Said:
    labels = pair.record.content
    return None, {"labels": json.loads(labels), "positive": list(positive_findings(labels, uncertain))}


def _region(pair: Pair, _uncertain: Uncertain) -> _Said:
    name, boxes = list(json.loads(pair.record.content).items())[pair.grounding or 0]
    return name, {"boxes": boxes}


def _grounding(pair: Pair, _uncertain: Uncertain) -> _Said:
    return str(pair.record.name), {"boxes": json.loads(pair.record.content)}


def _detection(pair: Pair, _uncertain: Uncertain) -> _Said:
    boxes: dict[str, list[Any]] = {}
    for label, each in json.loads(pair.record.content):
        boxes.setdefault(label, []).extend(each)
    return None, {"boxes": boxes}


def _conversation(pair: Pair, _uncertain: Uncertain) -> _Said:
    return None, {"turns": [list(turn) for turn in pair.turns]}


_REFERENCES: dict[Task, Callable[[Pair, Uncertain], _Said]] = {
    "report": _report,
    "classification": _classification,
    "region": _region,
    "abnormality": _grounding,
    "phrase": _grounding,
    "detection": _detection,
    "conversation": _conversation,
}


def _options(task: Task, samples: Sequence[SampleRow]) -> tuple[str, ...]:
    """What there is to choose among: the findings of classification; for detection those that the test set has."""
    if task == "classification":
        return ABNORMALITIES
    if task == "detection":
        return tuple(sorted({label for sample in samples for label in sample.reference["boxes"]}))
    return ()


def _image_name(pair: Pair, people: dict[int, _Person]) -> list[str]:
    return [people[pair.record.image].source, pair.record.image_id]


def _key(
    name: str, task: str, options: Sequence[str], samples: Sequence[SampleRow], images: dict[str, list[str]]
) -> str:
    """Hash of what decides answers and scores. Not of paths, nor of row ids, which a new store gives anew."""
    digest = hashlib.sha256(canonical_json([name, task, list(options)]).encode())
    for sample in samples:
        what = [sample.sample_id, images[sample.sample_id], sample.patient_id, sample.subject, sample.indication]
        digest.update(b"\n")
        digest.update(canonical_json([*what, list(sample.turns), sample.reference]).encode())
    return digest.hexdigest()


def _measured(sample: SampleRow) -> SampleRow:
    """With the picture's size, where no table said it and the file is there."""
    if sample.width is not None and sample.height is not None:
        return sample
    width, height = picture_size(sample.path)
    # 1 x 1: it cannot be read, and the model that is to look at it will say what is wrong.
    return sample if (width, height) == (1, 1) else sample._replace(width=width, height=height)
