"""The forms in which predictions are exported; each is streamed, and there whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path
from typing import IO, Any, NamedTuple

import pyarrow as pa
from pyarrow import parquet

from radvlm_cli.adapters.protocol import GROUNDING
from radvlm_cli.errors import ConfigError
from radvlm_cli.files import atomic_write
from radvlm_cli.hashing import canonical_json
from radvlm_cli.store.bulk import batched
from radvlm_cli.store.evaluations import EvaluationRow
from radvlm_cli.store.exports import Exported, Sections, exported, sections
from radvlm_cli.store.runs import Run
from radvlm_cli.store.test_sets import SetRow

_BATCH = 5000
_UNKNOWN_SIZE = (1000, 1000)
"""Pixels, of an original whose size nobody knows: boxes keep their place, areas mean little."""
_TYPES: Mapping[str, pa.DataType] = {
    "evaluation": pa.int64(),
    **dict.fromkeys(("position", "age", "width", "height", "seen_width", "seen_height", "attempt"), pa.int32()),
    **dict.fromkeys(("tokens_in", "tokens_out", "latency_ms"), pa.int64()),
}
"""All other columns are text."""


class Selected(NamedTuple):
    """The evaluation that is exported."""

    run: Run
    evaluation: EvaluationRow
    test_set: SetRow

    def samples(self, *, by_study: bool = False) -> Iterator[Exported]:
        """Its samples, one after another; the run can be stopped between them."""
        for sample in self.run.stop.watch(exported(self.run.store, self.evaluation.id, by_study=by_study), _BATCH):
            self.run.progress.advance()
            yield sample


Files = Sequence[Path]
Done = tuple[int, list[str]]
"""Items written, and what to know of them."""


def _row(chosen: Selected, sample: Exported) -> dict[str, Any]:
    head = {
        "evaluation": chosen.evaluation.id,
        "model": chosen.evaluation.model,
        "test_set": chosen.test_set.name,
        "task": chosen.test_set.task,
        "source": chosen.test_set.source,
    }
    return {**head, **sample._asdict()}


def write_jsonl(chosen: Selected, files: Files) -> Done:
    """A JSON object a line with all that is known of a sample; the rounds of a conversation are lists."""
    items = 0
    spoken = chosen.test_set.task == "conversation"
    with atomic_write(files[0]) as stream:
        for sample in chosen.samples():
            row = _row(chosen, sample)
            if spoken:
                row |= {name: row[name] and json.loads(row[name]) for name in ("prompt", "text")}
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")
            items += 1
    return items, []


def write_parquet(chosen: Selected, files: Files) -> Done:
    """The same as a table; what is no plain value is JSON."""
    items = 0
    names = [*_row(chosen, Exported._make([None] * len(Exported._fields)))]
    schema = pa.schema([(name, _TYPES.get(name, pa.string())) for name in names])
    with atomic_write(files[0], "wb") as stream, parquet.ParquetWriter(stream, schema, compression="zstd") as writer:
        for batch in batched(chosen.samples(), _BATCH):
            rows = [_row(chosen, sample) for sample in batch]
            for row in rows:
                row["reference"] = canonical_json(row["reference"])
                row["parsed"] = None if row["parser"] is None else canonical_json(row["parsed"])
            writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=schema))
            items += len(rows)
    return items, []


def write_rexrank(chosen: Selected, files: Files) -> Done:
    """One JSON object, study -> what ReXrank's scripts read of it; of a study's images one is answered for (PA first).

    An answer that counts as wrong (failed, refused, cut off) is an empty text.
    """
    _require(chosen, ("report",), "rexrank")
    reports = sections(chosen.run.store, chosen.test_set.source)
    left_out = 0

    def studies() -> Iterator[tuple[str, dict[str, Any]]]:
        nonlocal left_out
        by_study = groupby(chosen.samples(by_study=True), lambda sample: sample.study_id or sample.sample_id)
        for study, group in by_study:
            samples = list(group)
            left_out += len(samples) - 1
            yield study, _study(chosen, samples, reports.get(study))

    with atomic_write(files[0]) as stream:
        items = _stream_object(stream, studies())
    notes = [f"ReXrank takes one answer a study: {left_out:,} of further images are left out."] if left_out else []
    return items, notes


def _study(chosen: Selected, samples: Sequence[Exported], report: Sections | None) -> dict[str, Any]:
    first = samples[0]
    told = report if report and (report.findings or report.impression) else Sections(first.reference["text"], None)
    known = (f"Age:{first.age}" if first.age is not None else "", f"Gender:{first.sex}" if first.sex else "")
    why = f"Indication: {' '.join(first.indication.split())}" if first.indication else ""
    return {
        "image_path": [sample.image for sample in samples],
        "key_image_path": first.image,
        "section_findings": told.findings,
        "section_impression": told.impression,
        "report": f"Findings: {told.findings} Impression: {told.impression}.",
        "context": ".".join(filter(None, [*known, why])),
        "subject_id": first.patient_id,
        "model_prediction": first.parsed or "",
        "reference": first.reference["text"],
        "model": chosen.evaluation.model,
    }


def annotations_path(results: Path) -> Path:
    """Where the truth goes that belongs to a file of COCO results."""
    return results.with_name(f"{results.stem}.annotations.json")


def write_coco(chosen: Selected, files: Files) -> Done:
    """COCO results (a list of boxes in pixels), and beside them the images, categories and true boxes they refer to.

    A sample is an image of its own, as one picture is asked about many things. Models give no scores: each is 1.
    """
    _require(chosen, ("detection", *GROUNDING), "coco")
    results, truth = files
    numbers = {name: number for number, name in enumerate(_categories(chosen), 1)}

    def boxes(of: Callable[[Exported], Any]) -> Iterator[tuple[Exported, int, list[float]]]:
        for sample in exported(chosen.run.store, chosen.evaluation.id):
            for name, each in _by_category(chosen, sample, of(sample)):
                # What a model boxes before it names a finding belongs to no category.
                yield from ((sample, numbers[name], _pixels(sample, box)) for box in each if name in numbers)

    def predicted() -> Iterator[dict[str, Any]]:
        for sample, category, box in boxes(lambda sample: (sample.parsed or {}).get("boxes", ())):
            yield {"image_id": sample.position + 1, "category_id": category, "bbox": box, "score": 1.0}

    def true() -> Iterator[dict[str, Any]]:
        for number, (sample, category, box) in enumerate(boxes(lambda sample: sample.reference["boxes"]), 1):
            place = {"id": number, "image_id": sample.position + 1, "category_id": category}
            yield {**place, "bbox": box, "area": round(box[2] * box[3], 4), "iscrowd": 0}

    with ExitStack() as stack:
        stream = stack.enter_context(atomic_write(truth))
        info = {"description": f"{chosen.test_set.name}, test set {chosen.test_set.key}"}
        stream.write(f'{{"info": {json.dumps(info, ensure_ascii=False)},\n"images": ')
        _stream_list(stream, (_image(sample) for sample in chosen.samples()))
        stream.write(',\n"categories": ')
        _stream_list(stream, ({"id": number, "name": name} for name, number in numbers.items()))
        stream.write(',\n"annotations": ')
        _stream_list(stream, true())
        stream.write("}\n")
        items = _stream_list(stack.enter_context(atomic_write(results)), predicted())
    return items, ["Models give no scores: every box has the score 1."]


def _require(chosen: Selected, tasks: Sequence[str], form: str) -> None:
    if chosen.test_set.task not in tasks:
        raise ConfigError(
            f"{form} is for {', '.join(tasks)}; evaluation {chosen.evaluation.id} is of {chosen.test_set.task}.",
            "--format jsonl, or parquet, which take every task",
        )
    unread = "SELECT NOT EXISTS (SELECT 1 FROM parsed WHERE evaluation_id = ?)"
    if chosen.run.store.value(unread, (chosen.evaluation.id,)):
        raise ConfigError(
            f"The answers of evaluation {chosen.evaluation.id} were not read yet.",
            f"radvlm eval --rescore {chosen.evaluation.run_id} once it is complete",
        )


def _categories(chosen: Selected) -> list[str]:
    """Findings of detection; regions or findings that are asked for; for phrases, each its own, one category."""
    task = chosen.test_set.task
    if task == "detection":
        return list(chosen.test_set.options)
    if task == "phrase":
        return ["phrase"]
    rows = chosen.run.store.rows(
        "SELECT DISTINCT subject FROM test_sample WHERE test_set_id = ? ORDER BY subject", (chosen.test_set.id,)
    )
    return [str(subject) for (subject,) in rows]


def _by_category(chosen: Selected, sample: Exported, boxes: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(boxes, dict):
        return boxes.items()
    return [("phrase" if chosen.test_set.task == "phrase" else str(sample.subject), boxes)]


def _size(sample: Exported) -> tuple[int, int]:
    return (sample.width, sample.height) if sample.width and sample.height else _UNKNOWN_SIZE


def _pixels(sample: Exported, box: Sequence[float]) -> list[float]:
    """Left, top, width and height."""
    width, height = _size(sample)
    left, top, right, bottom = box
    sides = (left * width, top * height, (right - left) * width, (bottom - top) * height)
    return [round(side, 3) for side in sides]


def _image(sample: Exported) -> dict[str, Any]:
    width, height = _size(sample)
    place = {"id": sample.position + 1, "file_name": sample.image, "width": width, "height": height}
    return {**place, "sample_id": sample.sample_id, "subject": sample.subject}


def _stream_list(stream: IO[str], items: Iterable[Any]) -> int:
    count = 0
    for item in items:
        stream.write(("[\n" if count == 0 else ",\n") + json.dumps(item, ensure_ascii=False))
        count += 1
    stream.write("\n]" if count else "[]")
    return count


def _stream_object(stream: IO[str], items: Iterable[tuple[str, Any]]) -> int:
    count = 0
    for name, item in items:
        stream.write("{\n" if count == 0 else ",\n")
        stream.write(f"{json.dumps(name, ensure_ascii=False)}: {json.dumps(item, ensure_ascii=False)}")
        count += 1
    stream.write("\n}\n" if count else "{}\n")
    return count
