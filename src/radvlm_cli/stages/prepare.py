"""prepare: read the official files of a dataset into the store, convert its images, write the derived files.

Each source goes through the same steps in order. A step that is finished for the same files and options is not done
again; one that was cut short is done again from its start, except conversions, which go on where they stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection

from radvlm_cli.errors import ConfigError, DataError
from radvlm_cli.hashing import content_hash
from radvlm_cli.records import Image, Outcome, Report
from radvlm_cli.sources import SOURCES, Options, Source
from radvlm_cli.sources.layout import Layout, locate
from radvlm_cli.stages.conversions import convert_images
from radvlm_cli.stages.derived import write_derived
from radvlm_cli.stages.texts.adopt import adopt
from radvlm_cli.store import tables
from radvlm_cli.store.bulk import OUTCOME_SQL, batched, execute_many, remove_rows, upsert_sql
from radvlm_cli.store.queries import OWN_IMAGES, image_ids, known_images, outcome_counts, source_counts
from radvlm_cli.store.runs import Run

READER_VERSION = 1
"""Part of every fingerprint: raise it when a reader changes what it makes of the same files."""

T = TypeVar("T")

_IMAGE_SQL = upsert_sql(
    tables.Image,
    [*Image._fields, "run_id"],
    ["source", "image_id"],
    keep={
        "width": "excluded.width IS NULL",
        "height": "excluded.height IS NULL",
        # An image that could not be converted has no file either; conversion is tried again all the same.
        "status": "excluded.status = 'missing' AND image.status = 'failed'",
        "reason": "excluded.status = 'missing' AND image.status = 'failed'",
    },
)
_REPORT_SQL = upsert_sql(tables.Report, [*Report._fields, "run_id"], ["source", "study_id"])
_GROUNDING_COLUMNS = ["source", "image_id", "ordinal", "kind", "split", "label", "phrase", "boxes", "detail", "run_id"]
_GROUNDING_SQL = upsert_sql(tables.Grounding, _GROUNDING_COLUMNS, ["source", "image_id", "ordinal"])


class Prepared(NamedTuple):
    """What `prepare` did for one source; `counts` are those stored as tallies of the run."""

    source: str
    title: str
    counts: dict[str, int]
    missing: tuple[str, ...]
    """Files that are not there: of a source that was passed over, the needed ones; else the others."""
    passed_over: bool


class Job(NamedTuple):
    """One source in one run."""

    run: Run
    source: Source
    layout: Layout
    options: Options
    force: bool

    @property
    def name(self) -> str:
        """The source's name."""
        return self.layout.info.name

    def offers(self, step: str) -> bool:
        """Whether the source has this step at all."""
        return getattr(type(self.source), step) is not getattr(Source, step)


def prepare(
    run: Run,
    *,
    sources: Sequence[str],
    data_dir: Path,
    derived_dir: Path,
    options: Options,
    workers: int,
    force: bool = False,
) -> list[Prepared]:
    """Prepare `sources` (names, or `all`: those whose needed files are there) from below `data_dir`.

    Raises DataError where a named source lacks a file; with `all` such a source is passed over and listed.
    """
    if not data_dir.is_dir():
        raise DataError(f"The data folder {data_dir} does not exist.", "--data-dir PATH, or export DATA_DIR=PATH")
    wanted = list(SOURCES) if "all" in sources else [name for name in SOURCES if name in sources]
    results = []
    for name in wanted:
        source = SOURCES[name]()
        layout = locate(source.info, data_dir, derived_dir)
        absent = [f"{r.what} not found" for r in layout.absent] + _unprepared(run, layout)
        if "all" in sources and absent:
            results.append(Prepared(name, source.info.title, {}, tuple(absent), True))
            continue
        layout.require()
        if absent:
            raise ConfigError(f"{source.info.title}: {absent[0]}.", f"radvlm prepare --source {layout.info.needs[0]}")
        results.append(_prepare_source(Job(run, source, layout, options, force), workers))
    if "all" in sources and all(result.passed_over for result in results):
        raise DataError(f"No dataset was found in {data_dir}.", f"radvlm doctor --data-dir {data_dir}")
    return results


def _prepare_source(job: Job, workers: int) -> Prepared:
    store = job.run.store
    _step(job, "images", lambda: _read_images(job))
    if job.offers("reports"):
        _step(job, "reports", lambda: _read_reports(job))
    if job.offers("conversions"):
        convert_images(job.run, job.source, job.layout, job.options, workers=workers, force=job.force)
    adopt(job.run, job.layout)
    if job.offers("groundings"):
        _step(job, "groundings", lambda: _read_groundings(job))
    write_derived(job.run, job.layout)
    outcomes = outcome_counts(store, "prepare", job.name)
    counts = source_counts(store, job.name) | outcomes
    job.run.tally(job.name, counts)
    job.run.failed_items += sum(value for name, value in outcomes.items() if name.endswith(" failed"))
    return Prepared(job.name, job.layout.info.title, counts, tuple(r.what for r in job.layout.missing), False)


def _unprepared(run: Run, layout: Layout) -> list[str]:
    """The sources whose images this one describes that are not in the store yet, each as a reason."""
    any_image = "SELECT 1 FROM image WHERE source = ? LIMIT 1"
    needed = (name for name in layout.info.needs if run.store.value(any_image, (name,)) is None)
    return [f"{name}, whose images it describes, is not prepared" for name in needed]


