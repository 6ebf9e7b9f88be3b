"""Time every view of `radvlm report` on the store of a synthetic year of work, and show which indexes they use.

    python benchmarks/year.py [--store PATH] [--scale 1.0] [--times-only]

1.1 million images, 227,000 reports, 300,000 groundings and as many calls, two datasets of 1.1 million pairs, 200 runs
with 300,000 training steps, 290 evaluations with 500,000 predictions and their numbers. Content is made up, sizes of
rows are realistic; rows come in by plain SQL, so that the store is there in a minute or two. An existing PATH is used
as it is. Each view, and the whole page, is run as a user runs it, in a process of its own, interpreter and imports
included: the first time, the best of three, and the mean of the CPU time, which other work on the machine lengthens
less. Ends with 1 where a view takes longer than its limit: the overview 0.5 s, others 2 s, the page 10 s.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from radvlm_cli.metrics.registry import MetricOptions, families
from radvlm_cli.store.engine import open_store
from radvlm_cli.store.snapshot import Snapshot, open_snapshot

SOURCES = {"mimic": 377_110, "chexpert": 223_414, "chexpert-plus": 223_462, "vindr": 18_000, "padchest": 258_014}
REPORTS = {"mimic": 227_835, "chexpert-plus": 187_711, "padchest": 109_931}
SETS = {
    "mimic-report-test": ("report", 3314, 60, 3314),
    "chexpert-classification-test": ("classification", 518, 40, 518),
    "imagenome-region-test": ("region", 2000, 50, 2000),
    "vindr-abnormality-test": ("abnormality", 2108, 50, 2108),
    "vindr-detection-test": ("detection", 2108, 30, None),
    "mscxr-phrase-test": ("phrase", 189, 40, 189),
    "mimic-conversation-test": ("conversation", 500, 20, 500),
}
MODELS = ("radvlm:models/radvlm-7b", "chexagent", "maira2", "llavaov", "radialog", "llavamed", "chat:Qwen/Qwen3-VL-8B")
TEXT = (
    "The heart size is within normal limits. There is a small left pleural effusion with adjacent atelectasis. No "
    "pneumothorax is seen. A right internal jugular catheter ends in the lower superior vena cava. "
)
LIMITS_S = {"overview": 0.5, "page": 10.0}
LIMIT_S = 2.0
AT = "2026-05-01T12:00:00.000+00:00"


def main() -> int:
    """Make the store where it is not there, time the views, print plans; 1 where a view is too slow."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, default=Path(tempfile.gettempdir()) / "radvlm-year.db")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--times-only", action="store_true", help="No query plans.")
    chosen = parser.parse_args()
    if not chosen.store.exists():
        began = time.perf_counter()
        make_store(chosen.store, chosen.scale)
        print(f"made in {time.perf_counter() - began:.0f} s")
    print(f"{chosen.store}: {chosen.store.stat().st_size / 1e9:.2f} GB")
    slow = show_times(chosen.store)
    if not chosen.times_only:
        show_plans(chosen.store)
    return int(slow)


# The store


def make_store(path: Path, scale: float) -> None:
    """Write the store; a part of it at a smaller scale."""
    with open_store(path):
        pass
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("PRAGMA foreign_keys=OFF")
        connection.execute("PRAGMA cache_size=-400000")
        for step in (runs, images, reports, groundings, calls, texts, datasets, training, evaluations):
            began = time.perf_counter()
            connection.execute("BEGIN")
            step(connection, random.Random(step.__name__), lambda number: max(1, int(number * scale)))
            connection.execute("COMMIT")
            print(f"  {step.__name__}: {time.perf_counter() - began:.1f} s", flush=True)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


Scaled = Callable[[float], int]


def insert(connection: sqlite3.Connection, table: str, columns: str, rows: Iterable[tuple[Any, ...]]) -> None:
    """Insert rows."""
    marks = ", ".join("?" * len(columns.split(",")))
    connection.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows)


