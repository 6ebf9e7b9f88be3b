"""Score the reader of classification answers on labelled answers, beside the published matching of substrings.

    python benchmarks/label_parser.py

The answers (tests/data/label_answers.csv) were written and labelled by one person, before the reader was; it was tuned
on the half `tune` only. The half is given by the hash of the text. `others` among the absent labels stands for all
labels that the answer does not name otherwise.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np

from radvlm_cli.labels import ABNORMALITIES
from radvlm_cli.language.findings import Polarity
from radvlm_cli.language.label_answers import read_labels, substring_labels
from radvlm_cli.metrics.family import Table
from radvlm_cli.metrics.ratios import ratio
from radvlm_cli.metrics.statistics import bootstrap, clusters

ANSWERS = Path(__file__).parent.parent / "tests" / "data" / "label_answers.csv"
POLARITIES: tuple[Polarity, ...] = ("present", "uncertain", "absent")


class Labelled(NamedTuple):
    """An answer with what its reader says that it says."""

    style: str
    status: str
    labels: dict[str, Polarity]
    text: str

    @property
    def half(self) -> str:
        """`tune` or `held_back`."""
        return "held_back" if int(sha256(self.text.encode()).hexdigest(), 16) % 2 else "tune"


def read_answers() -> list[Labelled]:
    """Read the labelled answers."""
    with ANSWERS.open(encoding="utf-8", newline="") as file:
        return [_labelled(row) for row in csv.DictReader(file)]


def _labelled(row: dict[str, str]) -> Labelled:
    labels: dict[str, Polarity] = {}
    for polarity in POLARITIES:
        names = [name.strip() for name in row[polarity].split(";") if name.strip()]
        labels |= dict.fromkeys((name for name in names if name != "others"), polarity)
        if "others" in names:
            labels |= dict.fromkeys((name for name in ABNORMALITIES if name not in labels), polarity)
    if unknown := labels.keys() - set(ABNORMALITIES):
        raise SystemExit(f"{row['text']!r} is labelled with {unknown}")
    return Labelled(row["style"], row["status"], labels, row["text"])


def counts(answers: Iterable[Labelled], said: Iterable[dict[str, Polarity]], statuses: Iterable[str]) -> Table:
    """Per answer: tp, fp, fn of each polarity; present labels right; all right (not asked of `absent`); status; 1."""
    rows = []
    for answer, labels, status in zip(answers, said, statuses, strict=True):
        row: list[float] = []
        for polarity in POLARITIES:
            true = {name for name, p in answer.labels.items() if p == polarity}
            found = {name for name, p in labels.items() if p == polarity}
            row += [len(true & found), len(found - true), len(true - found)]
        positive = [{name for name, p in of.items() if p != "absent"} for of in (answer.labels, labels)]
        exact = not any(row[i] for i in (1, 2, 4, 5))
        rows.append([*row, positive[0] == positive[1], exact, status == answer.status, 1])
    return np.array(rows, dtype=np.float64)


def values(sums: Table) -> dict[str, Table]:
    """Precision, recall, F1 by polarity; shares of answers that are read rightly."""
    found = {}
    for place, polarity in enumerate(POLARITIES):
        tp, fp, fn = (sums[..., 3 * place + i] for i in range(3))
        found |= {f"{polarity} precision": ratio(tp, tp + fp), f"{polarity} recall": ratio(tp, tp + fn)}
        found[f"{polarity} F1"] = ratio(2 * tp, 2 * tp + fp + fn)
    for name, column in (("positive set exact", -4), ("exact", -3), ("status", -2)):
        found[name] = ratio(sums[..., column], sums[..., -1])
    return found


def main() -> None:
    """Print the figures of both halves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--errors", choices=["tune"], help="also print the answers of a half that are read wrongly")
    arguments = parser.parse_args()
    answers = read_answers()
    for half in ("tune", "held_back"):
        chosen = [answer for answer in answers if answer.half == half]
        start = time.perf_counter()
        read = [read_labels(answer.text) for answer in chosen]
        seconds = time.perf_counter() - start
        print(f"\n{half}: {len(chosen)} answers, {seconds / len(chosen) * 1e6:.0f} us each")
        ours = counts(chosen, [dict(r.labels) for r in read], [r.status for r in read])
        matched: list[dict[str, Polarity]] = [dict.fromkeys(substring_labels(a.text), "present") for a in chosen]
        theirs = counts(chosen, matched, ["ok"] * len(chosen))
        print_table({"ours": ours, "substring": theirs})
    if arguments.errors:
        print_errors([answer for answer in answers if answer.half == arguments.errors])


def print_table(tables: dict[str, Table]) -> None:
    """Print each value with its 95% bootstrap interval over answers."""
    of = clusters([str(i) for i in range(len(next(iter(tables.values()))))])
    intervals = {name: bootstrap(table, of, values) for name, table in tables.items()}
    print(f"{'':22}" + "".join(f"{name:24}" for name in tables))
    for metric in next(iter(intervals.values())):
        cells = (f"{i[metric].value:.3f} [{i[metric].low:.3f}, {i[metric].high:.3f}]" for i in intervals.values())
        print(f"{metric:22}" + "".join(f"{cell:24}" for cell in cells))


def print_errors(answers: Sequence[Labelled]) -> None:
    """Print what is read wrongly."""
    for answer in answers:
        read = read_labels(answer.text)
        wrong = {
            name: (answer.labels.get(name), read.labels.get(name))
            for name in ABNORMALITIES
            if answer.labels.get(name) != read.labels.get(name)
        }
        if wrong or read.status != answer.status:
            few = dict(list(wrong.items())[:5])
            print(f"\n[{answer.style}] {answer.status} -> {read.status} ({read.form}) {answer.text!r}\n    {few}")


if __name__ == "__main__":
    main()
