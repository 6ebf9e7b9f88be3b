"""Does report_faults pass what a report says, find what it doesn't say, and how long does it take?

    python benchmarks/entity_check.py ecgen-radiology

Takes the findings and impressions of the Open-i reports (one XML file each) in a folder. Copies and random subsets of
a report's own sentences must pass; one planted fault must be found. Planted at random, the same each time:

- another report's sentence with a concept that this report doesn't name;
- left for right or right for left, everywhere in one sentence;
- one number before a unit changed;
- one `no` or `without` taken out.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import re
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from radvlm_cli.language.findings import findings
from radvlm_cli.language.report_checks import has_content, report_faults, unsupported
from radvlm_cli.language.rewrite import without_comparisons
from radvlm_cli.language.sentences import split_sentences

_SUBSETS = 5
_TRUE_OF_SUBSETS = ("comparison language is left", "a finding of the source is lost")
_SIDE = re.compile(r"\b(left|right)\b", re.IGNORECASE)
_NUMBER = re.compile(r"\d+(?:\.\d+)?(?=\s*-?\s*(?:mm|cm)\b)", re.IGNORECASE)
_NEGATION = re.compile(r"\b(?:no|without)\s+", re.IGNORECASE)

Plant = Callable[[str], str | None]


def read_reports(folder: Path) -> list[str]:
    """Findings and impression of each report that has any."""
    reports = []
    for path in sorted(folder.glob("*.xml")):
        sections = ElementTree.parse(path).iter("AbstractText")
        texts = [part.text for part in sections if part.get("Label") in ("FINDINGS", "IMPRESSION") and part.text]
        reports.append("\n\n".join(texts))
    return [report for report in reports if report]


def count_false_alarms(reports: list[str]) -> tuple[int, Counter[str]]:
    """Texts tried, and the faults found in copies and subsets; comparisons are theirs, so they don't count."""
    tried, faults = 0, Counter[str]()
    for report in reports:
        sentences = split_sentences(report)
        subsets = [" ".join(s for s in sentences if random.random() < 0.5) for _ in range(_SUBSETS)]
        for text in (report, " ".join(sentences), *filter(None, subsets)):
            tried += 1
            faults.update(f.reason for f in report_faults(text, report) if f.reason not in _TRUE_OF_SUBSETS)
    return tried, faults


def foreign_sentences(reports: list[str]) -> Plant:
    """Plant a sentence that asserts a concept which the report doesn't name at all."""
    pool = [
        s for report in reports for s in split_sentences(report) if any(f.polarity == "present" for f in findings(s))
    ]

    def plant(report: str) -> str | None:
        named = {f.concept for f in findings(report)}
        for sentence in random.sample(pool, 20):
            if any(f.polarity == "present" and f.concept not in named for f in findings(sentence)):
                return f"{report} {sentence}"
        return None

    return plant


def swapped_side(report: str) -> str | None:
    """Swap left and right in one sentence that names a side."""
    if not (sided := [s for s in split_sentences(report) if len({m.lower() for m in _SIDE.findall(s)}) == 1]):
        return None
    return _replaced(report, random.choice(sided), lambda s: _SIDE.sub(_other_side, s))


def changed_number(report: str) -> str | None:
    """Change one number that has a unit."""
    if not (numbers := list(_NUMBER.finditer(report))):
        return None
    number = random.choice(numbers)
    return f"{report[: number.start()]}{float(number[0]) * 2 + 0.3:.1f}{report[number.end() :]}"


def deleted_negation(report: str) -> str | None:
    """Take one `no` or `without` out."""
    if not (negations := list(_NEGATION.finditer(report))):
        return None
    negation = random.choice(negations)
    return report[: negation.start()] + report[negation.end() :]


def _other_side(side: re.Match[str]) -> str:
    return "right" if side[0].lower() == "left" else "left"


def _replaced(report: str, sentence: str, change: Callable[[str], str]) -> str:
    return " ".join(change(s) if s == sentence else s for s in split_sentences(report))


def microseconds_each(reports: list[str], work: Callable[[str], object]) -> float:
    """CPU time of some work on a report, once through all; what it remembers comes from these reports alone."""
    begun = time.process_time()
    for report in reports:
        work(report)
    return (time.process_time() - begun) / len(reports) * 1e6


def _copied(report: str) -> None:
    report_faults(report, report)


def _by_rules(report: str) -> None:
    """What `curate --provider rules` does about a report."""
    curated = without_comparisons(report)
    if has_content(curated):
        report_faults(curated, report)


def _without_a_sentence(report: str) -> None:
    report_faults(" ".join(split_sentences(report)[1:]) or report, report)


def main() -> None:
    """Print false alarms, detection rates and time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--missed", type=int, default=0, metavar="N", help="show N misses of each kind")
    arguments = parser.parse_args()
    random.seed(0)
    reports = read_reports(arguments.folder)
    report_faults("No effusion.", "No effusion.")  # loads the lexicon
    for name, work in {
        "report_faults of a copy": _copied,
        "split_sentences, and report_faults of all but the first": _without_a_sentence,
        "the whole of writing by rules": _by_rules,
    }.items():
        with multiprocessing.get_context("fork").Pool(1) as pool:  # in a process of its own, which remembers nothing
            microseconds = pool.apply(microseconds_each, (reports, work))
        print(f"{len(reports)} reports, {microseconds:.0f} us CPU each: {name}")
    tried, faults = count_false_alarms(reports)
    print(f"false alarms in {tried} copies and subsets: {faults.total()} {dict(faults)}")
    plants: dict[str, Plant] = {
        "foreign sentence": foreign_sentences(reports),
        "swapped side": swapped_side,
        "changed number": changed_number,
        "deleted negation": deleted_negation,
    }
    for name, plant in plants.items():
        planted = [(report, text) for report in reports if (text := plant(report))]
        missed = [pair for pair in planted if not unsupported(pair[1], pair[0])]
        found = len(planted) - len(missed)
        print(f"{name:18} found {found} of {len(planted)} ({found / len(planted):.1%})")
        for report, text in random.sample(missed, min(arguments.missed, len(missed))):
            print(f"    {' '.join(report.split())}\n    -> {' '.join(text.split())}\n")


if __name__ == "__main__":
    main()
