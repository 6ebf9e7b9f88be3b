"""Facts about models: what they are, how they were trained, asked, read and measured."""

from __future__ import annotations

import json
from collections.abc import Callable

from radvlm_cli import __version__
from radvlm_cli.reporting.tables import cell_text
from radvlm_cli.stages.reports import llm, training
from radvlm_cli.stages.reports.checklist.known import Known, joined
from radvlm_cli.stages.reports.numbers import metrics_shown

_BOOTSTRAP = (
    "95 % intervals by percentile bootstrap of patients (2,000 draws, seed 0; of studies or images, where a "
    "source names no patients). Differences of models: paired bootstrap, and exchange of models patient by patient, "
    "Holm over metrics (radvlm report compare A B)."
)


def _models(known: Known) -> str:
    rows = {(row.model, row.weights_sha256, row.precision, row.backend): None for row in known.conditions}
    return "; ".join(
        f"{model} ({'; '.join(part for part in (weights and f'weights {weights}', precision, backend) if part)})"
        for model, weights, precision, backend in rows
    )


def _decoding(known: Known) -> str:
    rows = {(row.test_set, row.decoding, row.protocol): None for row in known.conditions}
    return "; ".join(f"{name}: {decoding}, protocol {protocol}" for name, decoding, protocol in rows)


def _prompts(known: Known) -> str:
    rows = {(row.test_set, row.prompts_sha256): None for row in known.conditions if row.prompts_sha256}
    return f"Prompts by their hash: {'; '.join(f'{name} {digest}' for name, digest in rows)}." if rows else ""


def _parsing(known: Known) -> str:
    parsers = {row.parser: None for row in known.conditions if row.parser}
    return (
        f"By the parsers {joined(parsers)}; raw texts are kept, so that reading can be done again." if parsers else ""
    )


def _software(known: Known) -> str:
    versions = {f"radvlm {row.version} ({row.commit or 'no commit'}), Python {row.python}": None for row in known.runs}
    return joined(versions)


def _initial(known: Known) -> str:
    rows = known.store.rows("SELECT DISTINCT model FROM training ORDER BY 1")
    return joined(model.rstrip("/").rpartition("/")[2] for (model,) in rows)


def _training(known: Known) -> str:
    parts = []
    for run in training.training_runs(known.store)[:5]:
        given = json.loads(known.store.value("SELECT arguments FROM run WHERE id = ?", (run.run,)))
        chosen = {key.partition(".")[2]: value for key, value in given.items() if key.startswith("optimization.")}
        settings = joined(f"{name.replace('_', ' ')} {value}" for name, value in chosen.items())
        parts.append(f"run {run.run}, recipe {run.recipe}: {run.pairs:,} pairs, {run.step or 0:,} steps; {settings}")
    return "; ".join(parts)


def _metrics(known: Known) -> str:
    parts = []
    for test_set in known.test_sets:
        rows = [row for row in known.scores if row.test_set == test_set]
        names = [name for row in rows for name, estimate in row.scores.items() if estimate.value is not None]
        if names:
            parts.append(f"{test_set.name}: {joined(each.title for each in metrics_shown(names, every=False))}")
    return "; ".join(parts)


def _uncertainty(known: Known) -> str:
    return _BOOTSTRAP if known.scores else ""


def _robustness(known: Known) -> str:
    return (
        "Each model was asked once, with greedy decoding unless the settings say otherwise."
        if known.evaluations
        else ""
    )


def _results(known: Known) -> str:
    parts = []
    for row in known.scores:
        first = next(
            (each for each in metrics_shown(list(row.scores), every=False) if row.scores[each.name].value is not None),
            None,
        )
        if first is not None:
            parts.append(f"{row.model} on {row.test_set.name}: {first.title} {cell_text(row.scores[first.name])}")
    return "; ".join(parts)


def _failures(known: Known) -> str:
    return (
        "Worst, random and best samples in the HTML page; causes by number (radvlm report failures)."
        if known.scores
        else ""
    )


def _subgroups(known: Known) -> str:
    told = [row for row in known.populations if row.female + row.male or row.aged]
    if not told:
        return ""
    how = "By sex, age and view with intervals, small groups left out: radvlm report eval --by sex"
    return f"{how}. Whether that was planned, the authors say."


def _thresholds(known: Known) -> str:
    boxes = any(each.task in ("region", "abnormality", "phrase", "detection") for each in known.test_sets)
    return (
        "A box counts as found from IoU 0.5 on, in a one-to-one matching; labels are read from the text."
        if boxes
        else ""
    )


def _blinding(known: Known) -> str:
    return "A request holds the image and the prompt; the reference is no part of it." if known.evaluations else ""


def _compute(known: Known) -> str:
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


def _code(known: Known) -> str:
    commits = {row.commit for row in known.runs if row.commit}
    listed = joined(sorted(commits)) or "not known"
    return f"radvlm {__version__}, Apache-2.0; commits {listed}. Data keep their own terms."


FACTS: dict[str, Callable[[Known], str]] = {
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
    "results": _results,
    "failures": _failures,
    "subgroups": _subgroups,
    "thresholds": _thresholds,
    "blinding": _blinding,
    "compute": _compute,
    "code": _code,
}
