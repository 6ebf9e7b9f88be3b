"""export: what the store and a built dataset hold, in the forms that other programs read."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from pyarrow import parquet

from radvlm_cli.errors import ConfigError, DataError
from radvlm_cli.files import atomic_write
from radvlm_cli.hashing import file_sha256
from radvlm_cli.recipes import Component
from radvlm_cli.records import Turn
from radvlm_cli.sources import SOURCES
from radvlm_cli.stages.datasets.files import FIRST, Pair, dataset_writers
from radvlm_cli.stages.evaluation.test_sets import DatasetRow, components_of, find_dataset
from radvlm_cli.stages.exports import predictions as export_predictions
from radvlm_cli.stages.exports.predictions import Selected
from radvlm_cli.store.components import Candidate
from radvlm_cli.store.engine import Store
from radvlm_cli.store.evaluations import evaluation_row
from radvlm_cli.store.exports import keep_outputs
from radvlm_cli.store.runs import Run
from radvlm_cli.store.test_sets import set_row

PredictionFormat = Literal["jsonl", "parquet", "rexrank", "coco"]
DatasetFormat = Literal["llava", "messages", "parquet"]
_SUFFIXES: Mapping[str, str] = {"llava": "json", "messages": "messages.jsonl", "parquet": "parquet"}
_BATCH = 5000


class Written(NamedTuple):
    """What an export brought."""

    files: tuple[Path, ...]
    items: int
    """Samples, studies or pairs."""
    notes: tuple[str, ...] = ()
    """What the user should know of it."""


def export_predictions_of(
    run: Run, evaluation_id: int, form: PredictionFormat, output: Path, *, force: bool
) -> Written:
    """Write one evaluation's predictions. ConfigError where the form does not fit the task, or a file is there."""
    evaluation = evaluation_row(run.store, evaluation_id)
    chosen = Selected(run, evaluation, set_row(run.store, evaluation.test_set_id))
    write = _PREDICTIONS[form]
    files = (output, export_predictions.annotations_path(output)) if form == "coco" else (output,)
    for path in files:
        check_free(path, force=force)
    run.progress.start(f"{evaluation.model} on {chosen.test_set.name}", chosen.test_set.samples)
    items, notes = write(chosen, files)
    keep_outputs(run, "export", [(path, evaluation.key) for path in files])
    missing = "" if evaluation.status == "complete" else "The evaluation is not done: samples without answer are in it."
    return Written(files, items, tuple(filter(None, [*notes, missing, _terms([chosen.test_set.source])])))


_PREDICTIONS: Mapping[str, Callable[[Selected, Sequence[Path]], tuple[int, list[str]]]] = {
    "jsonl": export_predictions.write_jsonl,
    "parquet": export_predictions.write_parquet,
    "rexrank": export_predictions.write_rexrank,
    "coco": export_predictions.write_coco,
}


def check_free(path: Path, *, force: bool) -> None:
    """ConfigError where something would be written over."""
    if path.is_dir():
        raise ConfigError(f"{path} is a folder.", f"--output {path / 'FILE'}")
    if path.exists() and not force:
        raise ConfigError(f"{path} is there already.", "--force writes it anew")


def _terms(sources: Sequence[str]) -> str:
    """Which agreements bind what was written."""
    held = [SOURCES[name]().info for name in dict.fromkeys(sources) if name in SOURCES]
    bound = [f"{info.title} ({info.licence})" for info in held if info.credentialed]
    return f"It holds what belongs to {', '.join(bound)}: its agreement binds the file too." if bound else ""


# Datasets


def export_dataset(
    run: Run, wanted: str, form: DatasetFormat, output: Path, *, components: Sequence[str] = (), force: bool
) -> Written:
    """Write a built dataset, or some of its components, in another form, from its Parquet file.

    The same form gives the same bytes as `build`. DataError where the file is gone or not as it was built.
    """
    dataset = find_dataset(run.store, wanted)
    known = {component.name: component for _number, component in components_of(dataset)}
    if unknown := [name for name in components if name not in known]:
        raise ConfigError(f"{dataset.name} has no component {unknown[0]!r}; it has {', '.join(known)}.")
    sources = [known[name].source for name in components or known]
    check_free(output, force=force)
    built = dataset.output / f"{dataset.name}.{_SUFFIXES[form]}"
    table = dataset.output / f"{dataset.name}.parquet"
    if output in (built, table):
        raise ConfigError(f"{output} is the dataset's own file.", "--output ANOTHER")
    if not components and (form == "parquet" or not table.exists()):
        items = _copy(run, dataset, built, output)
    else:
        _check_built(run.store, table)
        items = _convert(run, known, table, form, output, frozenset(components or known))
    keep_outputs(run, "export", [(output, _digest(run.store, table))])
    return Written((output,), items, tuple(filter(None, [_terms(sources)])))


def _digest(store: Store, path: Path) -> str | None:
    found = store.value("SELECT sha256 FROM artifact WHERE root = 'output' AND path = ?", (str(path),))
    return None if found is None else str(found)


def _check_built(store: Store, path: Path) -> None:
    if not path.is_file():
        raise DataError(f"{path} is gone.", f"radvlm build --output {path.parent}")
    if file_sha256(path) != _digest(store, path):
        raise DataError(f"{path} is not as it was built.", f"radvlm build --output {path.parent}")


def _copy(run: Run, dataset: DatasetRow, built: Path, output: Path) -> int:
    _check_built(run.store, built)
    run.progress.start(f"copying {built.name}")
    with built.open("rb") as source, atomic_write(output, "wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
    return int(run.store.value("SELECT pairs FROM dataset WHERE id = ?", (dataset.id,)))


def _convert(
    run: Run, known: Mapping[str, Component], table: Path, form: str, output: Path, wanted: frozenset[str]
) -> int:
    items = 0
    with parquet.ParquetFile(table) as file, dataset_writers({form: output}) as (writer,):
        run.progress.start(output.name, file.metadata.num_rows)
        for name, pairs in _batches(file):
            run.stop.check()
            if name in wanted:
                writer.write(known[name], pairs)
                items += len(pairs)
            run.progress.advance(len(pairs))
    return items


def _batches(file: parquet.ParquetFile) -> Iterator[tuple[str, list[Pair]]]:
    """Component and pairs; each row group is of one component."""
    for group in range(file.num_row_groups):
        rows = file.read_row_group(group).to_pylist()
        for start in range(0, len(rows), _BATCH):
            part = rows[start : start + _BATCH]
            yield part[0]["component"], [_pair(row) for row in part]


def _pair(row: Mapping[str, object]) -> Pair:
    """A row as a pair; of its record what the table knows."""
    spoken = [Turn(turn["from"], turn["value"]) for turn in row["conversations"]]  # type: ignore[attr-defined]
    turns = (spoken[0]._replace(text=spoken[0].text.removeprefix(FIRST)), *spoken[1:])
    names = ("image_id", "patient_id", "study_id", "width", "height")
    told: dict[str, object] = {name: row[name] for name in names}
    record = Candidate._make(told.get(name) for name in Candidate._fields)
    return Pair(str(row["id"]), str(row["image"]), turns, record, None)
