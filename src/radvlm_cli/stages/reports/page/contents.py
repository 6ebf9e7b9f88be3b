"""The page put together: which evaluations it is about, and its sections in the order of a reader's questions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from radvlm_cli import __version__
from radvlm_cli.errors import ConfigError
from radvlm_cli.reporting.comparison import causes_table
from radvlm_cli.reporting.data import components_table, images_table, leaks_table, texts_table
from radvlm_cli.reporting.evaluation import ModelScores, SampleSet, labels_table, readable_table, scores_table
from radvlm_cli.reporting.flow import flow_table, population_table
from radvlm_cli.reporting.llm import quarantine_table, spending_table
from radvlm_cli.reporting.page.flow import FlowFigure
from radvlm_cli.reporting.page.gallery import Gallery
from radvlm_cli.reporting.page.page import Beside, Block, Card, Cards, Folded, Leaf, Page, Section, Words
from radvlm_cli.reporting.provenance import conditions_table, invocations_table
from radvlm_cli.reporting.tables import Table, cell_text
from radvlm_cli.reporting.training import checkpoints_table, training_table
from radvlm_cli.stages.reports import data, llm, training
from radvlm_cli.stages.reports.evaluations import label_scores, model_scores
from radvlm_cli.stages.reports.failures import causes
from radvlm_cli.stages.reports.numbers import metric, metrics_shown
from radvlm_cli.stages.reports.overview import holdings
from radvlm_cli.stages.reports.page import drawn
from radvlm_cli.stages.reports.page.calibrations import calibrations
from radvlm_cli.stages.reports.page.comparisons import comparisons
from radvlm_cli.stages.reports.page.conditions import conditions, invocations
from radvlm_cli.stages.reports.page.flows import flows, populations
from radvlm_cli.stages.reports.page.pictures import Asked, sample_groups
from radvlm_cli.stages.reports.page.privacy import Privacy, privacy_of
from radvlm_cli.stages.reports.published import published_figures
from radvlm_cli.stages.reports.selection import Evaluated, Wanted, select
from radvlm_cli.store.snapshot import Snapshot

_MODELS = 8
"""Evaluations of a test set that are shown: the newest."""
_CURVES = 3
"""Training runs whose curves are drawn: the newest."""
_LABEL_METRICS = ("precision", "recall", "specificity", "f1")


class PageRequest(NamedTuple):
    """What a page is to show."""

    wanted: Wanted
    public: bool
    pictures: int
    seed: int
    data_dir: Path | None
    derived_dir: Path | None
    credentialed: Sequence[str]
    """Sources whose images and texts only those may see who signed their agreement."""
    phantoms: bool
    """Whether the data folder holds phantoms made by this program."""


class Shown(NamedTuple):
    """The evaluations of a page, by test set."""

    by_test_set: Mapping[SampleSet, Sequence[Evaluated]]
    left_out: int
    """Older ones, and those beyond so many of a test set."""

    def all(self) -> list[Evaluated]:
        """One after another."""
        return [one for evaluations in self.by_test_set.values() for one in evaluations]


def page_of(store: Snapshot, request: PageRequest) -> Page:
    """Everything that a page shows. ConfigError where evaluations are asked for that are not there."""
    privacy = privacy_of(store, request.public)
    shown = shown_evaluations(store, request.wanted, privacy)
    names = drawn.series_names(shown.all())
    sections = [
        Section("glance", "At a glance", [Cards(list(_cards(store, shown))), *_to_know(shown)]),
        Section("flow", "Flow of samples", list(_flow(store, shown, privacy))),
        Section("results", "Results", list(_results(store, shown))),
        Section("comparisons", "Comparisons", list(comparisons(store, shown.by_test_set, names))),
        Section("boxes", "Boxes", list(_boxes(store, shown))),
        Section("findings", "Findings", list(_findings(store, shown))),
        Section("calibration", "Calibration", list(calibrations(store, shown.by_test_set, names))),
        Section("samples", "Samples", list(_samples(store, shown, request, privacy))),
        Section("data", "Data", list(_data(store, privacy))),
        Section("training", "Training", list(_training(store, privacy))),
        Section("cost", "Cost", list(_cost(store, privacy))),
        Section("provenance", "Provenance", list(_provenance(store, shown, privacy))),
    ]
    banner, restricted = _banner(shown, request)
    made = f"Made {datetime.now(UTC):%Y-%m-%d %H:%M} UTC by radvlm {__version__}"
    if not request.public:
        made += f" from {store.path}"
    return Page("Report of radvlm", made, banner, restricted, [part for part in sections if part.blocks])


def shown_evaluations(store: Snapshot, wanted: Wanted, privacy: Privacy) -> Shown:
    """The newest evaluations of each test set that is asked for; none where nothing was evaluated yet."""
    if not store.value("SELECT count(*) FROM evaluation"):
        if wanted != Wanted():
            raise ConfigError("Nothing has been evaluated yet.", "radvlm eval --model MODEL --task TASK")
        return Shown({}, 0)
    selection = select(store, wanted)
    found: dict[SampleSet, Sequence[Evaluated]] = {}
    left_out = selection.older
    for test_set, evaluations in selection.by_test_set().items():
        newest = sorted(evaluations, key=lambda one: one.id)[-_MODELS:]
        left_out += len(evaluations) - len(newest)
        found[test_set] = [privacy.evaluated(one) for one in evaluations if one in newest]
    return Shown(found, left_out)


def _banner(shown: Shown, request: PageRequest) -> tuple[str, bool]:
    sources = [name for name in request.credentialed if any(name == each.source for each in shown.by_test_set)]
    if request.phantoms:
        return "Phantoms: images and reports are made by a program, of nobody. Research use only.", False
    if request.public:
        return (
            "Public form: without images, texts of reports and answers; ids are hashes. Figures are of data under use "
            "agreements. Research use only.",
            False,
        )
    if not sources:
        return "Research use only.", False
    return (
        f"Credentialed data: this page holds images, texts and ids of {', '.join(sources)}. Show it only to people who "
        "have signed their use agreements, and put it nowhere that others can reach. Without them: radvlm report "
        "--html FILE --public. Research use only.",
        True,
    )


def _cards(store: Snapshot, shown: Shown) -> Iterator[Card]:
    for row in holdings(store):
        yield Card(f"{row.number:,}", "training runs" if row.what == "runs" else row.what, row.remark)
    spent = [row.dollars for row in llm.spending(store) if row.dollars is not None]
    if spent:
        yield Card(cell_text(sum(spent), "dollars"), "spent on calls")


def _to_know(shown: Shown) -> Iterator[Block]:
    if not shown.by_test_set:
        yield Words("Nothing has been evaluated yet: radvlm eval --model MODEL --task TASK")
        return
    yield Words(
        "Intervals are 95 %, by 2,000 draws of patients (of studies or images, where a source names none). An answer "
        "that failed or cannot be read counts as wrong; nothing is averaged over those that happened to succeed, "
        "unless it says so. No winner is marked; whether a difference is real is told under Comparisons."
    )
    if shown.left_out:
        yield Words(f"{shown.left_out:,} older evaluations are not shown: choose with --model, --task, --test-set.")


def _flow(store: Snapshot, shown: Shown, privacy: Privacy) -> Iterator[Block]:
    if not shown.by_test_set:
        return
    rows = flows(store, shown.by_test_set)
    yield FlowFigure(rows)
    yield Folded("The flow as a table", [flow_table(rows)])
    wrong = [cause for one in shown.all() for cause in causes(store, one)]
    yield privacy.table(causes_table(wrong))
    yield population_table(populations(store, list(shown.by_test_set)))


def _results(store: Snapshot, shown: Shown) -> Iterator[Block]:
    names = drawn.series_names(shown.all())
    columns: list[list[Leaf]] = []
    published: list[Table] = []
    for test_set, evaluations in shown.by_test_set.items():
        rows = [model_scores(store, one) for one in evaluations]
        metrics = metrics_shown([name for row in rows for name in row.scores], every=False)
        column: list[Leaf] = [*(drawn.forests(rows, metrics, names) or _why_none(rows))]
        tables = [scores_table(test_set, metrics, rows), readable_table(test_set, metrics, rows)]
        every_metric = metrics_shown([name for row in rows for name in row.scores], every=True)
        if len(every_metric) > len(metrics):
            table = scores_table(test_set, every_metric, rows)
            tables.append(table._replace(title=f"{test_set.name}: all metrics"))
        column.append(Folded(f"{test_set.name}: tables", [table for table in tables if table.rows]))
        columns.append(column)
        beside = published_figures(test_set, rows)
        published += [] if beside is None else [beside]
    if columns:
        yield Beside(columns)
    if published:
        yield Folded("Published figures beside ours", published)


def _why_none(rows: Sequence[ModelScores]) -> Iterator[Words]:
    """What the metrics of a test set lack, where none of them has a value."""
    remarks = (each.remark for row in rows for each in row.scores.values() if each.remark)
    yield Words(f"{rows[0].test_set.name}: no metric has a value ({next(remarks, 'not scored yet')}).")


def _boxes(store: Snapshot, shown: Shown) -> Iterator[Block]:
    names = drawn.series_names(shown.all())
    charts = [
        chart
        for test_set, evaluations in shown.by_test_set.items()
        if (chart := drawn.iou_histogram(store, test_set.name, evaluations, names)) is not None
    ]
    if charts:
        yield Words(
            "How well the marked area covers the true one: IoU of the union of all predicted boxes with that of all "
            "true ones, of each sample with something to find. None: no overlap at all, failures included. From 0.5 on "
            "a box counts as found."
        )
        yield Beside([[chart] for chart in charts])


def _findings(store: Snapshot, shown: Shown) -> Iterator[Block]:
    names = drawn.series_names(shown.all())
    for test_set, evaluations in shown.by_test_set.items():
        rows = [row for one in evaluations for row in label_scores(store, one)]
        if not any(estimate.value is not None for row in rows for estimate in row.scores.values()):
            continue
        chosen = [metric(name) for name in _LABEL_METRICS if any(name in row.scores for row in rows)]
        others = sorted({name for row in rows for name in row.scores} - set(_LABEL_METRICS))
        by = metric("f1") if any(each.name == "f1" for each in chosen) else metric(others[0])
        chart = drawn.label_forest(test_set.name, rows, by, names)
        if chart is not None:
            yield chart
        yield _by_finding(labels_table(test_set, [*chosen, *(metric(name) for name in others)], rows))


def _by_finding(table: Table) -> Table:
    """Finding by finding, the most frequent first, the models of each below one another."""
    rows = sorted(table.rows, key=lambda row: (-(row.support or 0), row.label))
    first = [column for column in table.columns if column.field == "finding"]
    others = [column for column in table.columns if column.field != "finding"]
    return table._replace(columns=(*first, *others), rows=tuple(rows))


def _samples(store: Snapshot, shown: Shown, request: PageRequest, privacy: Privacy) -> Iterator[Block]:
    asked = Asked(request.pictures, request.seed, request.data_dir, request.derived_dir)
    groups = sample_groups(store, shown.all(), asked, privacy) if request.pictures else []
    if groups:
        yield Words(
            "Of each evaluation the worst and the best samples by its main metric, and some by chance, the same ones "
            "for every model. Boxes are those that were scored."
        )
        yield Gallery(groups)


def _data(store: Snapshot, privacy: Privacy) -> Iterator[Block]:
    images, parts = data.images(store), data.components(store)
    charts = drawn.composition(images, parts)
    if charts:
        yield Beside([[chart] for chart in charts])
    tables = [
        images_table(images),
        texts_table(data.texts(store)),
        components_table(parts),
        leaks_table(data.leaks(store)),
    ]
    for table in tables:
        if table.rows:
            yield privacy.table(table)


def _training(store: Snapshot, privacy: Privacy) -> Iterator[Block]:
    runs = training.training_runs(store)
    for run in runs[:_CURVES]:
        charts = drawn.training_curves(run.run, training.curve(store, run.run), training.held_out(store, run.run))
        if charts:
            yield Beside([[chart] for chart in charts])
    if runs:
        yield _without_hint(training_table(runs))
    kept = [(run.run, training.checkpoints(store, run.run)) for run in runs[:_CURVES]]
    tables = [privacy.table(checkpoints_table(run, rows)) for run, rows in kept if rows]
    if tables:
        yield Folded("Checkpoints", tables)


def _without_hint(table: Table) -> Table:
    """A page answers no commands."""
    return table._replace(notes=tuple(note.partition(" One run in detail:")[0] for note in table.notes))


def _cost(store: Snapshot, privacy: Privacy) -> Iterator[Block]:
    rows = llm.spending(store)
    if rows:
        chart = drawn.spending_chart(rows)
        if chart is not None:
            yield chart
        yield spending_table(rows)
    waiting = llm.quarantined(store)
    if waiting:
        yield privacy.table(quarantine_table(waiting))
    if not rows:
        yield Words("No language model was called.")


def _provenance(store: Snapshot, shown: Shown, privacy: Privacy) -> Iterator[Block]:
    evaluations = shown.all()
    if evaluations:
        yield conditions_table(conditions(store, evaluations, privacy))
    yield privacy.table(invocations_table(invocations(store, evaluations, privacy)))
