"""Does a tiny model learn to ground and to classify, from random weights, on the phantom world and two CPU cores?

    python benchmarks/learning.py FOLDER [--patients 300] [--seed 0] [--ask 400] [OPTIONS OF radvlm train]

Makes the phantoms, prepares them and builds two datasets (learning.yaml, learning_test.yaml) with the commands that a
user types, writes a tiny random model, trains it with `radvlm train --recipe tiny`, and asks both models, greedily,
about patients who are not in training. Beside them stands what knows only the training set's answers: the mean box of
the label, and the most frequent findings. What is there already is not made again.

Grounding is scored per question: AP at an IoU of 0.5 as the published code has it (boxes in the order of the text, no
score), the mean IoU of each true box with the best box said, and the share of true boxes with an IoU of at least 0.5.
Intervals: 95%, bootstrap over patients.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pyarrow import parquet

sys.path.insert(0, str(Path(__file__).parent.parent))

from radvlm_cli.demo.findings import KINDS
from radvlm_cli.demo.tiny_model import dataset_texts, write_tiny_model
from radvlm_cli.instructions.names import within_sentence
from radvlm_cli.labels import ABNORMALITIES

HERE = Path(__file__).parent
Box = tuple[float, ...]
BOX = re.compile(r"\[(\d?\.\d+|\d), (\d?\.\d+|\d), (\d?\.\d+|\d), (\d?\.\d+|\d)\]")
QUOTED = re.compile(r'"([^"]+)"')
FINDINGS = [within_sentence(name) for name in ABNORMALITIES]
LABELS = sorted({within_sentence(kind.vindr) for kind in KINDS.values() if kind.vindr}, key=len, reverse=True)
GROUNDING, PHRASES, CLASSES = "abnormality-grounding", "phrase-grounding", "classification"
DRAWS = 2000


class Question(NamedTuple):
    """One row of a dataset, with its answer understood."""

    row: int
    task: str
    patient: str
    label: str
    """What is to be located: an abnormality or a phrase; empty for other tasks."""
    boxes: list[Box]
    findings: frozenset[str]


def read_boxes(text: str) -> list[Box]:
    """The boxes that a text holds, without those that have no area."""
    found = [tuple(map(float, match)) for match in BOX.findall(text)]
    return [box for box in found if box[0] < box[2] and box[1] < box[3]]


def read_findings(text: str) -> frozenset[str]:
    """The findings that a text names."""
    words = text.lower()
    return frozenset(name for name in FINDINGS if name.lower() in words)


def questions(table: Path) -> Iterator[Question]:
    """All rows of a built dataset."""
    columns = ["task", "patient_id", "image_id", "conversations"]
    for number, row in enumerate(parquet.read_table(table, columns=columns).to_pylist()):
        asked, answer = (turn["value"] for turn in row["conversations"][:2])
        label = next((name for name in LABELS if name in asked), "") if row["task"] == GROUNDING else ""
        label = label or next(iter(QUOTED.findall(asked)), "")
        patient = row["patient_id"] or row["image_id"]
        yield Question(number, row["task"], patient, label, read_boxes(answer), read_findings(answer))


# --- scores


def iou(one: Box, other: Box) -> float:
    """Intersection over union."""
    wide, high = min(one[2], other[2]) - max(one[0], other[0]), min(one[3], other[3]) - max(one[1], other[1])
    if wide <= 0 or high <= 0:
        return 0.0
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return wide * high / (areas - wide * high)


def average_precision(said: Sequence[Box], true: Sequence[Box], least: float = 0.5) -> float:
    """Of one question, boxes in the order in which they are said; each true box is found once; 0 where none is said."""
    left, precisions, hits = set(range(len(true))), [], []
    for place, box in enumerate(said, 1):
        best = max(range(len(true)), key=lambda number: iou(box, true[number]))
        hits.append(best in left and iou(box, true[best]) >= least)
        left -= {best} if hits[-1] else set()
        precisions.append(sum(hits) / place)
    envelope = np.maximum.accumulate(np.array(precisions)[::-1])[::-1] if precisions else np.array([])
    return float(envelope[np.array(hits, bool)].sum() / len(true))


def grounding_scores(pairs: Sequence[tuple[list[Box], list[Box]]]) -> dict[str, float]:
    """Of (said, true) boxes per question."""
    best = [max((iou(box, one) for one in said), default=0.0) for said, true in pairs for box in true]
    return {
        "mAP@0.5": float(np.mean([average_precision(said, true) for said, true in pairs])),
        "mean IoU": float(np.mean(best)),
        "found@0.5": float(np.mean([each >= 0.5 for each in best])),
    }


def class_scores(pairs: Sequence[tuple[frozenset[str], frozenset[str]]]) -> dict[str, float]:
    """Micro F1, and macro F1 over the findings that occur; of (said, true) findings per question."""
    said = np.array([[name in each for name in FINDINGS] for each, _ in pairs])
    true = np.array([[name in each for name in FINDINGS] for _, each in pairs])
    both, added = (said & true).sum(0), said.sum(0) + true.sum(0)
    occurs = true.any(0)
    return {
        "micro F1": float(2 * both.sum() / max(1, added.sum())),
        "macro F1": float(np.mean(2 * both[occurs] / added[occurs])) if occurs.any() else 0.0,
    }


def with_intervals(
    score: Callable[[Any], dict[str, float]], pairs: Sequence[Any], patients: Sequence[str], draws: int = DRAWS
) -> dict[str, tuple[float, float, float]]:
    """Each score with the bounds of its interval."""
    of_patient: dict[str, list[int]] = {}
    for number, patient in enumerate(patients):
        of_patient.setdefault(patient, []).append(number)
    groups, random = list(of_patient.values()), np.random.default_rng(0)
    drawn: dict[str, list[float]] = {}
    for _ in range(draws):
        rows = [row for group in random.integers(len(groups), size=len(groups)) for row in groups[group]]
        for name, value in score([pairs[row] for row in rows]).items():
            drawn.setdefault(name, []).append(value)
    return {
        name: (value, *(float(bound) for bound in np.quantile(drawn[name], (0.025, 0.975))))
        for name, value in score(pairs).items()
    }


# --- answers


def answer(model_folder: Path, table: Path, rows: Sequence[int], *, batch: int = 32, longest: int = 120) -> list[str]:
    """What a model says to the first question of each row, chosen greedily."""
    import torch
    from tokenizers import Tokenizer
    from transformers import LlavaOnevisionForConditionalGeneration

    from finetuning.anyres import Anyres, normalise
    from finetuning.chat import Chat
    from finetuning.collate import Collate
    from finetuning.samples import Sample, Samples
    from finetuning.table import open_table

    tokenizer = Tokenizer.from_file(str(model_folder / "tokenizer.json"))
    chat, anyres = Chat(tokenizer), Anyres.of_folder(model_folder)
    samples = Samples(open_table(table, table.parent / "cache"), chat, anyres, max_length=4096)
    model = LlavaOnevisionForConditionalGeneration.from_pretrained(model_folder, local_files_only=True).eval()
    end, collate, said = tokenizer.token_to_id("<|im_end|>"), Collate(chat, anyres), []
    for start in range(0, len(rows), batch):
        loaded = [samples[row] for row in rows[start : start + batch]]
        part = [sample for sample in loaded if isinstance(sample, Sample)]
        assert len(part) == len(loaded), "every picture can be read"
        prompts = [sample.ids[: int(np.argmax(sample.labels >= 0))] for sample in part]
        width = max(map(len, prompts))
        # Padded on the left: what is said begins where all prompts end.
        ids = np.stack([np.pad(prompt, (width - len(prompt), 0), constant_values=end) for prompt in prompts])
        mask = np.stack([np.arange(width) >= width - len(prompt) for prompt in prompts])
        tensors = collate(part)
        with torch.no_grad():
            output = model.generate(
                input_ids=torch.from_numpy(ids.astype(np.int64)),
                attention_mask=torch.from_numpy(mask.astype(np.int64)),
                pixel_values=normalise(tensors["pixels"], torch.float32),
                image_sizes=tensors["image_sizes"].tolist(),
                max_new_tokens=longest,
                do_sample=False,
                eos_token_id=end,
                pad_token_id=end,
            )
        said += [tokenizer.decode(each[width:].tolist()) for each in output]
    return said


# --- the run


def command(*words: object, failed_items: bool = False) -> None:
    """Run `radvlm ...` and say what it took; `failed_items`: some may fail, as the phantoms hold damaged files."""
    begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    line = [str(word) for word in words]
    print(f"$ radvlm {' '.join(line)}", file=sys.stderr, flush=True)
    code = subprocess.run([sys.executable, "-m", "radvlm_cli", *line], stdout=sys.stderr, check=False).returncode
    if code not in ((0, 4) if failed_items else (0,)):
        raise SystemExit(f"radvlm {line[0]} ended with {code}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"radvlm {line[0]}: {cpu:.0f} CPU s, {time.perf_counter() - begun:.0f} s", flush=True)


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


def mean_boxes(train: Sequence[Question]) -> dict[str, list[Box]]:
    """What is said of a label without looking: the mean of its boxes in training."""
    boxes: dict[str, list[Box]] = {}
    for question in train:
        boxes.setdefault(question.label, []).extend(question.boxes)
    return {label: [tuple(np.mean(found, 0))] for label, found in boxes.items()}


def usual_findings(train: Sequence[Question]) -> frozenset[str]:
    """What is said of findings without looking: the most frequent ones, as many as give the best micro F1."""
    true = [question.findings for question in train]
    ordered = sorted(FINDINGS, key=lambda name: -sum(name in findings for findings in true))
    sets = [frozenset(ordered[:count]) for count in range(1, len(ordered))]
    return max(sets, key=lambda said: class_scores([(said, each) for each in true])["micro F1"])


def compare(models: dict[str, Path], train: Path, test: Path, most: int) -> None:
    """Print the scores of the models and of what does not look at the picture, on at most `most` questions a task."""
    known = list(questions(train))
    for task in (GROUNDING, PHRASES, CLASSES):
        asked = [question for question in questions(test) if question.task == task][:most]
        same = [question for question in known if question.task == task]
        texts = {name: answer(path, test, [each.row for each in asked]) for name, path in models.items()}
        if task == CLASSES:
            usual = usual_findings(same)
            said: dict[str, list[Any]] = {"most frequent": [usual for _ in asked]}
            said |= {name: [read_findings(text) for text in each] for name, each in texts.items()}
            true: list[Any] = [each.findings for each in asked]
            score: Callable[[Any], dict[str, float]] = class_scores
        else:
            means = mean_boxes(same)
            said = {"mean box": [means.get(each.label, []) for each in asked]}
            said |= {name: [read_boxes(text) for text in each] for name, each in texts.items()}
            true, score = [each.boxes for each in asked], grounding_scores
        patients = [each.patient for each in asked]
        print(f"{task}: {len(asked)} questions about {len(set(patients))} patients or images")
        for name, each in said.items():
            scores = with_intervals(score, list(zip(each, true, strict=True)), patients)
            line = ", ".join(f"{key} {v:.3f} ({low:.3f} to {high:.3f})" for key, (v, low, high) in scores.items())
            print(f"  {name:14} {line}", flush=True)


def main() -> None:
    """Make what is missing, train, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--patients", type=int, default=300)
    parser.add_argument("--ask", type=int, default=400, help="questions of a task at most")
    parser.add_argument("--seed", type=int, default=0, help="of the model's weights and the order of training")
    given, extra = parser.parse_known_args()
    folder = given.folder.absolute()
    train, test = make_datasets(folder, given.patients)
    model = folder / f"model-{given.seed}"
    if not model.exists():
        write_tiny_model(model, dataset_texts(train), seed=given.seed)
    run = train_model(folder / f"runs-{given.seed}", model, train, test, ["--seed", given.seed, *extra])
    print_curve(run)
    compare({"untrained": model, "trained": run / "final"}, train, test, given.ask)


if __name__ == "__main__":
    main()
