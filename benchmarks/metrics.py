"""Every report metric that needs no weights, over as many reports as MIMIC-CXR's test set, with its bootstrap.

    tar xzf NLMCXR_reports.tgz
    python benchmarks/metrics.py ecgen-radiology

Without a folder the reports are those of phantoms. A prediction is the reference of another report, or the report's own
with words lost and swapped, half each; half of the reports share their patient with one other. One run is: counts per
sample, then 2,000 draws of patients. `--meteor` times METEOR too, which is Java, and `--ptb` says how often our tokens
are those of the Stanford tokenizer (pycocoevalcap's, Java).
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

from radvlm_cli.demo.findings import choose_findings
from radvlm_cli.demo.sentences import findings_text
from radvlm_cli.metrics.bleu import Bleu
from radvlm_cli.metrics.cider import CiderD
from radvlm_cli.metrics.family import Family, Table
from radvlm_cli.metrics.meteor import Meteor
from radvlm_cli.metrics.rouge import Rouge
from radvlm_cli.metrics.words import words

REPORTS, DRAWS = 3_314, 2_000
WEIGHT_FREE: tuple[Family, ...] = (Bleu(), Bleu("raw"), Rouge(), CiderD(), CiderD("raw"))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="folder of the Open-i XML files")
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--meteor", action="store_true", help="time METEOR, once")
    parser.add_argument("--ptb", action="store_true", help="compare tokens with the Stanford tokenizer's")
    told = parser.parse_args()
    rng = random.Random(0)
    references = read_reports(told.folder) if told.folder else phantom_reports(REPORTS)
    references = references[:REPORTS]
    predictions = [predict(number, references, rng) for number in range(len(references))]
    patients = np.array([number // 2 if number % 8 < 4 else number for number in range(len(references))])
    lengths = [len(words(text)) for text in references]
    print(f"{len(references):,} reports, {statistics.mean(lengths):.1f} words each, {DRAWS:,} draws of patients")
    totals = [run(WEIGHT_FREE, predictions, references, patients, shown=n == 0) for n in range(told.repeat)]
    print(f"all: median {statistics.median(totals):.2f} s, {min(totals):.2f} to {max(totals):.2f} s of {told.repeat}")
    if told.meteor:
        print(f"METEOR: {run((Meteor(),), predictions, references, patients, shown=True):.1f} s")
    if told.ptb:
        compare_tokens(references)


def run(
    families: Sequence[Family],
    predictions: Sequence[str],
    references: Sequence[str],
    patients: np.ndarray,
    *,
    shown: bool,
) -> float:
    """Score with intervals; wall seconds."""
    begin = time.perf_counter()
    for family in families:
        start = time.perf_counter()
        table = family.per_sample(predictions, references)
        counted = time.perf_counter()
        drawn = draw(family, table, patients)
        if shown:
            point = family.values(table.sum(0))
            print(f"{family.name}: {counted - start:.2f} s, draws {time.perf_counter() - counted:.2f} s")
            for name, value in point.items():
                low, high = np.percentile(drawn[name], [2.5, 97.5])
                print(f"    {name:12} {value:.4f} [{low:.4f}, {high:.4f}]")
    return time.perf_counter() - begin


def draw(family: Family, table: Table, patients: np.ndarray) -> dict[str, Table]:
    """Values of draws of patients with replacement."""
    _, cluster = np.unique(patients, return_inverse=True)
    sums = np.zeros((cluster.max() + 1, table.shape[1]))
    np.add.at(sums, cluster, table)
    chosen = np.random.default_rng(0).multinomial(len(sums), np.full(len(sums), 1 / len(sums)), DRAWS)
    return family.values(chosen @ sums)


def read_reports(folder: Path) -> list[str]:
    """Findings, else impression, of each Open-i report that has one."""
    found = []
    for path in sorted(folder.glob("*.xml"), key=lambda path: int(path.stem)):
        sections = {
            str(node.get("Label")): (node.text or "").strip() for node in ElementTree.parse(path).iter("AbstractText")
        }
        found.append(sections.get("FINDINGS") or sections.get("IMPRESSION") or "")
    return [text for text in found if text]


def phantom_reports(number: int) -> list[str]:
    """Findings of phantoms."""
    return [findings_text(choose_findings(np.random.default_rng(seed))) for seed in range(number)]


def predict(number: int, references: Sequence[str], rng: random.Random) -> str:
    """What a model might say."""
    if number % 2:
        return rng.choice(references)
    own, other = references[number].split(), rng.choice(references).split()
    return " ".join(rng.choice(other) if rng.random() < 0.3 else word for word in own if rng.random() < 0.9)


def compare_tokens(texts: Sequence[str]) -> None:
    """How often our tokens are the Stanford tokenizer's, by report and by token."""
    stanford = PTBTokenizer().tokenize({n: [{"caption": text}] for n, text in enumerate(texts)})
    pairs = [(words(text), stanford[n][0].split()) for n, text in enumerate(texts)]
    same = sum(ours == theirs for ours, theirs in pairs)
    shared = sum(len(ours) == len(theirs) for ours, theirs in pairs)
    print(f"reports with the same tokens as PTB: {same / len(pairs):.1%}; with as many: {shared / len(pairs):.1%}")


if __name__ == "__main__":
    main()
