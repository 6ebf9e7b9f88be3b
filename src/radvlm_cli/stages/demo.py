"""demo: run the commands that a user would type over the phantom world, printing each."""

from __future__ import annotations

import shlex
import subprocess
import sys
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from radvlm_cli.errors import RadvlmError
from radvlm_cli.files import atomic_write
from radvlm_cli.program import how_to_get_models

_EXPECTED_FAILURES = 4
"""Exit code of a stage that finished with failed items: the phantom world holds damaged files on purpose."""
STEPS = "1200"
"""Of training: two minutes on two cores, after which reports read like reports and boxes are often in their places."""
SCRIPTED = "scripted"
"""A model that says the same to everyone: what the trained one is compared with."""
RECIPE = "short.yaml"
"""What the tiny model is trained on, beside this module's phantoms and copied to where the user sees it."""


def run_commands(keep: Path, world: Path) -> None:
    """Prepare everything, write the texts by rules, build the training and the evaluation sets."""
    where = ["--data-dir", str(world), "--store", str(keep / "radvlm.db")]
    _radvlm("prepare", "--source", "all", *where)
    _radvlm("curate", "--source", "all", "--provider", "rules", *where)
    _radvlm("converse", "--source", "all", "--provider", "rules", *where)
    _radvlm("build", "--recipe", "evaluation", "--output", str(keep / "datasets" / "test"), *where)
    _radvlm("build", "--recipe", "radvlm", "--output", str(keep / "datasets" / "train"), *where)


def train_tiny(keep: Path, world: Path) -> Path | None:
    """Train a tiny model from random weights for two minutes, and convert it; what is finished is left as it is.

    Returns the model's folder; None where torch and its like are not installed.
    """
    missing = [name for name in ("torch", "transformers", "accelerate") if find_spec(name) is None]
    if missing:
        print(f"\n(Training is left out, as {missing[0]} is not installed.)", file=sys.stderr)
        print(how_to_get_models(), file=sys.stderr, flush=True)
        return None
    datasets, store = keep / "datasets", keep / "radvlm.db"
    model, trained = keep / "models" / "tiny", keep / "models" / "trained"
    if trained.exists():
        return trained
    _build_short(keep, world)
    if not (model / "config.json").is_file():
        from radvlm_cli.demo.tiny_model import dataset_texts, write_tiny_model

        write_tiny_model(model, dataset_texts(datasets / "train" / "train.parquet"))
    where = ["--dataset", str(datasets / "short"), "--held-out", str(datasets / "test"), "--model", str(model)]
    resume = ["--resume"] if _last_training(store, "status IN ('interrupted', 'failed')") else []
    pace = ["--processes", "2", "--recipe", "tiny", "--max-steps", STEPS, "--output", str(keep / "runs")]
    _radvlm("train", "--gpus", "0", *pace, *where, "--store", str(store), *resume)
    run = _last_training(store, "status = 'done'")
    assert run is not None, "training ended well"
    _radvlm("convert", run, "--output", str(trained), "--store", str(store))
    return trained


def _build_short(keep: Path, world: Path) -> None:
    """Build the dataset of short answers by a recipe of the user's own, as it were."""
    recipe = keep / RECIPE
    with atomic_write(recipe) as stream:
        stream.write(files("radvlm_cli.demo").joinpath(RECIPE).read_text(encoding="utf-8"))
    where = ["--data-dir", str(world), "--store", str(keep / "radvlm.db")]
    _radvlm("build", "--recipe", str(recipe), "--output", str(keep / "datasets" / "short"), *where)


def evaluate_models(keep: Path, world: Path, trained: Path | None) -> None:
    """Have `scripted` and the trained model, where there is one, answer all test sets, and score both.

    The trained one comes last: reports hold the newest model against those before it.
    """
    where = ["--data-dir", str(world), "--store", str(keep / "radvlm.db")]
    models = [SCRIPTED] if trained is None else [SCRIPTED, f"radvlm:{trained}"]
    for model in models:
        _radvlm("eval", "--model", model, "--task", "all", "--gpus", "0", "--processes", "2", *where)


def write_page(keep: Path, world: Path) -> Path:
    """Write the report of everything as one HTML page; return its path."""
    page = keep / "report.html"
    _radvlm("report", "--html", str(page), "--data-dir", str(world), "--store", str(keep / "radvlm.db"))
    return page


def compare_models(keep: Path) -> list[dict[str, Any]]:
    """The main scores of the last evaluation of each model and test set, a column per model; those without any left
    out."""
    from radvlm_cli.metrics.registry import describe
    from radvlm_cli.store.engine import open_store

    sql = (
        "SELECT test_set, metric, model, value, low, high, n FROM evaluation_result "
        "WHERE part = '' AND value IS NOT NULL ORDER BY evaluation_id"
    )
    found: dict[tuple[str, str], dict[str, Any]] = {}
    with open_store(keep / "radvlm.db", create=False, allow_network=True) as store:
        for test_set, metric, model, value, low, high, n in store.rows(sql):
            shown = describe(metric)
            if shown.main:
                row = {"test set": test_set, "metric": shown.title, "n": n}
                column = SCRIPTED if model == SCRIPTED else "trained"
                interval = "" if low is None else f" [{low:.2f}, {high:.2f}]"
                found.setdefault((test_set, metric), row)[column] = f"{value:.2f}{interval}"
    return list(found.values())


def _last_training(store: Path, which: str) -> str | None:
    """The folder of the last training run, if that run is as wanted."""
    from radvlm_cli.store.engine import open_store

    sql = (
        "SELECT folder FROM training JOIN run ON run.id = training.run_id "
        f"WHERE run_id = (SELECT max(run_id) FROM training) AND {which}"
    )
    with open_store(store, create=False, allow_network=True) as opened:
        found = opened.value(sql)
    return None if found is None else str(found)


def compare_with_truth(keep: Path, manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """Records used per component beside the manifest's count."""
    from radvlm_cli.store.engine import open_store

    written = manifest["written"]
    training = manifest["components"] | written["components"]
    evaluation = manifest["evaluation"] | written["evaluation"]
    truth = {name: counts["after_leak_removal"] for name, counts in training.items()}
    truth |= {name: counts["records"] for name, counts in evaluation.items()}
    with open_store(keep / "radvlm.db", create=False, allow_network=True) as store:
        rows = store.rows(
            "SELECT dataset, name, pairs / repeat, pairs FROM dataset_component WHERE dataset IN ('train', 'test') "
            "ORDER BY dataset DESC"
        )
        return [
            {
                "dataset": dataset,
                "component": name,
                "built": used,
                "true": truth.get(name),
                "pairs": pairs,
            }
            for dataset, name, used, pairs in rows
        ]


def _radvlm(*arguments: str) -> None:
    print(f"\n$ {shlex.join(['radvlm', *arguments])}", flush=True)
    code = subprocess.run([sys.executable, "-m", "radvlm_cli", *arguments], check=False).returncode
    if code == _EXPECTED_FAILURES:
        print("(The phantoms hold a few damaged files on purpose.)", file=sys.stderr, flush=True)
    elif code != 0:
        raise RadvlmError(f"`radvlm {arguments[0]}` ended with exit code {code}.", "see its message above")
