"""build: from the records in the store to an instruction dataset, streamed in constant memory.

The same store, recipe and options give the same bytes: every choice is a keyed hash of seed, component, record and
repetition, and records come in a fixed order.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Literal, NamedTuple

from radvlm_cli.errors import ConfigError
from radvlm_cli.files import remove_leftovers
from radvlm_cli.hashing import canonical_json, content_hash, file_sha256, keyed_number
from radvlm_cli.recipes import Component, Recipe
from radvlm_cli.sources import SOURCES
from radvlm_cli.sources.layout import locate
from radvlm_cli.stages.datasets.card import Line, write_card
from radvlm_cli.stages.datasets.files import Writer, dataset_writers
from radvlm_cli.stages.datasets.leakage import EvaluationIndex, Shared
from radvlm_cli.stages.datasets.pairs import ImagePlace, Uncertain, is_certain, pairs
from radvlm_cli.stages.texts.adopt import adopt_if_changed
from radvlm_cli.store.bulk import batched
from radvlm_cli.store.components import Candidate, Selection, candidates, frontal_images
from radvlm_cli.store.datasets import (
    ComponentRow,
    LeakRow,
    abandoned_on_error,
    begin_dataset,
    complete_dataset,
    write_component,
    write_pairs,
)
from radvlm_cli.store.engine import open_store
from radvlm_cli.store.runs import Run

Leakage = Literal["remove", "refuse", "report"]

_BATCH = 10_000
_UNUSABLE = ("missing", "failed")


class BuildOptions(NamedTuple):
    """How to build; kept with the dataset."""

    seed: int
    protocol: Literal["radvlm", "paper"] = "radvlm"
    uncertain: Uncertain = "positive"
    """What an uncertain finding counts as in classification; `ignore` leaves such images out."""
    leakage: Leakage = "remove"
    formats: tuple[str, ...] = ("llava",)
    image_root: str | None = None
    """Write image paths relative to this folder; None: absolute."""


class Built(NamedTuple):
    """A finished dataset."""

    name: str
    output: Path
    files: dict[str, Path]
    sha256: str
    pairs: int
    lines: list[Line]
    """One per component, in recipe order."""


class _Job(NamedTuple):
    run: Run
    options: BuildOptions
    place: ImagePlace
    evaluation: EvaluationIndex
    dataset_id: int
    frontal: dict[tuple[str, tuple[str, ...]], int]
    """How many frontal images splits hold, counted once for all components of a source."""


def build(
    run: Run,
    *,
    recipe: Recipe,
    evaluation: Recipe | None,
    output: Path,
    data_dir: Path,
    derived_dir: Path,
    options: BuildOptions,
) -> Built:
    """Build `recipe` into `output`: <name>.json and .parquet (and .messages.jsonl), a card, and rows in the store.

    `evaluation` is the recipe of the evaluation sets that training is checked against; None for the evaluation sets
    themselves. Raises ConfigError where leakage is found and the rule is to refuse, and where there is nothing to
    write; files of an earlier build stay as they are then.
    """
    _make_folder(output)
    _adopt_generated(run, recipe, data_dir, derived_dir)
    place = ImagePlace(_prefix(data_dir, options.image_root), _prefix(derived_dir, options.image_root))
    selections = [(c.name, _selection(c, options)) for c in evaluation.components] if evaluation else []
    index = EvaluationIndex.of(run.store, selections)
    recipe_json = canonical_json(asdict(recipe))
    dataset_id = begin_dataset(run, recipe.name, output, recipe_json, canonical_json(options._asdict()))
    job = _Job(run, options, place, index, dataset_id, {})
    suffixes = {"llava": "json", "messages": "messages.jsonl", "parquet": "parquet"}
    files = {name: output / f"{recipe.name}.{suffixes[name]}" for name in (*options.formats, "parquet")}
    with abandoned_on_error(run, dataset_id), dataset_writers(files) as writers:
        lines = _write_components(job, writers, recipe)
        _refuse_leaks(lines, options)
        _refuse_empty(lines, run)
    main = files[options.formats[0]]
    digests = {path: file_sha256(path) for path in files.values()}
    hashes = {path.name: digest for path, digest in digests.items()}
    card = write_card(output / f"{recipe.name}.md", recipe, options, lines, hashes)
    key = content_hash({"recipe": recipe_json, "options": options._asdict(), "files": hashes})
    pairs_written = sum(line.pairs for line in lines)
    complete_dataset(
        run, dataset_id, output, key, hashes[main.name], pairs_written, {**digests, card: file_sha256(card)}
    )
    return Built(recipe.name, output, {**files, "card": card}, hashes[main.name], pairs_written, lines)


def count_records(store_path: Path, recipe: Recipe, options: BuildOptions) -> list[dict[str, int | str | None]]:
    """What a build would use of the store as it is, without the leakage check: a row per component."""
    rows: list[dict[str, int | str | None]] = []
    with open_store(store_path, create=False, allow_network=True) as store:
        for component in recipe.components:
            found = usable = 0
            for record in candidates(store, _selection(component, options)):
                found += 1
                usable += record.status not in _UNUSABLE
            used = usable if component.limit is None else min(usable, component.limit)
            row = {"component": component.name, "expected": component.expected, "found": found, "used": used}
            rows.append({**row, "repeat": component.repeat, "pairs": used * component.repeat})
    return rows


def _write_components(job: _Job, writers: list[Writer], recipe: Recipe) -> list[Line]:
    lines: list[Line] = []
    position = 0
    for number, component in enumerate(recipe.components):
        lines.append(_write_component(job, writers, component, number, position))
        position += lines[-1].pairs
    return lines


def _adopt_generated(run: Run, recipe: Recipe, data_dir: Path, derived_dir: Path) -> None:
    """Take in curated reports and conversations that lie in the published folders since `prepare`."""
    owners = {_selection_source(component) for component in recipe.components}
    for name in SOURCES:
        if name in owners and run.store.value("SELECT 1 FROM image WHERE source = ? LIMIT 1", (name,)):
            adopt_if_changed(run, locate(SOURCES[name]().info, data_dir, derived_dir))


def _selection_source(component: Component) -> str:
    return Selection(component.task, component.source, component.split).image_source


def _selection(component: Component, options: BuildOptions) -> Selection:
    return Selection(component.task, component.source, component.split, paper=options.protocol == "paper")


def _prefix(folder: Path, image_root: str | None) -> str:
    if image_root is None:
        return f"{folder.resolve().as_posix()}/"
    relative = os.path.relpath(folder.resolve(), Path(image_root).resolve())
    if relative.startswith(".."):
        raise ConfigError(f"Images lie in {folder}, which is not below the image root {image_root}.", "--image-root")
    return "" if relative == "." else f"{relative}/"


def _write_component(job: _Job, writers: list[Writer], component: Component, number: int, position: int) -> Line:
    """Write one component's pairs to all files and to the store."""
    run = job.run
    selection = _selection(component, job.options)
    counts = dict.fromkeys(("found", "unusable", "leaked", "removed"), 0)
    leaks: dict[int, Shared] = {}
    records = _usable(job, selection, counts, leaks)
    if component.limit is not None:
        records = _sample(job, selection, records, component)
    run.progress.start(component.name)
    written = 0
    made = pairs(component, records, job.place, seed=job.options.seed, uncertain=job.options.uncertain)
    for batch in batched(made, _BATCH):
        run.stop.check()
        for writer in writers:
            writer.write(component, batch)
        write_pairs(run, job.dataset_id, number, position + written, batch)
        written += len(batch)
        run.progress.advance(len(batch))
    line = Line(component=component, pairs=written, remark=_remark(job, selection, counts), **counts)
    row = ComponentRow(
        position=number,
        name=component.name,
        task=component.task,
        source=component.source,
        splits=component.split,
        repeat=component.repeat,
        record_limit=component.limit,
        expected=component.expected,
        pairs=written,
        remark=line.remark,
        **counts,
    )
    found = (LeakRow(image, shared.level, shared.identity, shared.component) for image, shared in leaks.items())
    write_component(run, job.dataset_id, row, found)
    return line


