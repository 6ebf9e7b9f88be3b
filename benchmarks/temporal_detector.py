"""Score the detector of comparison language on labelled sentences of real reports, and what its rewriting leaves.

    tar xzf NLMCXR_reports.tgz
    python benchmarks/temporal_detector.py ecgen-radiology

The labels (tests/data/temporal_labels.csv) hold no text: a sentence is found by report, section and place, and known by
its hash. 1: the sentence refers to another study or to a change over time; 0: it doesn't. They were given by reading,
by one reader, before the patterns were written; patterns were tuned on the half `tune` only. Half of the sentences are
drawn from all distinct ones (`random`), half from those with a word that may be comparison language (`trigger`).
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Iterable
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from radvlm_cli.language.rewrite import without_comparisons
from radvlm_cli.language.sentences import split_sentences
from radvlm_cli.language.temporal import comparisons

LABELS = Path(__file__).parent.parent / "tests" / "data" / "temporal_labels.csv"


class Counts(NamedTuple):
    """Sentences by label and by what the detector says."""

    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int


def main() -> None:
    """Print the figures for one folder of Open-i reports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of the Open-i XML files")
    parser.add_argument("--errors", choices=["tune"], help="also print the sentences of a half that are judged wrongly")
    arguments = parser.parse_args()
    sections = read_sections(arguments.folder)
    labels = read_labels(sections)
    for half, stratum in product(("tune", "held_back"), ("random", "trigger", "")):
        rows = [row for row in labels if row["half"] == half and stratum in ("", row["stratum"])]
        print(f"{half:9} {stratum or 'both':8} {figures(count(rows))}")
    for row in labels:
        if row["half"] == arguments.errors and bool(comparisons(row["text"])) != (row["label"] == "1"):
            print(f"  label {row['label']}: {row['text']}")
    print_reports(sections)


def read_sections(folder: Path) -> dict[tuple[str, str], str]:
    """Read findings and impression of each report, by report and section."""
    found = {}
    for path in sorted(folder.glob("*.xml"), key=lambda path: int(path.stem)):
        for part in ElementTree.parse(path).iter("AbstractText"):
            text = " ".join("".join(part.itertext()).split())
            if text and part.get("Label") in ("FINDINGS", "IMPRESSION"):
                found[f"CXR{path.stem}", part.get("Label", "").lower()] = text
    return found


def read_labels(sections: dict[tuple[str, str], str]) -> list[dict[str, str]]:
    """Join the labels with their sentences; stops where a sentence is not the one that was labelled."""
    rows = []
    for row in csv.DictReader(LABELS.read_text(encoding="utf-8").splitlines()):
        text = split_sentences(sections[row["report"], row["section"]])[int(row["sentence"]) - 1]
        if sha256(text.encode()).hexdigest()[:12] != row["sha256_12"]:
            raise SystemExit(
                f"{row['report']} {row['section']} {row['sentence']} is not the sentence that was labelled."
            )
        rows.append({**row, "text": text})
    return rows


def count(rows: Iterable[dict[str, str]]) -> Counts:
    """Compare the detector with the labels."""
    pairs = [(row["label"] == "1", bool(comparisons(row["text"]))) for row in rows]
    return Counts(*(pairs.count(pair) for pair in [(True, True), (False, True), (True, False), (False, False)]))


def figures(counts: Counts) -> str:
    """Write precision, recall and F1 (roughly, as 2TP of 2TP + FP + FN) with Wilson 95% intervals, and the counts."""
    tp, fp, fn, tn = counts
    shares = {"precision": (tp, tp + fp), "recall": (tp, tp + fn), "F1": (2 * tp, 2 * tp + fp + fn)}
    said = [
        f"{name} {k / n:.3f} [{low:.3f}, {high:.3f}]" for name, (k, n) in shares.items() for low, high in [wilson(k, n)]
    ]
    return f"n {sum(counts):3}  {'  '.join(said)}  TP {tp} FP {fp} FN {fn} TN {tn}"


def wilson(k: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Compute the Wilson score interval of k in n."""
    centre, half = k / n + z * z / (2 * n), z * ((k / n) * (1 - k / n) / n + z * z / (4 * n * n)) ** 0.5
    return (centre - half) / (1 + z * z / n), (centre + half) / (1 + z * z / n)


def print_reports(sections: dict[tuple[str, str], str]) -> None:
    """Print the time per report, and how many reports the rewriting changes or leaves empty."""
    reports: dict[str, str] = {}
    for (report, _), text in sections.items():
        reports[report] = f"{reports.get(report, '')} {text}".strip()
    words = sum(len(text.split()) for text in reports.values()) / len(reports)
    for name, function in [("comparisons", comparisons), ("without_comparisons", without_comparisons)]:
        start = time.process_time()
        results = [function(text) for text in reports.values()]
        microseconds = (time.process_time() - start) / len(reports) * 1e6
        print(f"{name}: {microseconds:.0f} us a report ({words:.0f} words on average)")
    changed = sum(bool(comparisons(text)) for text in reports.values())
    left = sum(bool(comparisons(str(text))) for text in results)
    print(
        f"{len(reports)} reports with text: {changed} changed, {results.count('')} left empty, {left} still comparing"
    )


if __name__ == "__main__":
    main()
