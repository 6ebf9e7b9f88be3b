"""What the page shows of the store: which samples, which answers, how the flow adds up."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from radvlm_cli.errors import ConfigError
from radvlm_cli.metrics.significance import holm
from radvlm_cli.reporting.comparison import differences_table
from radvlm_cli.reporting.page.charts import Chart
from radvlm_cli.reporting.page.page import Beside, Folded, Section, Words
from radvlm_cli.reporting.samples import SampleGroup
from radvlm_cli.stages.reports.page.comparisons import held_against
from radvlm_cli.stages.reports.page.contents import PageRequest, page_of
from radvlm_cli.stages.reports.page.flows import flows
from radvlm_cli.stages.reports.page.pictures import Asked, sample_groups
from radvlm_cli.stages.reports.page.privacy import privacy_of
from radvlm_cli.stages.reports.page.write import Choice, write_html
from radvlm_cli.stages.reports.selection import Wanted, select
from radvlm_cli.store.engine import open_store
from radvlm_cli.store.runs import Run, open_run
from radvlm_cli.store.snapshot import Snapshot, open_snapshot
from tests.stages.evaluation.evaluated import BOX, FAR, add_evaluation, add_test_set, phrases
from tests.stores import empty_store

COUNT = 40
SHIFTED = (0.2, 0.2, 0.6, 0.8)


@pytest.fixture(scope="module")
def store_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models on forty samples: of the first every tenth answer is far off, and every other one is inexact."""
    folder = tmp_path_factory.mktemp("store")
    with open_store(folder / "radvlm.db") as store, open_run(store, "eval", {}) as run:
        test_set = add_test_set(store, run, "mscxr-phrase-test", "phrase", phrases(COUNT), expected=189)
        answers = [[FAR] if place % 10 == 0 else [SHIFTED] if place % 2 else [BOX] for place in range(COUNT)]
        add_evaluation(store, run, test_set, "maira2", answers, statuses={4: "unparsable"})
        add_evaluation(store, run, test_set, "chexagent", [[SHIFTED]] * COUNT)
        with store.write() as connection:
            for place in range(COUNT):
                file = folder / f"{place}.jpg"
                Image.new("L", (40, 30), place).save(file)
                connection.exec_driver_sql("UPDATE test_sample SET path = ? WHERE position = ?", (str(file), place))
    return folder / "radvlm.db"


@contextmanager
def groups_of(path: Path, pictures: int = 64, seed: int = 0) -> Iterator[list[SampleGroup]]:
    with open_snapshot(path) as store:
        evaluations = select(store, Wanted()).evaluations
        yield sample_groups(store, evaluations, Asked(pictures, seed, None, None), privacy_of(store, False))


def names(group: SampleGroup, why: str) -> list[str]:
    return [sample.name for sample in group.samples if sample.why == why]


def test_worst_and_best_are_by_the_metric_and_chance_is_the_same_for_every_model(store_path: Path) -> None:
    with groups_of(store_path) as (second, first):
        assert "maira2" in first.title
        worst = [sample for sample in first.samples if sample.why == "worst"]
        assert len(worst) == 4
        assert {sample.score for sample in worst} == {0.0}  # four far off, and one that could not be read
        assert {sample.score for sample in first.samples if sample.why == "best"} == {1.0}
        common = set(names(first, "random")) & set(names(second, "random"))
        assert len(common) >= 3
        assert len({sample.name for sample in first.samples}) == len(first.samples) == 12
        assert "5 of 40 samples share the worst value" in first.note


def test_another_seed_shows_others_and_the_same_seed_the_same(store_path: Path) -> None:
    found = []
    for seed in (0, 0, 1):
        with groups_of(store_path, seed=seed) as (_second, first):
            found.append(names(first, "random"))
    assert found[0] == found[1] != found[2]


def test_there_are_no_more_pictures_than_asked_for(store_path: Path) -> None:
    with groups_of(store_path, pictures=5) as groups:
        keys = {sample.picture.key for group in groups for sample in group.samples if sample.picture}
        assert len(keys) == 5
        assert all(group.samples for group in groups)


def test_boxes_are_those_that_were_read_and_those_that_are_true(store_path: Path) -> None:
    with groups_of(store_path) as (_second, first):
        sample = first.samples[0]
        assert [tuple(box)[:4] for box in sample.true] == [BOX]
        assert sample.picture is not None
        assert (sample.picture.width, sample.picture.height) == (40, 30)


def test_the_flow_adds_up_to_the_samples_of_the_test_set(store_path: Path) -> None:
    with open_snapshot(store_path) as store:
        flow = flows(store, select(store, Wanted()).by_test_set())[0]
    assert flow.named
    assert flow.found is None  # no dataset is known
    assert [sum(answers.outcomes.values()) for answers in flow.answers] == [COUNT, COUNT]
    assert {answers.model: answers.outcomes for answers in flow.answers}["maira2"] == {"ok": 39, "unparsable": 1}


def page(store: Snapshot, wanted: Wanted = Wanted()) -> list[Section]:  # noqa: B008
    request = PageRequest(wanted, False, 8, 0, None, None, [], False)
    return list(page_of(store, request).sections)


def test_the_histogram_has_failures_among_the_samples_without_overlap(store_path: Path) -> None:
    with open_snapshot(store_path) as store:
        sections = {section.id: section.blocks for section in page(store, Wanted(models=("maira2",)))}
    beside = sections["boxes"][-1]
    assert isinstance(beside, Beside)
    chart = beside.columns[0][0]
    assert isinstance(chart, Chart)
    counts = {value["row"]: value["value"] for value in chart.spec["data"]["values"]}
    assert counts["none"] == 5
    assert sum(counts.values()) == COUNT


