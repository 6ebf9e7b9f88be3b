"""Facts about data: sources, samples, truth, partitions, people."""

from __future__ import annotations

import json
from collections.abc import Callable

from radvlm_cli.reporting.evaluation import SampleSet
from radvlm_cli.stages.reports import data, llm
from radvlm_cli.stages.reports.checklist.known import Known, arguments_of, joined


def _sources(known: Known) -> str:
    counts: dict[str, int] = {}
    for row in data.images(known.store):
        counts[row.source] = counts.get(row.source, 0) + row.images
    return joined(f"{source} ({number:,} images)" for source, number in counts.items())


def _eligibility(known: Known) -> str:
    parts = []
    for flow in known.flows:
        left = [
            f"{count:,} {why}"
            for count, why in ((flow.unusable, "without a readable image"), (flow.removed, "also in training"))
            if count
        ]
        parts.append(f"{flow.test_set.name}: {flow.found or 0:,} eligible, left out {joined(left) or 'none'}")
    return f"{'; '.join(parts)}. Splits as the releases have them." if parts else ""


def _preprocessing(known: Known) -> str:
    arguments = arguments_of(known.store, "prepare")
    if not arguments:
        return ""
    size = f"{arguments.get('size', 1024):,}"
    how = "squeezed to a square" if arguments.get("square") else "aspect ratio kept"
    return (
        "JPEG as released; DICOM and 16-bit images to 8-bit JPEG, VOI window and MONOCHROME1 inversion where DICOM "
        f"says so; longer side {size} pixels, {how}. Boxes as shares of the original width and height. Sections of "
        "reports by rule (radvlm prepare)."
    )


def _selection(known: Known) -> str:
    return joined(f"{each.name}: {each.samples:,}{_published(each)}" for each in known.test_sets)


def _published(test_set: SampleSet) -> str:
    return "" if test_set.expected is None else f" of {test_set.expected:,} published"


def _elements(known: Known) -> str:
    row = known.store.value("SELECT options FROM dataset WHERE status = 'complete' ORDER BY id DESC LIMIT 1")
    policy = json.loads(row).get("uncertain") if row else None
    return (
        f"Tasks: {joined({each.task: None for each in known.test_sets})}; uncertain labels count as {policy}."
        if policy
        else ""
    )


def _missing(known: Known) -> str:
    parts = []
    for row in known.scores:
        wrong = {status: number for status, number in row.outcomes.items() if status != "ok"}
        if wrong:
            listed = joined(f"{number:,} {status}" for status, number in wrong.items())
            parts.append(f"{row.model} on {row.test_set.name}: {listed}")
    said = f" {'; '.join(parts)}." if parts else " There were none." if known.scores else ""
    return f"Answers that failed or cannot be read count as wrong and stay in every denominator.{said}" if said else ""


def _truth(known: Known) -> str:
    names = {each.task: None for each in known.test_sets}
    return (
        f"Annotations and reports of the releases, for {joined(names)}; frozen with a hash for each test set."
        if names
        else ""
    )


def _annotation(known: Known) -> str:
    calls = llm.spending(known.store)
    origins = list(known.store.rows("SELECT origin, count(*) FROM curated_text GROUP BY origin ORDER BY 2 DESC"))
    written = joined(f"{number:,} by {origin}" for origin, number in origins)
    asked = joined({row.model: None for row in calls})
    parts = [f"Report texts rewritten: {written}." if written else "", f"Models asked: {asked}." if asked else ""]
    return " ".join(part for part in parts if part)


def _size(known: Known) -> str:
    sets = joined(f"{each.name} {each.samples:,} samples of {each.clusters}" for each in known.test_sets)
    return f"{sets}. Why so many, the authors say." if sets else ""


def _partitions(known: Known) -> str:
    leaks = data.leaks(known.store)
    found = joined(f"{row.records:,} by {row.level} with {row.evaluation}" for row in leaks)
    options = known.store.value("SELECT options FROM dataset WHERE status = 'complete' ORDER BY id DESC LIMIT 1")
    if not options:
        return ""
    rule = json.loads(options).get("leakage")
    checked = f"Training is held against every test set by image, study and patient (rule: {rule})"
    return f"{checked}; found: {found or 'nothing shared'}."


def _external(known: Known) -> str:
    trained = {
        source
        for (source,) in known.store.rows(
            "SELECT DISTINCT source FROM component WHERE name NOT IN (SELECT name FROM test_set)"
        )
    }
    if not trained:
        return ""
    outside = [each.name for each in known.test_sets if each.source not in trained]
    return f"Test sets of sources that no dataset trains on: {joined(outside) or 'none'}."


def _flow(known: Known) -> str:
    return "In the HTML page, for each test set and model." if known.flows else ""


def _population(known: Known) -> str:
    parts = []
    for row in known.populations:
        age = "" if row.age is None else f", median age {row.age:.0f}"
        sex = f"{row.female:,} F, {row.male:,} M" if row.female + row.male else "sex not told"
        parts.append(f"{row.test_set.name}: {row.test_set.clusters}, {sex}{age}; views {row.views}")
    return "; ".join(parts)


def _instructions(known: Known) -> str:
    parts: dict[str, int] = {}
    for part in data.components(known.store):
        parts[part.dataset] = parts.get(part.dataset, 0) + part.pairs
    return joined(f"dataset {name}: {pairs:,} pairs" for name, pairs in parts.items())


FACTS: dict[str, Callable[[Known], str]] = {
    "sources": _sources,
    "eligibility": _eligibility,
    "preprocessing": _preprocessing,
    "selection": _selection,
    "elements": _elements,
    "missing": _missing,
    "truth": _truth,
    "annotation": _annotation,
    "size": _size,
    "partitions": _partitions,
    "external": _external,
    "flow": _flow,
    "population": _population,
    "instructions": _instructions,
    "rewritten": _annotation,
}
