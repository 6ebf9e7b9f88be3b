"""What the store can say to a reviewer's checklist: one sentence or two for each fact, none where it does not know."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from radvlm_cli import __version__
from radvlm_cli.reporting.evaluation import ModelScores, SampleSet
from radvlm_cli.reporting.flow import Flow, Population
from radvlm_cli.reporting.provenance import Conditions, Invocation
from radvlm_cli.reporting.tables import cell_text
from radvlm_cli.stages.reports import data, llm, training
from radvlm_cli.stages.reports.evaluations import model_scores
from radvlm_cli.stages.reports.numbers import metrics_shown
from radvlm_cli.stages.reports.page.conditions import conditions, invocations
from radvlm_cli.stages.reports.page.flows import flows, populations
from radvlm_cli.stages.reports.page.privacy import Privacy
from radvlm_cli.stages.reports.selection import Evaluated
from radvlm_cli.store.snapshot import Snapshot

_BOOTSTRAP = (
    "95 % intervals by percentile bootstrap of patients (2,000 draws, seed 0; of samples, where a source names no "
    "patients). Differences of models: paired bootstrap, and exchange of models patient by patient, Holm over metrics "
    "(radvlm report compare A B)."
)


class _Known(NamedTuple):
    """What facts are made of, read once."""

    store: Snapshot
    evaluations: Sequence[Evaluated]
    flows: Sequence[Flow]
    populations: Sequence[Population]
    scores: Sequence[ModelScores]
    conditions: Sequence[Conditions]
    runs: Sequence[Invocation]

    @property
    def test_sets(self) -> list[SampleSet]:
        """The test sets that models were asked."""
        return [flow.test_set for flow in self.flows]


def facts(store: Snapshot, evaluations: Sequence[Evaluated], privacy: Privacy) -> dict[str, str]:
    """What is known, by the names that checklist.yaml uses."""
    sets: dict[SampleSet, list[Evaluated]] = {}
    for one in evaluations:
        sets.setdefault(one.test_set, []).append(one)
    known = _Known(
        store,
        evaluations,
        flows(store, sets),
        populations(store, list(sets)),
        [model_scores(store, one) for one in evaluations],
        conditions(store, evaluations, privacy),
        invocations(store, evaluations, privacy),
    )
    said = {name: make(known) for name, make in FACTS.items()}
    return {name: text for name, text in said.items() if text}


def _sources(known: _Known) -> str:
    counts: dict[str, int] = {}
    for row in data.images(known.store):
        counts[row.source] = counts.get(row.source, 0) + row.images
    return _list(f"{source} ({number:,} images)" for source, number in counts.items())


def _eligibility(known: _Known) -> str:
    parts = []
    for flow in known.flows:
        left = [
            f"{count:,} {why}"
            for count, why in ((flow.unusable, "without a readable image"), (flow.removed, "also in training"))
            if count
        ]
        parts.append(f"{flow.test_set.name}: {flow.found or 0:,} eligible, left out {_list(left) or 'none'}")
    return f"{'; '.join(parts)}. Splits as the releases have them." if parts else ""


def _preprocessing(known: _Known) -> str:
    arguments = _arguments(known.store, "prepare")
    if not arguments:
        return ""
    size = f"{arguments.get('size', 1024):,}"
    how = "squeezed to a square" if arguments.get("square") else "aspect ratio kept"
    return (
        "JPEG as released; DICOM and 16-bit images to 8-bit JPEG, VOI window and MONOCHROME1 inversion where DICOM "
        f"says so; longer side {size} pixels, {how}. Boxes as shares of the original width and height. Sections of "
        "reports by rule (radvlm prepare)."
    )


def _selection(known: _Known) -> str:
    return _list(f"{each.name}: {each.samples:,}{_published(each)}" for each in known.test_sets)


def _published(test_set: SampleSet) -> str:
    return "" if test_set.expected is None else f" of {test_set.expected:,} published"


def _elements(known: _Known) -> str:
    row = known.store.value("SELECT options FROM dataset WHERE status = 'complete' ORDER BY id DESC LIMIT 1")
    policy = json.loads(row).get("uncertain") if row else None
    return (
        f"Tasks: {_list({each.task: None for each in known.test_sets})}; uncertain labels count as {policy}."
        if policy
        else ""
    )


def _missing(known: _Known) -> str:
    parts = []
    for row in known.scores:
        wrong = {status: number for status, number in row.outcomes.items() if status not in ("ok", "truncated")}
        if wrong:
            listed = _list(f"{number:,} {status}" for status, number in wrong.items())
            parts.append(f"{row.model} on {row.test_set.name}: {listed}")
    said = f" {'; '.join(parts)}." if parts else " There were none." if known.scores else ""
    return f"Answers that failed or cannot be read count as wrong and stay in every denominator.{said}" if said else ""


def _truth(known: _Known) -> str:
    names = {each.task: None for each in known.test_sets}
    return (
        f"Annotations and reports of the releases, for {_list(names)}; frozen with a hash for each test set."
        if names
        else ""
    )


def _annotation(known: _Known) -> str:
    calls = llm.spending(known.store)
    origins = list(known.store.rows("SELECT origin, count(*) FROM curated_text GROUP BY origin ORDER BY 2 DESC"))
    written = _list(f"{number:,} by {origin}" for origin, number in origins)
    asked = _list({row.model: None for row in calls})
    parts = [f"Report texts rewritten: {written}." if written else "", f"Models asked: {asked}." if asked else ""]
    return " ".join(part for part in parts if part)


def _size(known: _Known) -> str:
    sets = _list(f"{each.name} {each.samples:,} samples of {each.patients:,} patients" for each in known.test_sets)
    return f"{sets}. Why so many, the authors say." if sets else ""


def _partitions(known: _Known) -> str:
    leaks = data.leaks(known.store)
    found = _list(f"{row.records:,} by {row.level} with {row.evaluation}" for row in leaks)
    options = known.store.value("SELECT options FROM dataset WHERE status = 'complete' ORDER BY id DESC LIMIT 1")
    if not options:
        return ""
    rule = json.loads(options).get("leakage")
    checked = f"Training is held against every test set by image, study and patient (rule: {rule})"
    return f"{checked}; found: {found or 'nothing shared'}."


def _models(known: _Known) -> str:
    rows = {(row.model, row.weights_sha256, row.precision, row.backend): None for row in known.conditions}
    return "; ".join(
        f"{model} ({'; '.join(part for part in (weights and f'weights {weights}', precision, backend) if part)})"
        for model, weights, precision, backend in rows
    )


def _decoding(known: _Known) -> str:
    rows = {(row.test_set, row.decoding, row.protocol): None for row in known.conditions}
    return "; ".join(f"{name}: {decoding}, protocol {protocol}" for name, decoding, protocol in rows)


def _prompts(known: _Known) -> str:
    rows = {(row.test_set, row.prompts_sha256): None for row in known.conditions if row.prompts_sha256}
    return f"Prompts by their hash: {'; '.join(f'{name} {digest}' for name, digest in rows)}." if rows else ""


def _parsing(known: _Known) -> str:
    parsers = {row.parser: None for row in known.conditions if row.parser}
    return f"By the parsers {_list(parsers)}; raw texts are kept, so that reading can be done again." if parsers else ""


def _software(known: _Known) -> str:
    versions = {f"radvlm {row.version} ({row.commit or 'no commit'}), Python {row.python}": None for row in known.runs}
    return _list(versions)


def _initial(known: _Known) -> str:
    rows = known.store.rows("SELECT DISTINCT model FROM training ORDER BY 1")
    return _list(model.rstrip("/").rpartition("/")[2] for (model,) in rows)


def _training(known: _Known) -> str:
    parts = []
    for run in training.training_runs(known.store)[:5]:
        given = json.loads(known.store.value("SELECT arguments FROM run WHERE id = ?", (run.run,)))
        chosen = {key.partition(".")[2]: value for key, value in given.items() if key.startswith("optimization.")}
        settings = _list(f"{name.replace('_', ' ')} {value}" for name, value in chosen.items())
        parts.append(f"run {run.run}, recipe {run.recipe}: {run.pairs:,} pairs, {run.step or 0:,} steps; {settings}")
    return "; ".join(parts)


def _metrics(known: _Known) -> str:
    parts = []
    for test_set in known.test_sets:
        rows = [row for row in known.scores if row.test_set == test_set]
        names = [name for row in rows for name, estimate in row.scores.items() if estimate.value is not None]
        if names:
            parts.append(f"{test_set.name}: {_list(each.title for each in metrics_shown(names, every=False))}")
    return "; ".join(parts)


def _uncertainty(known: _Known) -> str:
    return _BOOTSTRAP if known.scores else ""


def _robustness(known: _Known) -> str:
    return (
        "Each model was asked once, with greedy decoding unless the settings say otherwise."
        if known.evaluations
        else ""
    )


def _external(known: _Known) -> str:
    trained = {
        source
        for (source,) in known.store.rows(
            "SELECT DISTINCT source FROM component WHERE name NOT IN (SELECT name FROM test_set)"
        )
    }
    if not trained:
        return ""
    outside = [each.name for each in known.test_sets if each.source not in trained]
    return f"Test sets of sources that no dataset trains on: {_list(outside) or 'none'}."


def _flow(known: _Known) -> str:
    return "In the HTML page, for each test set and model." if known.flows else ""


def _population(known: _Known) -> str:
    parts = []
    for row in known.populations:
        age = "" if row.age is None else f", median age {row.age:.0f}"
        sex = f"{row.female:,} F, {row.male:,} M" if row.female + row.male else "sex not told"
        parts.append(f"{row.test_set.name}: {row.test_set.patients:,} patients, {sex}{age}; views {row.views}")
    return "; ".join(parts)


def _results(known: _Known) -> str:
    parts = []
    for row in known.scores:
        first = next(
            (each for each in metrics_shown(list(row.scores), every=False) if row.scores[each.name].value is not None),
            None,
        )
        if first is not None:
            parts.append(f"{row.model} on {row.test_set.name}: {first.title} {cell_text(row.scores[first.name])}")
    return "; ".join(parts)


def _failures(known: _Known) -> str:
    return (
        "Worst, random and best samples in the HTML page; causes by number (radvlm report failures)."
        if known.scores
        else ""
    )


def _subgroups(known: _Known) -> str:
    told = [row for row in known.populations if row.female + row.male or row.aged]
    if not told:
        return ""
    how = "By sex, age and view with intervals, small groups left out: radvlm report eval --by sex"
    return f"{how}. Whether that was planned, the authors say."


def _thresholds(known: _Known) -> str:
    boxes = any(each.task in ("region", "abnormality", "phrase", "detection") for each in known.test_sets)
    return (
        "A box counts as found from IoU 0.5 on, in a one-to-one matching; labels are read from the text."
        if boxes
        else ""
    )


def _blinding(known: _Known) -> str:
    return "A request holds the image and the prompt; the reference is no part of it." if known.evaluations else ""


def _instructions(known: _Known) -> str:
    parts: dict[str, int] = {}
    for part in data.components(known.store):
        parts[part.dataset] = parts.get(part.dataset, 0) + part.pairs
    return _list(f"dataset {name}: {pairs:,} pairs" for name, pairs in parts.items())


def _compute(known: _Known) -> str:
    parts = [
        f"training run {run.run}: {cell_text(run.took_s, 'seconds')}"
        for run in training.training_runs(known.store)[:5]
        if run.took_s
    ]
    parts += [
        f"{row.command} run {row.run}: {cell_text(row.took_s, 'seconds')}"
        for row in known.runs
        if row.command == "eval"
    ]
    spent = [row.dollars for row in llm.spending(known.store) if row.dollars is not None]
    if spent:
        parts.append(f"calls to language models: {cell_text(sum(spent), 'dollars')}")
    return "; ".join(parts)


def _code(known: _Known) -> str:
    commits = {row.commit for row in known.runs if row.commit}
    return (
        f"radvlm {__version__}, Apache-2.0; commits {_list(sorted(commits)) or 'not known'}. Data keep their own terms."
    )


def _arguments(store: Snapshot, command: str) -> dict[str, Any]:
    row = store.value("SELECT arguments FROM run WHERE command = ? ORDER BY id DESC LIMIT 1", (command,))
    found: dict[str, Any] = json.loads(row) if row else {}
    return found


def _list(parts: Any) -> str:
    return ", ".join(str(part) for part in parts)


FACTS: dict[str, Callable[[_Known], str]] = {
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
    "models": _models,
    "decoding": _decoding,
    "prompts": _prompts,
    "parsing": _parsing,
    "software": _software,
    "initial": _initial,
    "training": _training,
    "metrics": _metrics,
    "uncertainty": _uncertainty,
    "robustness": _robustness,
    "external": _external,
    "flow": _flow,
    "population": _population,
    "results": _results,
    "failures": _failures,
    "subgroups": _subgroups,
    "thresholds": _thresholds,
    "blinding": _blinding,
    "instructions": _instructions,
    "rewritten": _annotation,
    "compute": _compute,
    "code": _code,
}
"""By the names that checklist.yaml uses."""
