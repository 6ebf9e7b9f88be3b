"""The pages of our own, read from one state of the store."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import numpy as np
from PIL import Image

from radvlm_cli.metrics.registry import OfJudge
from radvlm_cli.reporting.samples import Picture
from radvlm_cli.reporting.served.home import Described, EvaluationLine, HomePage
from radvlm_cli.reporting.served.prediction import Fact, Judged, PredictionPage
from radvlm_cli.reporting.served.shell import Link
from radvlm_cli.stages.reports.numbers import families_of_task, metrics_shown
from radvlm_cli.stages.reports.page.pictures import Pick, image_file, sample_of
from radvlm_cli.stages.reports.page.privacy import Privacy
from radvlm_cli.stages.reports.selection import Evaluated, all_evaluations
from radvlm_cli.stages.serving.queries import SavedQuery
from radvlm_cli.stages.serving.read_only import NAME
from radvlm_cli.store.snapshot import Snapshot

_HOME = Link("radvlm", "/")
_SHOWN = 512
"""Longer side of the drawing that boxes are measured in; the picture behind it may be finer."""
_EVALUATIONS = 100
_WORST = {
    "report": "reports",
    "classification": "findings",
    "detection": "detection",
    "conversation": "conversations",
    **dict.fromkeys(("region", "abnormality", "phrase"), "boxes"),
}


class Folders(NamedTuple):
    """Where images lie that the store knows by a path relative to them."""

    data: Path | None
    derived: Path | None

    def of(self, root: str | None) -> Path | None:
        """The folder of a root."""
        return {"data": self.data, "derived": self.derived}.get(root or "")


def home_page(store: Snapshot, queries: Sequence[SavedQuery], described: dict[str, str]) -> HomePage:
    """The first page; `described`: what tables and views hold."""
    evaluations = all_evaluations(store)[::-1]
    lines = [_line(store, one) for one in evaluations[:_EVALUATIONS]]
    names = dict(store.rows("SELECT name, type FROM sqlite_master WHERE type IN ('table', 'view')"))
    held = {"table": [], "view": []}  # type: dict[str, list[Described]]
    for name, what in described.items():
        if name in names:
            held[names[name]].append(Described(Link(name, f"/{NAME}/{name}"), what))
    return HomePage(
        store=str(store.path),
        evaluations=lines,
        left_out=max(len(evaluations) - _EVALUATIONS, 0),
        queries=[Described(Link(each.title, f"/{NAME}/{each.name}"), each.what) for each in queries],
        tables=held["table"],
        views=held["view"],
        sql=Link("Ask in SQL", f"/{NAME}"),
    )


def _line(store: Snapshot, one: Evaluated) -> EvaluationLine:
    counts = store.all("SELECT status, count(*) FROM parsed WHERE evaluation_id = ? GROUP BY status", (one.id,))
    said = ", ".join(f"{number:,} {status}" for status, number in counts) or "none read yet"
    links = [Link("worst", _query(f"worst_{_WORST[one.test_set.task]}", evaluation=one.id))]
    links.append(Link("all", _query("answers", evaluation=one.id)))
    return EvaluationLine(f"{one.model} #{one.id}", one.test_set.name, one.test_set.task, said, links)


def _query(name: str, **given: Any) -> str:
    return f"/{NAME}/{name}?{urlencode(given)}"


# One prediction


class _Shown:
    """Pictures that the page gets by an address: only their size is looked at."""

    def __init__(self, folders: Folders) -> None:
        self._folders = folders

    def of(self, path: str, root: str | None, relative: str | None) -> tuple[Picture | None, str | None]:
        there = image_file(path, self._folders.of(root), relative)
        if there is None:
            return None, "image not found"
        try:
            with Image.open(there) as image:
                width, height = image.size
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            return None, "image cannot be read"
        scale = _SHOWN / max(width, height)
        return Picture(path, b"", max(round(width * scale), 1), max(round(height * scale), 1)), None


def prediction_page(store: Snapshot, evaluation: int, position: int, folders: Folders) -> PredictionPage | None:
    """The page of a sample of an evaluation's test set, answered or not; None where there is none."""
    one = next((each for each in all_evaluations(store) if each.id == evaluation), None)
    if one is None or not store.value(
        "SELECT 1 FROM test_sample WHERE test_set_id = ? AND position = ?", (one.test_set.id, position)
    ):
        return None
    pick = Pick(evaluation, position, "random", None)
    sample = sample_of(store, one, pick, _Shown(folders), Privacy(False, b""))
    return PredictionPage(
        sample=sample,
        answered=f"{one.model} on {one.test_set.name} ({one.test_set.task})",
        source=f"/picture/sample/{one.test_set.id}/{position}.jpg" if sample.picture else None,
        trail=[_HOME, Link(f"{one.model} #{one.id} on {one.test_set.name}", _query("answers", evaluation=evaluation))],
        neighbours=list(_neighbours(store, one, position)),
        scores=list(_scores(store, one, position)),
        facts=[("Sample", _of_sample(store, one, position)), ("Answer", _of_answer(store, one, position))],
        judged=_judged(store, evaluation, position),
        raw=list(_raw(store, one, position)),
    )