def runs(connection: sqlite3.Connection, rng: random.Random, _scaled: Scaled) -> None:
    """200 runs, some of them not finished."""
    commands = ["prepare"] * 20 + ["curate"] * 40 + ["converse"] * 20 + ["build"] * 20 + ["train"] * 60 + ["eval"] * 40

    def rows() -> Iterator[tuple[Any, ...]]:
        for number, command in enumerate(commands, start=1):
            arguments = json.dumps(
                {"source": ["mimic"], "data_dir": "/data", "recipe": "radvlm", "output": "/data/out"}
            )
            status = rng.choices(["done", "interrupted", "partial", "failed"], [90, 4, 4, 2])[0]
            yield (number, command, arguments, "0" * 64, "1.0", "3.11", "host", 1, AT, AT, AT, status, None, 0)

    names = "id, command, arguments, config_hash, version, python, host, pid, started_at, heartbeat_at, ended_at"
    insert(connection, "run", f"{names}, status, message, resumed", rows())


def images(connection: sqlite3.Connection, rng: random.Random, scaled: Scaled) -> None:
    """The images of all sources, labels with most of them."""
    labels = [json.dumps({"Edema": 1, "Cardiomegaly": 0, "Pleural Effusion": n % 2, "Fracture": -1}) for n in range(8)]

    def rows() -> Iterator[tuple[Any, ...]]:
        for source, count in SOURCES.items():
            for number in range(scaled(count)):
                split = "test" if number % 100 == 0 else "validation" if number % 100 == 1 else "train"
                status = "missing" if number % 500 == 0 else "present"
                name = f"{number * 2654435761 % 2**32:08x}-{number:08x}-{source}"
                patient = f"p{number // 6:08}"
                path = f"{source}/files/{patient}/{number // 2:08}/{name}.jpg"
                view = ("PA", "AP", "LATERAL")[number % 3]
                sex, age = ("F", "M")[number // 6 % 2], 20 + number // 6 % 70
                yield (
                    *(source, name, patient, f"s{number // 2:08}", split, view, "data", path, 2544, 3056, sex, age),
                    *(labels[number % 8], status, None, 1),
                )

    names = "source, image_id, patient_id, study_id, split, view, root, path, width, height, sex, age, labels, status"
    insert(connection, "image", f"{names}, reason, run_id", rows())


def reports(connection: sqlite3.Connection, _rng: random.Random, scaled: Scaled) -> None:
    """Reports of some 600 characters."""

    def rows() -> Iterator[tuple[Any, ...]]:
        for source, count in REPORTS.items():
            for number in range(scaled(count)):
                yield (
                    source,
                    f"s{number:08}",
                    f"p{number // 3:08}",
                    "train",
                    "en",
                    TEXT * 2,
                    TEXT[:120],
                    "sections",
                    1,
                )

    names = "source, study_id, patient_id, split, language, findings, impression, origin, run_id"
    insert(connection, "report", names, rows())


def groundings(connection: sqlite3.Connection, _rng: random.Random, scaled: Scaled) -> None:
    """Scene graphs of 29 regions, abnormalities and phrases."""
    region = json.dumps({f"region {n}": [[0.1234, 0.2345, 0.3456, 0.4567]] for n in range(29)})
    kinds = (
        ("imagenome", "region", 162_794, region),
        ("vindr", "abnormality", 69_052, "[[0.1,0.2,0.3,0.4]]"),
        ("mscxr", "phrase", 1_162, "[[0.1,0.2,0.3,0.4]]"),
        ("padchest-gr", "phrase", 7_000, "[[0.1,0.2,0.3,0.4]]"),
    )

    def rows() -> Iterator[tuple[Any, ...]]:
        for source, kind, count, boxes in kinds:
            for number in range(scaled(count)):
                label = None if kind == "region" else "Nodule/Mass"
                yield (source, number // 4 + 1, number % 4, kind, "train", label, None, boxes, 1)

    insert(connection, "grounding", "source, image_id, ordinal, kind, split, label, phrase, boxes, run_id", rows())


def calls(connection: sqlite3.Connection, rng: random.Random, scaled: Scaled) -> None:
    """300,000 calls with a dozen prompts."""
    prompts = [
        f"{stage}-{n}" for stage in ("curate-dictated", "converse-standard", "judge-conversation") for n in range(4)
    ]
    names = "id, hash, name, model, parameters, messages, run_id"
    rows = ((n, bytes([n]), name, "gpt-4o", "{}", b"", 21) for n, name in enumerate(prompts, start=1))
    insert(connection, "prompt", names, rows)
    asked = [zlib.compress((TEXT * 3 + str(rng.random())).encode(), 0) for _ in range(50)]
    answers = [zlib.compress((TEXT * 2 + str(rng.random())).encode(), 0) for _ in range(50)]

    def called() -> Iterator[tuple[Any, ...]]:
        for number in range(scaled(300_000)):
            status = "ok" if number % 50 else "failed"
            key = number.to_bytes(32, "big")
            yield (
                *(
                    key,
                    number % 12 + 1,
                    asked[number % 50],
                    answers[number % 49],
                    status,
                    "azure",
                    "host.openai.azure.com",
                ),
                *(
                    "gpt-4o-2024-08-06",
                    900 + number % 300,
                    512,
                    200,
                    0,
                    0.0031,
                    "standard",
                    1800,
                    1,
                    AT,
                    21 + number % 40,
                ),
            )

    names = "key, prompt_id, asked, answer, status, provider, host, model, input_tokens, cached_tokens, output_tokens"
    rest = "reasoning_tokens, cost, tier, latency_ms, attempts, answered_at, run_id"
    insert(connection, "llm_call", f"{names}, {rest}", called())


def texts(connection: sqlite3.Connection, _rng: random.Random, scaled: Scaled) -> None:
    """Curated texts, conversations, and what did not pass the checks."""
    curated = (("mimic", f"s{n:08}", TEXT, "azure", n.to_bytes(32, "big"), 21) for n in range(scaled(230_980)))
    insert(connection, "curated_text", "source, study_id, text, origin, key, run_id", curated)
    turns = json.dumps([["human", "What is seen?"], ["gpt", TEXT]] * 6)
    talks = (("mimic", n + 1, "standard", "train", turns, "azure", 61) for n in range(scaled(86_155)))
    insert(connection, "conversation", "source, image_id, kind, split, turns, origin, run_id", talks)
    names = "stage, subject, step, item"
    held = [("curate", "mimic", "texts", f"s9{n:07}") for n in range(scaled(4000))]
    rows = ((*key, b"k", TEXT, "again", "azure", 0, 21) for key in held)
    insert(connection, "quarantine", f"{names}, key, candidate, words, origin, attempt, run_id", rows)
    outcomes = ((*key, "failed", f"reason {n % 5}", 21) for n, key in enumerate(held))
    insert(connection, "outcome", f"{names}, status, reason, run_id", outcomes)
    skipped = (
        ("prepare", "padchest", "images", f"i{n}", "skipped", "a lateral view", 1) for n in range(scaled(90_000))
    )
    insert(connection, "outcome", f"{names}, status, reason, run_id", skipped)


def datasets(connection: sqlite3.Connection, _rng: random.Random, scaled: Scaled) -> None:
    """Two datasets of 1.1 million pairs with nine components each."""
    for dataset in (1, 2):
        pairs = scaled(1_115_021)
        values = (
            dataset,
            f"{dataset}" * 64,
            "radvlm",
            f"/data/{dataset}",
            "{}",
            "{}",
            "0" * 64,
            pairs,
            "complete",
            101,
        )
        names = "id, key, name, output, recipe, options, sha256, pairs, status, run_id"
        insert(connection, "dataset", names, [values])
        parts = [
            (
                dataset,
                n,
                f"component-{n}",
                "report",
                "mimic",
                "[]",
                1,
                None,
                232_344,
                230_980,
                12,
                40,
                40,
                pairs // 9,
                None,
            )
            for n in range(9)
        ]
        names = "dataset_id, position, name, task, source, splits, repeat, record_limit, expected, found, unusable"
        insert(connection, "component", f"{names}, leaked, removed, pairs, remark", parts)
        rows = ((dataset, n, f"component-{n % 9}-{n:08x}", n % 9, n + 1) for n in range(pairs))
        insert(connection, "pair", "dataset_id, position, pair_id, component, image_id", rows)
    rows = ((2, n % 9, n, "patient", f"mimic patient {n}", "mimic-report-test") for n in range(scaled(5000)))
    insert(connection, "leak", "dataset_id, component, image_id, level, shared, evaluation", rows)


def training(connection: sqlite3.Connection, rng: random.Random, scaled: Scaled) -> None:
    """60 runs of 5,000 steps."""
    rows = ((n, f"/runs/{n}", "radvlm-7b", "/models/base", 2, "0" * 64, 1_115_021) for n in range(101, 161))
    insert(connection, "training", "run_id, folder, recipe, model, dataset_id, data_sha256, pairs", rows)
    steps = scaled(5000)

    def events() -> Iterator[tuple[Any, ...]]:
        file = "rank0.spool.jsonl"
        for run_id in range(101, 161):
            yield (run_id, file, 0, "started", json.dumps({"kind": "started", "steps": steps}))
            for step in range(1, steps + 1):
                body = {"step": step, "consumed_samples": step * 256, "loss": 1 + 3 / step + rng.random() / 20}
                body |= {"learning_rates": {"language": 1e-5, "vision": 2e-6}, "gradient_norm": 1.1, "tokens": 400_000}
                body |= {"samples": 256, "step_s": 9.1, "tokens_per_s": 44_000 + step % 99, "samples_per_s": 28.1}
                body |= {"mfu": 0.43, "memory_gib": 61.2, "data_wait_s": 0.01, "at": AT}
                yield (run_id, file, step * 500, "step", json.dumps(body))
                if step % 500 == 0:
                    losses = {task: {"loss": 1.2, "samples": 200, "tokens": 9000} for task in ("report", "region")}
                    body = {"step": step, "losses": losses, "at": AT}
                    yield (run_id, file, step * 500 + 1, "evaluation", json.dumps(body))

    insert(connection, "event", "run_id, file, offset, kind, body", events())
    saved = (
        (run_id, step, step * 256, f"/runs/{run_id}/checkpoints/checkpoint-{step}", 60 * 10**9, state, AT)
        for run_id in range(101, 161)
        for step, state in ((1000, "removed"), (2000, "complete"), (3000, "complete"))
    )
    insert(connection, "checkpoint", "run_id, step, consumed_samples, path, bytes, status, saved_at", saved)


def evaluations(connection: sqlite3.Connection, rng: random.Random, scaled: Scaled) -> None:
    """Test sets, and models on them, with every number that scoring leaves behind."""
    evaluation = 0
    for set_id, (name, (task, samples, times, expected)) in enumerate(SETS.items(), start=1):
        samples = scaled(samples)
        findings = json.dumps(["Edema", "Fracture"])
        values = (set_id, name, name, task, name.partition("-")[0], findings, samples, samples // 5 + 1, expected, 161)
        names = "id, key, name, task, source, options, samples, patients, expected, run_id"
        insert(connection, "test_set", names, [values])
        insert(connection, "test_sample", _SAMPLE, (_sample(set_id, task, n) for n in range(samples)))
        made = [_family(rng, task, listed.family) for listed in families(task, MetricOptions())]
        for number in range(max(1, round(times))):
            evaluation += 1
            model = MODELS[number % len(MODELS)]
            _evaluation(connection, rng, evaluation, set_id, model, samples)
            for family, rows, scores in made:
                _scores(connection, rng, evaluation, family, rows, scores, samples)


_SAMPLE = "test_set_id, position, sample_id, path, patient_id, study_id, sex, age, view, subject, turns, reference"


def _sample(set_id: int, task: str, number: int) -> tuple[Any, ...]:
    references: dict[str, Any] = {
        "report": {"text": TEXT},
        "classification": {"labels": {"Edema": number % 2}, "positive": ["Edema"] if number % 2 else []},
        "detection": {"boxes": {"Nodule/Mass": [[0.1, 0.2, 0.3, 0.4]]} if number % 2 else {}},
        "conversation": {"turns": [["human", "?"], ["gpt", TEXT]]},
    }
    reference = json.dumps(references.get(task, {"boxes": [[0.1, 0.2, 0.3, 0.4]]}))
    sex, age, view = ("F", "M")[number // 5 % 2], 20 + number // 5 % 70, ("PA", "AP")[number % 2]
    person = (f"p{number // 5}", f"s{number // 2}", sex, age, view, "left lung", '["What is seen?"]', reference)
    return (set_id, number, f"{task}-{number:06}", f"/data/{number}.jpg", *person)


def _family(rng: random.Random, task: str, family: Any) -> tuple[Any, list[str], dict[str, float]]:
    """A family with some rows of its numbers, and values of its metrics."""
    import numpy as np

    table = np.array([[float(rng.random() < 0.4) for _ in family.columns] for _ in range(97)])
    if family.columns[-1] == "samples":
        table[:, -1] = 1
    with np.errstate(all="ignore"):
        values = {name: float(value) for name, value in family.values(table.sum(axis=0)).items()}
    return family, [json.dumps(row) for row in table.tolist()], values


def _evaluation(
    connection: sqlite3.Connection, rng: random.Random, evaluation: int, set_id: int, model: str, samples: int
) -> None:
    identity = json.dumps({"model": model, "batch": evaluation})
    values = (
        evaluation,
        str(evaluation),
        set_id,
        model,
        identity,
        f"/runs/{evaluation}",
        "complete",
        161 + evaluation % 40,
        AT,
    )
    insert(
        connection, "evaluation", "id, key, test_set_id, model, identity, folder, status, run_id, created_at", [values]
    )
    statuses = rng.choices(["ok", "empty", "truncated", "error"], [96, 1, 2, 1], k=samples)
    names = (
        "evaluation_id, position, status, text, prompt, tokens_in, tokens_out, latency_ms, worker, attempt, run_id, at"
    )
    rows = (
        (evaluation, n, statuses[n], TEXT, "Write the report.", 7300, 90, 800, "host:0", 1, 161, AT)
        for n in range(samples)
    )
    insert(connection, "prediction", names, rows)
    read = ((evaluation, n, "text/1", statuses[n], json.dumps(TEXT)) for n in range(samples))
    insert(connection, "parsed", "evaluation_id, position, parser, status, content", read)


def _scores(
    connection: sqlite3.Connection,
    rng: random.Random,
    evaluation: int,
    family: Any,
    numbers: list[str],
    values: dict[str, float],
    samples: int,
) -> None:
    rows = ((evaluation, family.name, n, family.version, "ok", rng.choice(numbers)) for n in range(samples))
    insert(connection, "sample_score", "evaluation_id, family, position, version, status, numbers", rows)
    scores = []
    for name, value in values.items():
        metric, _slash, label = name.partition("/")
        known = value == value
        ends = (value, value - 0.03, value + 0.03) if known else (None, None, None)
        remark = None if known else "not defined"
        scores.append(
            (evaluation, metric, label, *ends, samples, samples // 5 + 1, 0.98, family.name, family.version, remark)
        )
    columns = "evaluation_id, metric, part, value, low, high, n, clusters, coverage, family, version, remark"
    insert(connection, "score", columns, scores)


# The views

VIEWS: dict[str, list[str]] = {
    "overview": [],
    "data": ["data"],
    "llm": ["llm"],
    "training": ["training"],
    "training --run": ["training", "--run", "130"],
    "eval": ["eval"],
    "eval --every --all-metrics": ["eval", "--every", "--all-metrics", "--format", "csv"],
    "eval --labels": ["eval", "--labels", "--task", "classification"],
    "eval --by sex": ["eval", "--by", "sex"],
    "eval --by age": ["eval", "--by", "age"],
    "eval --by view": ["eval", "--by", "view"],
    "compare": ["compare", "chexagent", "maira2"],
    "calibration": ["calibration"],
    "failures": ["failures"],
    "sql": ["sql", "SELECT model, test_set, metric, value FROM evaluation_result WHERE part = ''"],
    "page": ["--html", str(Path(tempfile.gettempdir()) / "radvlm-year.html")],
}


def show_times(path: Path) -> bool:
    """Print how long each view takes; return whether one takes too long."""
    print(f"{'view':30} {'first s':>8} {'best s':>8} {'CPU s':>6} {'limit':>6}  lines")
    slow = False
    for name, words in VIEWS.items():
        times, lines, before = [], 0, resource.getrusage(resource.RUSAGE_CHILDREN)
        for _ in range(3):
            began = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-m", "radvlm_cli", "report", *words, "--store", str(path)],
                capture_output=True,
                text=True,
                check=False,
            )
            times.append(time.perf_counter() - began)
            lines = len(done.stdout.splitlines())
            if done.returncode:
                print(done.stderr)
                return True
        after, limit = resource.getrusage(resource.RUSAGE_CHILDREN), LIMITS_S.get(name, LIMIT_S)
        cpu = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / len(times)
        late = min(times) > limit
        slow |= late
        figures = f"{times[0]:8.2f} {min(times):8.2f} {cpu:6.2f} {limit:6.1f}  {lines:,}"
        print(f"{name:30} {figures}{'  TOO SLOW' if late else ''}", flush=True)
    return slow


def show_plans(path: Path) -> None:
    """Print the plan of every statement of every view; `walks` are tables that are read from one end to the other."""
    from typer.testing import CliRunner

    from radvlm_cli.main import application

    print("\nQuery plans (each once):")
    seen: set[str] = set()
    runner = CliRunner()
    for name, words in VIEWS.items():
        statements = _statements(
            lambda words=words: runner.invoke(application(), ["report", *words, "--store", str(path)])
        )
        with open_snapshot(path) as store:
            for sql, step in [(each, step) for each in statements for step in _plan(store, each)]:
                if step not in seen:
                    seen.add(step)
                    mark = "walks " if step.startswith("SCAN") and "INDEX" not in step else "      "
                    print(f"  {mark}{name}: {step}   <- {' '.join(sql.split())[:90]}")


def _statements(act: Callable[[], object]) -> list[str]:
    """The statements that snapshots carry out meanwhile, with marks for parameters as SQLite fills them in."""
    found: list[str] = []
    rows = Snapshot.rows

    def noting(self: Snapshot, sql: str, parameters: Any = ()) -> Iterator[tuple[Any, ...]]:
        found.append(sql)
        return rows(self, sql, parameters)

    Snapshot.rows = noting  # type: ignore[method-assign]
    try:
        act()
    finally:
        Snapshot.rows = rows  # type: ignore[method-assign]
    return list(dict.fromkeys(found))


def _plan(store: Snapshot, sql: str) -> list[str]:
    marks = max(sql.count("?"), 0)
    for number in range(marks, -1, -1):
        try:
            return store.plan(sql, (1,) * number)
        except sqlite3.ProgrammingError:
            continue
    return []


if __name__ == "__main__":
    sys.exit(main())
