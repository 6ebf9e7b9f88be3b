"""RadGraph rewards, against the numbers of the published package, and graphs from files and another python."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from radvlm_cli.errors import DataError
from radvlm_cli.metrics.radgraph import Entity, Graph, RadGraph, rewards, text_key
from radvlm_cli.metrics.radgraph_annotations import annotate, load_graphs, read_graph, save_graphs

# "small right effusion": two modifiers of one observation.
_EFFUSION: Graph = (
    Entity("small", "OBS-DP", (("modify", 2),)),
    Entity("right", "ANAT-DP", (("modify", 2),)),
    Entity("effusion", "OBS-DP", ()),
)


def test_equal_graphs_are_worth_1() -> None:
    assert rewards(_EFFUSION, _EFFUSION) == (1, 1, 1, 1, 1)
    assert rewards(_EFFUSION, _EFFUSION).combined == 1


def test_a_dropped_relation_costs_partial_and_complete() -> None:
    one = (*_EFFUSION, Entity("heart", "ANAT-DP", (("located_at", 2),)), Entity("large", "OBS-DP", (("modify", 3),)))
    six = (*one, Entity("lungs", "ANAT-DP", (("modify", 2),)))
    dropped = (*one, Entity("lungs", "ANAT-DP", ()))
    found = rewards(dropped, six)
    assert found[:3] == pytest.approx((1, 0.833333, 0.833333), abs=1e-6)
    assert found.entity == 1
    assert found.relation == pytest.approx(2 * 4 / (4 + 5))


def test_case_counts_only_as_release_0_1_18_had_it() -> None:
    typed = (Entity("small", "OBS-DP", (("modify", 2),)), Entity("Right", "ANAT-DP", (("modify", 2),)), _EFFUSION[2])
    typed = (*typed[:2], Entity("Effusion", "OBS-DP", ()))
    assert rewards(typed, _EFFUSION)[:3] == (1, 1, 1)
    assert rewards(typed, _EFFUSION, "0.1.18")[:3] == pytest.approx((0.333333, 0.333333, 0.666667), abs=1e-6)


def test_a_graph_without_entities_is_worth_0_on_either_side() -> None:
    assert set(rewards((), _EFFUSION)) == set(rewards(_EFFUSION, ())) == set(rewards((), ())) == {0}


def test_reports_without_relations_have_no_relation_f1() -> None:
    plain = (Entity("effusion", "OBS-DA", ()),)
    assert rewards(plain, plain).relation == 0
    assert rewards(plain, plain).combined == 0.5


def test_a_report_without_a_graph_is_left_out_and_an_empty_one_counts_as_0() -> None:
    family = RadGraph({text_key("a"): _EFFUSION, text_key("b"): _EFFUSION[:2]})
    table = family.per_sample(["a", "", "not annotated"], ["a", "a", "a"])
    assert table.shape == (3, len(family.columns))
    values = family.values(table.sum(axis=0))
    assert values["radgraph_simple"] == 0.5
    assert values["radgraph_combined"] == 0.5
    assert values["radgraph_coverage"] == pytest.approx(2 / 3)
    draws = family.values(np.stack([table.sum(axis=0), table[1]]))
    assert draws["radgraph_partial"].tolist() == [0.5, 0.0]


def test_without_any_graph_nothing_is_a_number_and_the_need_is_named() -> None:
    assert "radgraph" in RadGraph().missing()[0].what
    assert RadGraph({}).missing() == ()
    values = RadGraph({}).values(RadGraph({}).per_sample(["a"], ["a"]).sum(axis=0))
    assert np.isnan(values["radgraph_partial"])
    assert values["radgraph_coverage"] == 0


def _document(graph: Graph) -> dict[str, Any]:
    entities = {
        str(place + 1): {"tokens": e.tokens, "label": e.label, "relations": [[k, str(t + 1)] for k, t in e.relations]}
        for place, e in enumerate(graph)
    }
    return {"text": "x", "entities": entities}


def test_the_package_s_form_is_read_and_ours_read_back(tmp_path: Path) -> None:
    assert read_graph(_document(_EFFUSION)) == _EFFUSION
    save_graphs(tmp_path / "graphs.json", {text_key("a"): _EFFUSION, text_key("b"): ()})
    assert load_graphs(tmp_path / "graphs.json", {}) == {text_key("a"): _EFFUSION, text_key("b"): ()}


def test_a_file_by_sample_is_brought_to_the_texts(tmp_path: Path) -> None:
    path = tmp_path / "graphs.json"
    sides = {"prediction": _document(()), "reference": _document(_EFFUSION)}
    path.write_text(json.dumps({"s1": sides, "of another set": sides}))
    assert load_graphs(path, {"s1": ("p", "r")}) == {text_key("p"): (), text_key("r"): _EFFUSION}


@pytest.mark.parametrize(
    "document",
    [
        "[",
        "[]",
        '{"0": {"entities": {}}}',
        json.dumps({"0" * 64: {"entities": {"1": {"tokens": "a", "label": "b", "relations": [["modify", "7"]]}}}}),
        json.dumps({"0" * 64: {"entities": {"1": {"tokens": 3, "label": "b", "relations": []}}}}),
        json.dumps({"0" * 64: 3}),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path: Path, document: str) -> None:
    path = tmp_path / "graphs.json"
    path.write_text(document)
    with pytest.raises(DataError):
        load_graphs(path, {})


_PACKAGE = """
class RadGraph:
    def __init__(self, model_type):
        print("loading", model_type)
    def __call__(self, texts):
        if any("bad" in text for text in texts):
            raise ValueError("cannot read: " + texts[0])
        def graph(text):
            words = text.split()
            ids = range(1, len(words) + 1)
            return {"entities": {str(i): {"tokens": w, "label": "OBS-DP", "relations": []} for i, w in zip(ids, words)}}
        return {str(place): graph(text) for place, text in enumerate(texts)}
"""


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """A python of another environment: one that finds a package named radgraph, and not ours."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "radgraph.py").write_text(_PACKAGE)
    run = (
        "import runpy, sys; program, *sys.argv = sys.argv[2:3] + sys.argv[2:]; "
        f"sys.path.insert(0, {str(tmp_path / 'site')!r}); runpy.run_path(program, run_name='__main__')"
    )
    script = tmp_path / "python"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -S -c "{run}" "$@"\n')
    script.chmod(0o755)
    return script


def test_another_python_annotates_what_is_not_known_yet(python: Path) -> None:
    told: list[int] = []
    known = {text_key("old one"): _EFFUSION}
    graphs = annotate(["b c", "", "old one", "a", "b c", "d"], python, known=known, batch=2, each=told.append)
    assert graphs[text_key("old one")] == _EFFUSION
    assert graphs[text_key("b c")] == (Entity("b", "OBS-DP", ()), Entity("c", "OBS-DP", ()))
    assert set(graphs) == {text_key(text) for text in ("old one", "a", "b c", "d")}
    assert told == [2, 1]


def test_nothing_is_started_where_all_is_known() -> None:
    assert annotate([" "], Path("/no/such/python")) == {}


@pytest.mark.parametrize("bad", ["/no/such/python", "/bin/false", "/bin/true"])
def test_a_python_that_cannot_annotate_is_named(bad: str) -> None:
    with pytest.raises(DataError, match=bad):
        annotate(["a"], Path(bad))


def test_the_package_s_error_is_told_by_its_kind_without_the_report_s_words(python: Path) -> None:
    with pytest.raises(DataError, match="ValueError") as caught:
        annotate(["bad effusion"], python)
    assert "effusion" not in f"{caught.value} {caught.value.hint}"