def _step(job: Job, step: str, work: Callable[[], None]) -> None:
    """Do `work` unless it is finished for the same files and options; record that it is."""
    run, fingerprint = job.run, _fingerprint(job, step)
    done = run.store.value("SELECT fingerprint FROM step WHERE subject = ? AND step = ?", (job.name, step))
    if done == fingerprint and not job.force and not (step == "images" and _files_may_have_come(job)):
        return
    run.stop.check()
    with run.store.write() as connection:
        connection.exec_driver_sql("DELETE FROM step WHERE subject = ? AND step = ?", (job.name, step))
        connection.exec_driver_sql(
            "DELETE FROM outcome WHERE stage = 'prepare' AND subject = ? AND step = ?", (job.name, step)
        )
    run.progress.start(f"{job.name}: {step}")
    work()
    with run.store.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO step (subject, step, fingerprint, run_id) VALUES (?, ?, ?, ?)",
            (job.name, step, fingerprint, run.id),
        )


def _fingerprint(job: Job, step: str) -> str:
    """What a step is made from: the files, less those that `prepare` writes itself, and the options.

    Groundings also depend on the images that they lie on (their true resolution).
    """
    store, data_dir = job.run.store, job.layout.data_dir
    written = "SELECT root, path FROM artifact WHERE origin = 'written' AND root IN ('data', 'derived')"
    roots = {"data": data_dir, "derived": job.layout.derived_dir}
    ours = {roots[root] / path for root, path in store.rows(written + " AND kind <> 'image'")}
    files = {}
    for name, path in sorted(job.layout.found.items()):
        if path not in ours:
            state = path.stat()
            files[name] = [path.relative_to(data_dir).as_posix(), state.st_size, state.st_mtime_ns]
    below = [job.name, *job.layout.info.needs] if step == "groundings" else []
    images = [
        list(row)
        for name in below
        for row in store.rows(
            f"SELECT source, count(*), count(width), total(width), total(height) FROM image WHERE {OWN_IMAGES}", (name,)
        )
    ]
    return content_hash(
        {"files": files, "options": list(job.options), "reader": READER_VERSION, "images": images, "step": step}
    )


def _files_may_have_come(job: Job) -> bool:
    """Images listed as missing are looked for again: the download may have gone on."""
    missing = f"SELECT 1 FROM image WHERE {OWN_IMAGES} AND status = 'missing' LIMIT 1"
    return job.run.store.value(missing, (job.name,)) is not None


def _read_images(job: Job) -> None:
    before = set(image_ids(job.run.store, job.name))
    run_id = job.run.id
    for connection, images in _record_batches(job, "images", job.source.images(job.layout, job.options)):
        execute_many(connection, _IMAGE_SQL, [(*image, run_id) for image in images])
        before.difference_update(image.image_id for image in images)
    _sweep(job, "image", "image_id", before)


def _read_reports(job: Job) -> None:
    before = {str(i) for (i,) in job.run.store.rows("SELECT study_id FROM report WHERE source = ?", (job.name,))}
    run_id = job.run.id
    for connection, reports in _record_batches(job, "reports", job.source.reports(job.layout, job.options)):
        execute_many(connection, _REPORT_SQL, [(*report, run_id) for report in reports])
        before.difference_update(report.study_id for report in reports)
    _sweep(job, "report", "study_id", before)


def _read_groundings(job: Job) -> None:
    images = known_images(job.run.store, job.layout.info.needs[0] if job.layout.info.needs else job.name)
    written: dict[int, int] = {}
    run_id = job.run.id
    stream = job.source.groundings(job.layout, job.options, images)
    for connection, groundings in _record_batches(job, "groundings", stream):
        rows = []
        for g in groundings:
            row_id = images[g.image_id].id
            rows.append((g.source, row_id, g.ordinal, g.kind, g.split, g.label, g.phrase, g.boxes, g.detail, run_id))
            written[row_id] = g.ordinal
        execute_many(connection, _GROUNDING_SQL, rows)
    _sweep_groundings(job, written)


def _record_batches(job: Job, step: str, stream: Iterable[T | Outcome]) -> Iterator[tuple[Connection, list[T]]]:
    """Cut a source's stream into transactions; write its outcomes on the way and hand out the records."""
    run = job.run
    for batch in batched(stream):
        run.stop.check()
        records: list[T] = []
        outcomes: list[tuple[Any, ...]] = []
        for record in batch:
            if isinstance(record, Outcome):
                outcomes.append(("prepare", job.name, step, record.item, record.status, record.reason, run.id))
            else:
                records.append(record)
        with run.store.write() as connection:
            execute_many(connection, OUTCOME_SQL, outcomes)
            yield connection, records
        run.progress.advance(len(batch))


def _sweep(job: Job, table: str, key: str, gone: set[str]) -> None:
    """Remove rows that the files no longer hold."""
    if not gone:
        return
    remove_rows(job.run.store, table, job.name, key, sorted(gone))
    job.run.progress.note(f"{job.name}: {len(gone):,} rows of `{table}` that the files no longer hold were removed.")


def _sweep_groundings(job: Job, written: dict[int, int]) -> None:
    """Remove groundings beyond the last one written for their image (groundings of an image are numbered from 0)."""
    last = "SELECT image_id, max(ordinal) FROM grounding WHERE source = ? GROUP BY image_id"
    gone = [
        (job.name, image_id, written.get(image_id, -1))
        for image_id, ordinal in job.run.store.rows(last, (job.name,))
        if ordinal > written.get(image_id, -1)
    ]
    if gone:
        with job.run.store.write() as connection:
            delete = "DELETE FROM grounding WHERE source = ? AND image_id = ? AND ordinal > ?"
            execute_many(connection, delete, gone)