def _usable(job: _Job, selection: Selection, counts: dict[str, int], leaks: dict[int, Shared]) -> Iterator[Candidate]:
    """The records whose image can be shown and that leak nothing, counting the others."""
    cohort, remove = selection.cohort, job.options.leakage == "remove" and job.options.protocol != "paper"
    certain_only = selection.task == "classification" and job.options.uncertain == "ignore"
    for record in candidates(job.run.store, selection):
        if certain_only and not is_certain(record.content):
            continue
        counts["found"] += 1
        if record.status in _UNUSABLE:
            counts["unusable"] += 1
            continue
        shared = job.evaluation.shared(cohort, record)
        if shared is not None:
            counts["leaked"] += 1
            leaks[record.image] = shared
            if remove:
                counts["removed"] += 1
                continue
        yield record


def _sample(job: _Job, selection: Selection, records: Iterator[Candidate], component: Component) -> Iterator[Candidate]:
    """The records with the smallest keyed numbers, as many as the limit allows, in their own order.

    They are read twice, once to choose and once to use, so that none has to be kept.
    """
    name, seed = f"{component.name}:sample", job.options.seed
    keyed = ((keyed_number(seed, name, record.key, 0), record.image, record.grounding) for record in records)
    chosen = {item[1:] for item in heapq.nsmallest(component.limit or 0, keyed)}
    again = candidates(job.run.store, selection)
    return (record for record in again if (record.image, record.grounding) in chosen)


def _remark(job: _Job, selection: Selection, counts: dict[str, int]) -> str:
    """What the store knows of why found is what it is."""
    parts = []
    if selection.task in ("report", "classification", "conversation"):
        key = (selection.image_source, selection.splits)
        if key not in job.frontal:
            job.frontal[key] = frontal_images(job.run.store, selection)
        without = job.frontal[key] - counts["found"]
        what = {"report": "a curated report", "classification": "labels", "conversation": "a conversation"}
        if without:
            parts.append(f"{without:,} frontal image{'s' if without > 1 else ''} without {what[selection.task]}")
    if counts["unusable"]:
        parts.append(f"{counts['unusable']:,} with a missing or unreadable image")
    if counts["removed"]:
        parts.append(f"{counts['removed']:,} removed: also in an evaluation set")
    return "; ".join(parts)


def _make_folder(output: Path) -> None:
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"The folder {output} cannot be made: {error.strerror}.", "--output FOLDER") from error
    remove_leftovers(output)


def _refuse_empty(lines: list[Line], run: Run) -> None:
    if not any(line.pairs for line in lines):
        raise ConfigError(
            f"The dataset would be empty: {run.store.path} holds none of the records that the recipe asks for.",
            "radvlm prepare --source all, and see what is there: radvlm db status",
        )


def _refuse_leaks(lines: list[Line], options: BuildOptions) -> None:
    leaked = {line.component.name: line.leaked for line in lines if line.leaked}
    if leaked and options.leakage == "refuse":
        listed = ", ".join(f"{name} {count:,}" for name, count in leaked.items())
        raise ConfigError(
            f"Training records share a patient, study or image with an evaluation set: {listed}.",
            "radvlm build --leakage remove, or see them: radvlm build --leakage report",
        )