def _neighbours(store: Snapshot, one: Evaluated, position: int) -> Iterator[Link]:
    for words, sign, order in (("\u2190 previous", "<", "DESC"), ("next \u2192", ">", "ASC")):
        there = store.value(
            f"SELECT position FROM test_sample WHERE test_set_id = ? AND position {sign} ? "
            f"ORDER BY position {order} LIMIT 1",
            (one.test_set.id, position),
        )
        if there is not None:
            yield Link(words, f"/prediction/{one.id}/{there}")


def _scores(store: Snapshot, one: Evaluated, position: int) -> Iterator[tuple[str, float]]:
    """The main metrics of this sample alone, in the order of the report."""
    families = families_of_task(one.test_set.task)
    values: dict[str, float] = {}
    for (name,) in store.rows("SELECT DISTINCT family FROM score WHERE evaluation_id = ?", (one.id,)):
        base, _slash, judge = name.partition("/")
        family = families.get(base)
        numbers = store.value(
            "SELECT numbers FROM sample_score WHERE evaluation_id = ? AND family = ? AND position = ?",
            (one.id, name, position),
        )
        if family is None or numbers is None:
            continue
        family = OfJudge(family, judge) if judge else family
        row = np.array([json.loads(numbers)], dtype=np.float64)
        if row.shape[1] == len(family.columns):
            # Of a judge's metrics the judge is a part; of others a finding, which is no metric of the sample.
            found = {key.removesuffix(f"/{judge}"): float(value[0]) for key, value in family.values(row).items()}
            values |= {key: value for key, value in found.items() if "/" not in key and not np.isnan(value)}
    for each in metrics_shown(list(values), every=False):
        yield each.title, values[each.name]


def _of_sample(store: Snapshot, one: Evaluated, position: int) -> list[Fact]:
    row = next(
        store.rows(
            "SELECT patient_id, study_id, sex, age, view, width, height, subject, indication, image_id, path "
            "FROM test_sample WHERE test_set_id = ? AND position = ?",
            (one.test_set.id, position),
        )
    )
    patient, study, sex, age, view, width, height, subject, indication, image, path = row
    place = f"{one.test_set.name}, position {position}"
    facts = [
        Fact("test set", place, f"/{NAME}/test_sample/{one.test_set.id},{position}"),
        *_known(("subject", subject), ("indication", indication), ("patient", patient), ("study", study)),
        *_known(("sex", sex), ("age", age), ("view", view), ("pixels", width and f"{width} x {height}")),
        Fact("file", path),
    ]
    return [*facts, Fact("image", f"row {image}", f"/{NAME}/image/{image}")] if image is not None else facts