def test_the_newest_model_is_held_against_the_others_and_p_adjusted_over_all_of_them(tmp_path: Path) -> None:
    with open_store(tmp_path / "radvlm.db") as store, open_run(store, "eval", {}) as run:
        test_set = add_test_set(store, run, "mscxr-phrase-test", "phrase", phrases(80))
        for model, hits in (("maira2", 20), ("chexagent", 64), ("llavaov", 68)):
            add_evaluation(store, run, test_set, model, [[BOX]] * hits + [[FAR]] * (80 - hits))
    with open_snapshot(tmp_path / "radvlm.db") as store:
        newest, *others = sorted(select(store, Wanted()).evaluations, key=lambda one: -one.id)
        rows, notes = held_against(store, newest, others, {one.id: one.model for one in (newest, *others)})
    by_place = {(row.compared.metric.name, row.second): row.compared for row in rows}
    assert {(row.first, row.second) for row in rows} == {("llavaov", "chexagent"), ("llavaov", "maira2")}
    expected = holm({f"{metric} {model}": row.p or 0 for (metric, model), row in by_place.items()})
    assert {f"{metric} {model}": row.p_adjusted for (metric, model), row in by_place.items()} == expected
    clear, alike = by_place["f1_50", "maira2"], by_place["f1_50", "chexagent"]
    assert (clear.difference.value, alike.difference.value) == pytest.approx((0.6, 0.05))
    assert (clear.winner, alike.winner) == ("first", None)
    table = differences_table(newest.test_set, rows, notes)
    strong = {(row.second, row.compared.metric.name) for row in table.rows if table.columns[4].get(row).strong}
    assert table.columns[4].field == "difference"
    assert strong == {place[::-1] for place in by_place if place[1] == "maira2"}


def test_a_comparison_is_a_forest_of_differences_with_a_line_at_0_and_its_table(store_path: Path) -> None:
    with open_snapshot(store_path) as store:
        sections = {section.id: section.blocks for section in page(store)}
    _words, beside, folded = sections["comparisons"]
    assert isinstance(beside, Beside)
    assert isinstance(folded, Folded)
    chart = beside.columns[0][0]
    assert isinstance(chart, Chart)
    assert chart.title == "mscxr-phrase-test: chexagent minus maira2"
    line = chart.spec["layer"][0]
    assert (line["mark"]["type"], line["data"]["values"]) == ("rule", [{"at": 0}])
    drawn = {value["row"].replace("\n", " "): value["value"] for value in chart.spec["data"]["values"]}
    told = {row.compared.metric.title: row.compared.difference.value for row in folded.tables[0].rows}
    assert drawn == told
    assert [table.name for table in folded.tables] == ["mscxr-phrase-test-differences"]


def test_one_model_alone_is_compared_with_nothing(store_path: Path) -> None:
    with open_snapshot(store_path) as store:
        assert "comparisons" not in {section.id for section in page(store, Wanted(models=("maira2",)))}


def test_without_answers_about_findings_the_calibration_says_why_it_is_empty(store_path: Path) -> None:
    with open_snapshot(store_path) as store:
        blocks = {section.id: section.blocks for section in page(store)}["calibration"]
    said = " ".join(block.text for block in blocks if isinstance(block, Words))
    assert "No answer of the task classification is shown" in said
    assert "no model here gives its boxes a score" in said


def test_a_store_without_evaluations_has_a_page_that_says_so(tmp_path: Path) -> None:
    empty_store(tmp_path / "radvlm.db")
    with open_snapshot(tmp_path / "radvlm.db") as store:
        assert [section.id for section in page(store)] == ["glance", "cost", "provenance"]
        with pytest.raises(ConfigError, match="Nothing has been evaluated"):
            page(store, Wanted(models=("maira2",)))


def test_a_demo_that_moved_is_still_of_phantoms_and_other_images_are_not(run: Run, tmp_path: Path) -> None:
    first, second = tmp_path / "demo" / "data", tmp_path / "moved" / "data"
    (first / "MIMIC").mkdir(parents=True)
    (first / "PHANTOM.json").write_text("{}")
    Image.new("L", (40, 30)).save(first / "MIMIC" / "0.jpg")
    test_set = add_test_set(run.store, run, "mscxr-phrase-test", "phrase", phrases(1))
    add_evaluation(run.store, run, test_set, "maira2", [[BOX]])
    with run.store.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO image (id, source, image_id, root, path, status, run_id) "
            "VALUES (7, 'mimic', '0', 'data', 'MIMIC/0.jpg', 'present', ?)",
            (run.id,),
        )
        connection.exec_driver_sql("UPDATE test_sample SET image_id=7, path=?", (str(first / "MIMIC" / "0.jpg"),))

    def restricted(data: Path) -> bool:
        with open_snapshot(run.store.path) as store:
            return write_html(store, tmp_path / "page.html", Choice(Wanted(), data_dir=data)).restricted

    assert not restricted(first)
    first.parent.rename(second.parent)
    assert not restricted(second)
    shutil.copytree(second, first)
    assert restricted(second), "images that are still elsewhere may be anybody's"
    shutil.rmtree(first)
    (second / "MIMIC" / "0.jpg").unlink()
    assert restricted(second), "images that are nowhere may be anybody's"
