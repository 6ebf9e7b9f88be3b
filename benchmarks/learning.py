"""Does a tiny model learn to ground and to classify, from random weights, on the phantom world and two CPU cores?

    python benchmarks/learning.py FOLDER [--patients 300] [--seed 0] [--ask 400] [OPTIONS OF radvlm train]

Makes the phantoms, prepares them and builds two datasets (learning.yaml, learning_test.yaml) with the commands that a
user types, writes a tiny random model, trains it with `radvlm train --recipe tiny`, and has `radvlm eval` ask both
models about patients who are not in training. Beside them stands what knows only the training set's answers: the mean
box of the label or phrase, and the most frequent findings, said by a scripted model. What is there already is not made
again.

Intervals: 95%, bootstrap over patients.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from radvlm_cli.adapters.boxes import codec
from radvlm_cli.config import load_settings
from radvlm_cli.demo.tiny_model import dataset_texts, write_tiny_model
from radvlm_cli.labels import ABNORMALITIES
from radvlm_cli.metrics.labels import LabelScores
from radvlm_cli.records import Box
from radvlm_cli.stages.evaluation.test_sets import Frozen, collect, components_of, find_dataset
from radvlm_cli.store.engine import open_store

HERE = Path(__file__).parent
METRICS = ("radvlm_map50", "f1_50", "matched_iou", "micro_f1", "macro_f1")
LONGEST = 120
"""Tokens of an answer: what is untrained never ends one."""


# --- what does not look at the picture


def blind_answers(folder: Path) -> dict[str, list[str]]:
    """Sample -> what is said to it by who knows the training set by heart and does not look."""
    known, asked = samples(folder, "train"), samples(folder, "test")
    boxes, findings = mean_boxes(known), json.dumps(usual_findings(known))
    say = codec("radvlm").write
    return {
        sample.sample_id: [
            findings if each.task == "classification" else say(boxes.get(sample.subject, []), (1, 1), None)
        ]
        for each in asked
        for sample in each.samples
    }


def samples(folder: Path, dataset: str) -> list[Frozen]:
    """The samples of a built dataset, a test set per component."""
    where = load_settings(data_dir=folder / "data", store=folder / "radvlm.db")
    with open_store(where.store, create=False) as store:
        built = find_dataset(store, str(folder / "datasets" / dataset))
        places = {"data_dir": where.data(), "derived_dir": where.derived()}
        return [collect(store, built, position, each, **places) for position, each in components_of(built)]


def mean_boxes(known: Sequence[Frozen]) -> dict[str | None, list[Box]]:
    """Label or phrase -> the mean of its boxes in training."""
    boxes: dict[str | None, list[Box]] = {}
    for each in known:
        for sample in each.samples:
            boxes.setdefault(sample.subject, []).extend(sample.reference.get("boxes", ()))
    return {subject: [Box(*np.mean(found, 0).tolist())] for subject, found in boxes.items() if found}


def usual_findings(known: Sequence[Frozen]) -> list[str]:
    """The findings that are most frequent in training, as many of them as give the best micro F1."""
    true = [sample.reference["positive"] for each in known if each.task == "classification" for sample in each.samples]
    ordered = sorted(ABNORMALITIES, key=lambda name: -sum(name in findings for findings in true))
    scores = LabelScores()
    sets = [ordered[:count] for count in range(1, len(ordered))]
    return max(sets, key=lambda said: scores.values(scores.per_sample([said] * len(true), true).sum(0))["micro_f1"])


# --- the run


def command(*words: object, failed_items: bool = False) -> str:
    """Run `radvlm ...`, say what it took and return what it printed; `failed_items`: some may fail, as the phantoms
    hold damaged files."""
    begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    line = [str(word) for word in words]
    print(f"$ radvlm {' '.join(line)}", file=sys.stderr, flush=True)
    done = subprocess.run([sys.executable, "-m", "radvlm_cli", *line], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode not in ((0, 4) if failed_items else (0,)):
        raise SystemExit(f"radvlm {line[0]} ended with {done.returncode}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"radvlm {line[0]}: {cpu:.0f} CPU s, {time.perf_counter() - begun:.0f} s", flush=True)
    return done.stdout


def make_datasets(folder: Path, patients: int) -> tuple[Path, Path]:
    """The Parquet files for training and for asking."""
    train, test = folder / "datasets" / "train" / "train.parquet", folder / "datasets" / "test" / "test.parquet"
    if not train.exists():
        where = ["--data-dir", folder / "data", "--store", folder / "radvlm.db"]
        command("demo", "--data-only", folder / "data", "--patients", patients)
        for source in ("mimic", "chexpert", "vindr", "mscxr"):
            command("prepare", "--source", source, *where, failed_items=True)
        for recipe, table in ((HERE / "learning_test.yaml", test), (HERE / "learning.yaml", train)):
            against = ["--evaluation", HERE / "learning_test.yaml"]
            command("build", "--recipe", recipe, *against, "--output", table.parent, *where)
    return train, test


def train_model(runs: Path, model: Path, train: Path, test: Path, extra: Sequence[object]) -> Path:
    """Train with the recipe `tiny`, on two processes, unless that is done; return the folder of the run in `runs`."""
    if not list(runs.glob("*/final")):
        where = ["--dataset", train, "--held-out", test, "--model", model, "--output", runs]
        where += ["--store", runs.parent / "radvlm.db"]
        command("train", "--gpus", 0, "--processes", 2, "--recipe", "tiny", *where, *extra)
    (final,) = runs.glob("*/final")
    return final.parent


def print_curve(run: Path, points: int = 8) -> None:
    """Training loss (mean between two points) and the losses on held-out questions, over the run."""
    events = [json.loads(line) for line in (run / "rank0.spool.jsonl").read_text(encoding="utf-8").splitlines()]
    losses = {event["step"]: event["loss"] for event in events if event["kind"] == "step"}
    watched = [event for event in events if event["kind"] == "evaluation"]
    before = 0
    for event in watched[:: max(1, len(watched) // points)]:
        mean = np.mean([loss for step, loss in losses.items() if before < step <= event["step"]])
        held_out = ", ".join(f"{task} {value['loss']:.3f}" for task, value in event["losses"].items())
        print(f"step {event['step']:5}: training {mean:.3f}; held out: {held_out}")
        before = event["step"]


def compare(folder: Path, models: dict[str, str], most: int) -> None:
    """Print the scores of the models, name -> as `radvlm eval` calls it, on at most `most` questions of a test set."""
    where = ["--data-dir", folder / "data", "--store", folder / "radvlm.db", "--dataset", folder / "datasets" / "test"]
    how = ["--gpus", 0, "--processes", 2, "--limit", most, "--max-new-tokens", LONGEST, "--json"]
    found: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for name, model in models.items():
        for score in json.loads(command("eval", "--model", model, *how, *where))["scores"]:
            if score["part"] == "" and score["metric"] in METRICS:
                found.setdefault((score["test set"], score["metric"]), {})[name] = score
    for (test_set, metric), scores in found.items():
        (first, *_rest) = scores.values()
        print(f"{test_set}, {metric}, n = {first['n']}, {first['clusters']} patients")
        for name, score in scores.items():
            print(f"  {name:10} {score['value']:.3f} ({score['low']:.3f} to {score['high']:.3f})", flush=True)


def main() -> None:
    """Make what is missing, train, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--patients", type=int, default=300)
    parser.add_argument("--ask", type=int, default=400, help="questions of a test set at most")
    parser.add_argument("--seed", type=int, default=0, help="of the model's weights and the order of training")
    given, extra = parser.parse_known_args()
    folder = given.folder.absolute()
    train, test = make_datasets(folder, given.patients)
    model = folder / f"model-{given.seed}"
    if not model.exists():
        write_tiny_model(model, dataset_texts(train), seed=given.seed)
    run = train_model(folder / f"runs-{given.seed}", model, train, test, ["--seed", given.seed, *extra])
    print_curve(run)
    blind = folder / "blind.json"
    blind.write_text(json.dumps({"answers": blind_answers(folder)}), encoding="utf-8")
    models = {"blind": f"scripted:{blind}", "untrained": f"radvlm:{model}", "trained": f"radvlm:{run / 'final'}"}
    compare(folder, models, given.ask)


if __name__ == "__main__":
    main()
