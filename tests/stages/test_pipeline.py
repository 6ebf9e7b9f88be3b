"""Prepare and build on the phantom world: counts are those of its manifest, component by component."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import pytest

from radvlm_cli.errors import ConfigError, DataError
from radvlm_cli.recipes import load_recipe
from radvlm_cli.sources import Options
from radvlm_cli.stages import conversions
from radvlm_cli.stages.datasets.build import BuildOptions, Built, build
from radvlm_cli.stages.evaluation.test_sets import collect, components_of, find_dataset
from radvlm_cli.stages.prepare import prepare
from radvlm_cli.store.engine import Store, open_store
from radvlm_cli.store.runs import Run, open_run
from tests.phantoms import convert_here, phantom_world


class World(NamedTuple):
    """A prepared phantom world."""

    data: Path
    derived: Path
    store: Store
    manifest: dict[str, Any]


def _prepare(run: Run, data: Path, derived: Path, sources: tuple[str, ...] = ("all",), **options: Any) -> list[Any]:
    return prepare(run, sources=sources, data_dir=data, derived_dir=derived, options=Options(**options), workers=2)


@pytest.fixture(scope="module", params=["official", "published"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp(request.param)
    data, manifest = phantom_world(tmp_path_factory, request.param)
    with pytest.MonkeyPatch.context() as patch, open_store(folder / "radvlm.db") as store:
        patch.setattr(conversions, "run_pool", convert_here)
        with open_run(store, "prepare", {}) as run:
            _prepare(run, data, folder / "derived")
        yield World(data, folder / "derived", store, manifest)


def _build(world: World, output: Path, recipe: str = "radvlm", **options: Any) -> Built:
    wanted = load_recipe(recipe)
    evaluation = load_recipe("evaluation") if recipe != "evaluation" else None
    chosen = BuildOptions(**{"seed": 0, "image_root": str(world.data.parent), **options})
    with open_run(world.store, "build", {}) as run:
        return build(
            run,
            recipe=wanted,
            evaluation=evaluation,
            output=output,
            data_dir=world.data,
            derived_dir=world.derived,
            options=chosen,
        )


@pytest.fixture(scope="module")
def train(world: World, tmp_path_factory: pytest.TempPathFactory) -> Built:
    return _build(world, tmp_path_factory.mktemp("train"))


def test_images_of_every_source_are_those_of_the_manifest(world: World) -> None:
    counts = dict(world.store.rows("SELECT source, count(*) FROM image GROUP BY source"))
    truth = {name: facts["images"] for name, facts in world.manifest["sources"].items() if facts.get("images")}
    truth = {name: truth[name] for name in counts}
    assert counts == truth
    assert set(counts) == {"mimic", "chexpert", "chexpert-plus", "vindr", "padchest", "padchest-gr", "openi"}


def test_every_training_component_has_the_true_number_of_records(world: World, train: Built) -> None:
    built = {line.component.name: line.pairs // line.component.repeat for line in train.lines}
    truth = {name: counts["after_leak_removal"] for name, counts in world.manifest["components"].items()}
    assert built == truth


def test_what_was_found_includes_records_without_a_usable_image(world: World, train: Built) -> None:
    found = {line.component.name: (line.found, line.unusable) for line in train.lines}
    truth = {
        name: (counts["records"] + counts["without_image"], counts["without_image"])
        for name, counts in world.manifest["components"].items()
    }
    assert found == truth


def test_every_evaluation_component_has_the_true_number_of_records(world: World, tmp_path: Path) -> None:
    built = {line.component.name: line.pairs for line in _build(world, tmp_path, "evaluation").lines}
    for name, counts in world.manifest["evaluation"].items():
        assert built[name] == counts["records"], name


def test_the_test_sets_are_the_evaluation_dataset(world: World, tmp_path: Path) -> None:
    lines = _build(world, tmp_path, "evaluation").lines
    dataset = find_dataset(world.store, str(tmp_path))
    places = {"data_dir": world.data, "derived_dir": world.derived}
    for (position, component), line in zip(components_of(dataset), lines, strict=True):
        frozen = collect(world.store, dataset, position, component, **places)
        assert len(frozen.samples) == line.pairs, component.name
        assert all(sample.path.is_file() and sample.width and sample.reference for sample in frozen.samples)


def test_the_leakage_check_finds_the_planted_leaks_and_nothing_else(world: World, train: Built) -> None:
    rows = world.store.rows(
        "SELECT DISTINCT leak.shared, image.image_id FROM leak JOIN dataset ON dataset.id = leak.dataset_id "
        "JOIN image ON image.id = leak.image_id WHERE dataset.output = ?",
        (str(train.output),),
    )
    found = {(shared.split()[0], shared.split()[-1], image) for shared, image in rows}
    planted = {
        (leak["cohort"], leak["patient"], image.removesuffix(".jpg"))
        for leak in world.manifest["leaks"]
        for image in leak["train_images"]
    }
    assert found == planted


def test_leaks_can_stop_the_build_and_leave_nothing_half_done(world: World, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="mimic-report 1"):
        _build(world, tmp_path, leakage="refuse")
    assert not list(tmp_path.iterdir())
    assert world.store.value("SELECT count(*) FROM dataset WHERE status = 'building'") == 0


def test_leaks_that_are_only_reported_stay_in(world: World, tmp_path: Path, train: Built) -> None:
    reported = _build(world, tmp_path, leakage="report")
    leaked = sum(line.leaked * line.component.repeat for line in reported.lines)
    assert leaked > 0
    assert reported.pairs == train.pairs + leaked


def test_protocol_paper_drops_the_studies_of_the_official_custom_rules(world: World, tmp_path: Path) -> None:
    paper = _build(world, tmp_path, protocol="paper")
    (line,) = (line for line in paper.lines if line.component.name == "mimic-classification")
    truth = world.manifest["protocol_paper"]["mimic-classification"]
    assert line.pairs == truth["records"]


def test_the_json_is_llava_exactly(world: World, train: Built) -> None:
    pairs = json.loads(train.files["llava"].read_text())
    assert len(pairs) == train.pairs
    assert len({pair["id"] for pair in pairs}) == train.pairs
    for pair in pairs:
        assert list(pair) == ["image", "conversations", "id"]
        speakers = [turn["from"] for turn in pair["conversations"]]
        assert speakers == ["human", "gpt"] * (len(speakers) // 2)
        assert pair["conversations"][0]["value"].startswith("<image>\n")
        assert sum("<image>" in turn["value"] for turn in pair["conversations"]) == 1
        assert all(turn["value"].strip() for turn in pair["conversations"])
        assert (world.data.parent / pair["image"]).is_file()


def test_parquet_holds_the_same_pairs(train: Built) -> None:
    pairs = json.loads(train.files["llava"].read_text())
    table = pq.read_table(train.files["parquet"])
    assert table.column("id").to_pylist() == [pair["id"] for pair in pairs]
    assert table.column("conversations").to_pylist() == [pair["conversations"] for pair in pairs]


def test_messages_are_in_the_chat_format(world: World, tmp_path: Path) -> None:
    built = _build(world, tmp_path, formats=("llava", "messages"))
    pairs = json.loads(built.files["llava"].read_text())
    lines = [json.loads(line) for line in built.files["messages"].read_text().splitlines()]
    assert [line["id"] for line in lines] == [pair["id"] for pair in pairs]
    first = lines[0]["messages"]
    assert [message["role"] for message in first] == ["user", "assistant"]
    assert first[0]["content"][0] == {"type": "image"}
    assert first[0]["content"][1]["text"] == pairs[0]["conversations"][0]["value"].removeprefix("<image>\n")
    assert lines[0]["images"] == [pairs[0]["image"]]


def test_the_same_build_gives_the_same_bytes(world: World, tmp_path: Path, train: Built) -> None:
    again = _build(world, tmp_path)
    for name, path in again.files.items():
        assert path.read_bytes() == train.files[name].read_bytes(), name


def test_another_seed_gives_other_words_for_the_same_records(world: World, tmp_path: Path, train: Built) -> None:
    other = _build(world, tmp_path, seed=1)
    ours, theirs = (json.loads(b.files["llava"].read_text()) for b in (train, other))
    assert other.sha256 != train.sha256
    assert [pair["image"] for pair in ours] == [pair["image"] for pair in theirs]


def test_a_components_pairs_do_not_depend_on_the_other_components(world: World, tmp_path: Path, train: Built) -> None:
    (tmp_path / "recipe.yaml").write_text(
        "name: alone\ncomponents:\n"
        "  - {name: vindr-abnormality, task: abnormality-grounding, source: vindr, split: train, repeat: 3}\n"
    )
    alone = _build(world, tmp_path / "out", str(tmp_path / "recipe.yaml"))
    whole = [p for p in json.loads(train.files["llava"].read_text()) if p["id"].startswith("vindr-abnormality-")]
    assert json.loads(alone.files["llava"].read_text()) == whole


def test_provenance_leads_from_a_pair_to_text_file_and_record(world: World, train: Built) -> None:
    rows = list(
        world.store.rows(
            "SELECT pair_id, image, text_file, report_id, boxes, conversation_file FROM pair_provenance p "
            "WHERE component IN ('mimic-report', 'mscxr-phrase', 'mimic-conversation') AND dataset = 'train'"
        )
    )
    image_study = dict(world.store.rows("SELECT image_id, study_id FROM image WHERE source = 'mimic'"))
    reported = {study for (study,) in world.store.rows("SELECT study_id FROM report WHERE source = 'mimic'")}
    assert rows
    regions = "SELECT label, boxes FROM pair_provenance WHERE component = 'imagenome-region'"
    assert all(label and len(json.loads(boxes)) == 1 for label, boxes in world.store.rows(regions))
    for pair_id, image, text_file, report, boxes, conversation_file in rows:
        assert image in pair_id
        if pair_id.startswith("mimic-report"):
            assert (world.data / text_file).is_file()
            study = image_study[image]
            assert (report is not None) == (study in reported)
        elif pair_id.startswith("mscxr-phrase"):
            assert json.loads(boxes)
        else:
            assert (world.data / conversation_file).is_file()


def test_uncertain_findings_follow_the_policy(world: World, tmp_path: Path) -> None:
    totals = {}
    for policy in ("positive", "negative", "ignore"):
        built = _build(world, tmp_path / policy, uncertain=policy)
        totals[policy] = {
            pair["id"]: pair["conversations"][1]["value"]
            for pair in json.loads(built.files["llava"].read_text())
            if "classification" in pair["id"]
        }
    assert totals["positive"].keys() == totals["negative"].keys()
    assert totals["positive"] != totals["negative"]
    assert totals["ignore"].keys() < totals["positive"].keys()


def test_a_second_prepare_changes_nothing(world: World) -> None:
    tables = ("image", "report", "grounding", "curated_text", "conversation", "artifact", "problem")

    def rows() -> dict[str, list[Any]]:
        return {table: list(world.store.rows(f"SELECT * FROM {table} ORDER BY 1, 2, 3")) for table in tables}

    with open_run(world.store, "prepare", {}) as run:
        _prepare(run, world.data, world.derived)
    settled = rows()
    with open_run(world.store, "prepare", {}) as run:
        _prepare(run, world.data, world.derived)
    again = rows()
    for table in tables:
        assert again[table] == settled[table], table


def test_failing_dicom_files_are_failed_images_with_their_true_size(world: World) -> None:
    rows = list(
        world.store.rows("SELECT image_id, reason, width FROM image WHERE source = 'vindr' AND status = 'failed'")
    )
    assert {row[0] for row in rows} == set(world.manifest["sources"]["vindr"]["failing"])
    assert all(reason and width for _name, reason, width in rows)


def test_derived_files_have_the_published_names(world: World) -> None:
    names = {path.relative_to(world.derived).as_posix().split("/", 1)[1] for path in world.derived.rglob("*.json")}
    assert {"image_resolutions_train.json", "image_resolutions_test.json"} <= names
    assert any(name.startswith("sentences_BBox_mscxr/") for name in names)
    assert list(world.derived.rglob("train_jpg/*.jpg"))
    assert list(world.derived.rglob("test_jpg/*.jpg"))


def test_a_named_source_that_is_not_there_is_an_error_with_the_place_to_get_it(tmp_path: Path, run: Run) -> None:
    with pytest.raises(DataError, match="MIMIC-CXR: image metadata not found") as caught:
        _prepare(run, tmp_path, tmp_path, ("mimic",))
    assert "physionet.org" in (caught.value.hint or "")


def test_an_annotation_source_asks_for_its_images_first(world: World, tmp_path: Path, run: Run) -> None:
    with pytest.raises(ConfigError, match="mimic, whose images it describes, is not prepared") as caught:
        _prepare(run, world.data, tmp_path, ("mscxr",))
    assert caught.value.hint == "radvlm prepare --source mimic"


def test_all_passes_over_a_source_whose_images_are_not_there(world: World, tmp_path: Path, run: Run) -> None:
    data = tmp_path / "data"
    for name in ("CHEST_IMA", "CheXpert"):
        shutil.copytree(world.data / name, data / name)
    results = {result.source: result for result in _prepare(run, data, tmp_path / "derived")}
    assert results["imagenome"].passed_over
    assert "mimic" in results["imagenome"].missing[0]
    assert not results["chexpert"].passed_over


def test_a_failed_conversion_is_one_failed_item(world: World) -> None:
    with open_run(world.store, "prepare", {}) as run:
        _prepare(run, world.data, world.derived, ("vindr",))
    assert run.failed_items == len(world.manifest["sources"]["vindr"]["failing"])


def test_rows_that_the_files_no_longer_hold_go(world: World, tmp_path: Path, run: Run) -> None:
    data = tmp_path / "data"
    shutil.copytree(world.data / "CheXpert", data / "CheXpert")
    _prepare(run, data, tmp_path / "derived", ("chexpert",))
    before = run.store.value("SELECT count(*) FROM image")
    table = data / "CheXpert" / "train.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:-1]))
    _prepare(run, data, tmp_path / "derived", ("chexpert",))
    assert run.store.value("SELECT count(*) FROM image") == before - 1


def test_images_that_come_later_are_found_by_the_next_prepare(world: World, tmp_path: Path, run: Run) -> None:
    data = tmp_path / "data"
    shutil.copytree(world.data / "CheXpert", data / "CheXpert")
    shutil.move(data / "CheXpert" / "test", tmp_path / "test")
    _prepare(run, data, tmp_path / "derived", ("chexpert",))
    assert run.store.value("SELECT count(*) FROM image WHERE status = 'missing' AND split = 'test'") > 0
    shutil.move(tmp_path / "test", data / "CheXpert" / "test")
    _prepare(run, data, tmp_path / "derived", ("chexpert",))
    assert run.store.value("SELECT count(*) FROM image WHERE status = 'missing' AND split = 'test'") == 0