def _of_answer(store: Snapshot, one: Evaluated, position: int) -> list[Fact]:
    evaluation = Fact("evaluation", f"{one.model} #{one.id} ({one.status})", f"/{NAME}/evaluation/{one.id}")
    found = store.all(
        "SELECT status, error, run_id, at, worker, attempt, tokens_in, tokens_out, latency_ms, seen_width, "
        "seen_height FROM prediction WHERE evaluation_id = ? AND position = ?",
        (one.id, position),
    )
    if not found:
        return [evaluation, Fact("status", "not asked yet")]
    status, error, run, at, worker, attempt, tokens_in, tokens_out, latency, width, height = found[0]
    return [
        evaluation,
        Fact("run", f"{run}, {at}", f"/{NAME}/run/{run}"),
        Fact("row", "as the store has it", f"/{NAME}/prediction/{one.id},{position}"),
        *_known(("status", status), ("error", error), ("worker", worker), ("attempt", attempt)),
        *_known(("tokens", tokens_in and f"{tokens_in:,} in, {tokens_out or 0:,} out")),
        *_known(("time", latency and f"{latency:,} ms"), ("picture as seen", width and f"{width} x {height}")),
    ]


def _known(*named: tuple[str, Any]) -> Iterator[Fact]:
    return (Fact(name, str(value)) for name, value in named if value is not None)


def _judged(store: Snapshot, evaluation: int, position: int) -> list[Judged]:
    judges = store.all("SELECT DISTINCT judge FROM judgement WHERE evaluation_id = ?", (evaluation,))
    found = []
    for (judge,) in judges:
        found += store.all(
            "SELECT judge, status, text FROM judgement WHERE evaluation_id = ? AND judge = ? AND position = ?",
            (evaluation, judge, position),
        )
    return [Judged._make(row) for row in found]


def _raw(store: Snapshot, one: Evaluated, position: int) -> Iterator[tuple[str, str]]:
    for parser, content in store.rows(
        "SELECT parser, content FROM parsed WHERE evaluation_id = ? AND position = ?", (one.id, position)
    ):
        yield f"What {parser} read", _indented(content)
    for (text,) in store.rows(
        "SELECT text FROM prediction WHERE evaluation_id = ? AND position = ?", (one.id, position)
    ):
        yield "Raw text", text
    for (reference,) in store.rows(
        "SELECT reference FROM test_sample WHERE test_set_id = ? AND position = ?", (one.test_set.id, position)
    ):
        yield "Reference", _indented(reference)


def _indented(content: str) -> str:
    try:
        return json.dumps(json.loads(content), indent=1, ensure_ascii=False)
    except ValueError:
        return content


# Pictures


def picture_file(store: Snapshot, kind: str, keys: Sequence[int], folders: Folders) -> Path | None:
    """The file of a row of `image` or `test_sample`; None where there is no such row, or no such file."""
    if kind == "image":
        row = next(store.rows("SELECT root, path FROM image WHERE id = ?", keys), None)
        folder = None if row is None else folders.of(row[0])
        if row is None or folder is None or not _stays_inside(row[1]):
            return None
        file = folder / row[1]
        return file if file.is_file() else None
    row = next(
        store.rows(
            "SELECT s.path, i.root, i.path FROM test_sample s LEFT JOIN image i ON i.id = s.image_id "
            "WHERE s.test_set_id = ? AND s.position = ?",
            keys,
        ),
        None,
    )
    if row is None:
        return None
    path, root, relative = row
    return image_file(path, folders.of(root) if relative and _stays_inside(relative) else None, relative)


def _stays_inside(relative: str) -> bool:
    """Whether a path from the store names something below its folder (which may itself be a link elsewhere)."""
    parts = Path(relative).parts
    return bool(parts) and not Path(relative).is_absolute() and ".." not in parts
