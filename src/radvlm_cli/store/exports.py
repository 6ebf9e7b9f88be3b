"""What is exported: predictions beside their samples, and the rows of files that were written elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from radvlm_cli.hashing import file_sha256
from radvlm_cli.store.bulk import OUTPUT_FILE_SQL, execute_many
from radvlm_cli.store.engine import Store
from radvlm_cli.store.runs import Run


class Exported(NamedTuple):
    """A sample of an evaluation with what was said and read; JSON columns are decoded."""

    position: int
    sample_id: str
    image: str
    """Absolute path when the test set was frozen."""
    patient_id: str | None
    study_id: str | None
    sex: str | None
    age: int | None
    view: str | None
    width: int | None
    height: int | None
    subject: str | None
    indication: str | None
    prompt: str | None
    """As it was put to the model; None for a sample without an answer."""
    status: str | None
    text: str | None
    error: str | None
    seen_width: int | None
    seen_height: int | None
    tokens_in: int | None
    tokens_out: int | None
    latency_ms: int | None
    attempt: int | None
    at: str | None
    reference: dict[str, Any]
    parser: str | None
    parsed_status: str | None
    parsed: Any


class Sections(NamedTuple):
    """A study's report as the source has it, for those who are scored against it."""

    findings: str | None
    impression: str | None


_SAMPLES = (
    "SELECT s.position, s.sample_id, s.path, s.patient_id, s.study_id, s.sex, s.age, s.view, s.width, s.height, "
    "s.subject, s.indication, p.prompt, p.status, p.text, p.error, p.seen_width, p.seen_height, p.tokens_in, "
    "p.tokens_out, p.latency_ms, p.attempt, p.at, s.reference, r.parser, r.status, r.content FROM evaluation e "
    "JOIN test_sample s ON s.test_set_id = e.test_set_id "
    "LEFT JOIN prediction p ON p.evaluation_id = e.id AND p.position = s.position "
    "LEFT JOIN parsed r ON r.evaluation_id = e.id AND r.position = s.position WHERE e.id = ? ORDER BY "
)


def exported(store: Store, evaluation_id: int, *, by_study: bool = False) -> Iterator[Exported]:
    """All samples of an evaluation, by position; or study by study, frontal views seen from behind (PA) first."""
    order = "s.study_id, s.view IS NOT 'PA', s.position" if by_study else "s.position"
    for row in store.rows(_SAMPLES + order, (evaluation_id,)):
        sample = Exported._make(row)
        parsed = None if sample.parsed is None else json.loads(sample.parsed)
        yield sample._replace(reference=json.loads(row[23]), parsed=parsed)


def sections(store: Store, source: str) -> dict[str, Sections]:
    """Study -> its sections, for the studies that are in a test set of the source."""
    rows = store.rows(
        "SELECT study_id, findings, impression FROM report WHERE source = ? AND study_id IN (SELECT s.study_id "
        "FROM test_sample s JOIN test_set t ON t.id = s.test_set_id WHERE t.source = ?)",
        (source, source),
    )
    return {study: Sections(findings, impression) for study, findings, impression in rows}


def keep_outputs(run: Run, kind: str, files: Iterable[tuple[Path, str | None]]) -> None:
    """Keep files that were written outside the data folders: path, and hash of what it was made from."""
    rows = []
    for path, key in files:
        state = path.stat()
        rows.append((str(path), kind, file_sha256(path), state.st_size, state.st_mtime_ns, key, run.id))
    with run.store.write() as connection:
        execute_many(connection, OUTPUT_FILE_SQL, rows)
