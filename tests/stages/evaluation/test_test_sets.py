"""Test sets are what the dataset was built from, the same however often it is built."""

from __future__ import annotations

import json

import pytest

from radvlm_cli.errors import ConfigError, DataError
from radvlm_cli.labels import ABNORMALITIES
from radvlm_cli.stages.evaluation.test_sets import Frozen, collect, components_of, find_dataset
from radvlm_cli.store.engine import open_store
from tests.stages.evaluation.evaluating import RECIPE, TURNS, Bench, build_dataset


def sets(bench: Bench, wanted: str | None = None, limit: int | None = None, seed: int = 0) -> dict[str, Frozen]:
    """All test sets by name."""
    with open_store(bench.path) as store:
        dataset = find_dataset(store, wanted)
        places = {"data_dir": bench.data, "derived_dir": bench.data}
        return {
            component.name: collect(store, dataset, position, component, **places, limit=limit, seed=seed)
            for position, component in components_of(dataset)
        }


def change(bench: Bench, sql: str) -> None:
    """Change the store."""
    with open_store(bench.path) as store, store.write() as connection:
        connection.exec_driver_sql(sql)


def test_references_are_those_of_the_records(bench: Bench) -> None:
    found = sets(bench)
    first = {name: frozen.samples[0] for name, frozen in found.items()}
    assert first["reports"].reference == {"text": "Report number 0."}
    assert first["findings"].reference == {"labels": {"Edema": 1, "Fracture": 0}, "positive": ["Edema"]}
    assert first["phrases"].reference == {"boxes": [[0.5, 0.5, 0.75, 0.75]]}
    assert first["phrases"].subject == "edema 0"
    assert first["boxes"].reference == {"boxes": {"Nodule/Mass": [[0.1, 0.2, 0.3, 0.4]]}}
    assert first["talks"].reference == {"turns": TURNS}
    assert first["talks"].turns == ("What is seen?", "Where?")
    assert {name: frozen.expected for name, frozen in found.items() if frozen.expected} == {
        "reports": 3314,
        "phrases": 189,
    }


def test_samples_know_their_picture_and_patient(bench: Bench) -> None:
    frozen = sets(bench)["reports"]
    second = frozen.samples[1]
    assert (second.path, second.width, second.height) == (bench.data / "mimic" / "1.jpg", 61, 80)
    assert (second.patient_id, second.study_id, second.sex, second.age, second.view) == ("p0", "s1", "F", 60, "PA")
    assert second.indication == "Cough."
    assert [sample.position for sample in frozen.samples] == list(range(5))


def test_there_are_findings_to_choose_among(bench: Bench) -> None:
    found = sets(bench)
    assert found["findings"].options == ABNORMALITIES
    assert found["boxes"].options == ("Nodule/Mass",)


def test_a_dataset_built_again_gives_the_same_test_sets(bench: Bench) -> None:
    before = sets(bench)
    with open_store(bench.path) as store:
        build_dataset(bench, store, "elsewhere")
    after = sets(bench)
    assert after["reports"].dataset_id != before["reports"].dataset_id
    assert {name: frozen.key for name, frozen in after.items()} == {name: frozen.key for name, frozen in before.items()}


def test_moved_pictures_are_the_same_test_set_and_another_reference_another(bench: Bench) -> None:
    before = sets(bench)
    (bench.folder / "data").rename(bench.folder / "moved")
    (bench.folder / "data").symlink_to(bench.folder / "moved")
    assert {name: frozen.key for name, frozen in sets(bench).items()} == {n: frozen.key for n, frozen in before.items()}
    change(bench, "UPDATE curated_text SET text = 'Other.' WHERE study_id = 's3'")
    after = sets(bench)
    assert {name for name in after if after[name].key != before[name].key} == {"reports"}


def test_a_limit_takes_the_same_samples_whatever_else_there_is(bench: Bench) -> None:
    chosen = sets(bench, limit=2)["reports"]
    assert (len(chosen.samples), chosen.found) == (2, 5)
    assert chosen.key != sets(bench)["reports"].key
    again = sets(bench, limit=3)["reports"]
    assert {sample.sample_id for sample in chosen.samples} < {sample.sample_id for sample in again.samples}
    ids = [sample.sample_id for sample in chosen.samples]
    assert ids == sorted(ids)


def test_a_store_that_lacks_what_the_dataset_was_built_from_is_refused(bench: Bench) -> None:
    change(bench, "DELETE FROM curated_text WHERE study_id = 's3'")
    with pytest.raises(DataError, match="5 pairs, 4 found") as caught:
        sets(bench)
    assert "radvlm build" in str(caught.value.hint)


def test_the_newest_dataset_of_the_evaluation_recipe_is_taken_unless_another_is_named(
    pristine: Bench, bench: Bench
) -> None:
    with open_store(bench.path) as store:
        build_dataset(bench, store, "other", RECIPE.replace("name: test", "name: mine"))
        first, other = pristine.folder / "datasets" / "test", bench.folder / "datasets" / "other"
        assert find_dataset(store, None).output == first
        assert find_dataset(store, str(other)).output == other
        assert find_dataset(store, str(other / "mine.parquet")).output == other
        assert find_dataset(store, "mine").output == other
        with pytest.raises(ConfigError, match="no complete dataset in /nowhere"):
            find_dataset(store, "/nowhere")


def test_without_a_dataset_the_command_that_builds_one_is_named(bench: Bench) -> None:
    change(bench, "DELETE FROM dataset")
    with open_store(bench.path) as store, pytest.raises(ConfigError) as caught:
        find_dataset(store, None)
    assert "radvlm build --recipe evaluation" in str(caught.value.hint)


def test_an_uncertain_finding_counts_as_the_dataset_has_it(bench: Bench) -> None:
    change(bench, """UPDATE image SET labels = '{"Edema":-1,"Fracture":0}' WHERE source = 'mimic'""")
    sample = sets(bench)["findings"].samples[0]
    assert sample.reference == {"labels": json.loads('{"Edema":-1,"Fracture":0}'), "positive": ["Edema"]}
