"""Every task has its metrics, each with a name for people; what is missing is said with the command that gets it."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from radvlm_cli.adapters.protocol import Task
from radvlm_cli.metrics.radgraph import Entity, text_key
from radvlm_cli.metrics.registry import MetricOptions, describe, families, missing, report_order


@pytest.mark.parametrize("task", get_args(Task))
@pytest.mark.parametrize("published", [False, True])
def test_metrics_of_a_task_have_names_of_their_own(task: str, published: bool) -> None:
    listed = families(task, MetricOptions(published=published))
    assert listed
    assert len({each.family.name for each in listed}) == len(listed)
    metrics = [name for each in listed for name in each.family.values(np.zeros(len(each.family.columns)))]
    assert len(set(metrics)) == len(metrics)
    table = [name for name in report_order(metrics) if describe(name).main]
    assert table
    assert report_order(metrics)[: len(table)] == table
    assert len({describe(name).title for name in metrics}) == len(metrics)


def test_the_table_of_reports_has_clinical_metrics_first() -> None:
    listed = families("report", MetricOptions(with_meteor=True))
    metrics = [name for each in listed for name in each.family.values(np.zeros(len(each.family.columns)))]
    titles = [describe(name).title for name in report_order(metrics) if describe(name).main]
    assert titles == [
        "GREEN",
        "CRIMSON",
        "1/RadCliQ-v1",
        "RadGraph F1",
        "CheXbert micro-F1 14",
        "CheXbert macro-F1 14",
        "CheXbert micro-F1 5",
        "CheXbert macro-F1 5",
        "ROUGE-L",
        "BERTScore",
        "METEOR",
        "BLEU-4",
        "CIDEr-D",
    ]


@pytest.mark.parametrize(
    ("metric", "title", "better"),
    [
        ("f1/Edema", "F1, Edema", "higher"),
        ("micro_f1_published", "micro-F1, as published", "higher"),
        ("f1_published/Edema", "F1, Edema, as published", "higher"),
        ("bleu_4_raw", "BLEU-4, as published", "higher"),
        ("radcliq_v1", "RadCliQ-v1", "lower"),
        ("green_missing_finding", "green missing finding", "lower"),
        ("false_box_rate", "false box rate", "lower"),
        ("radgraph_coverage", "radgraph coverage", "higher"),
    ],
)
def test_names_and_directions(metric: str, title: str, better: str) -> None:
    assert describe(metric)[:2] == (title, better)


def test_what_is_missing_is_one_line_with_the_command() -> None:
    by_name = {each.family.name: each.family for each in families("report", MetricOptions(with_meteor=True))}
    told = missing(by_name["radgraph"])
    assert told is not None
    assert told.startswith("radgraph: needs graphs of the reports")
    assert "--radgraph-python" in told
    assert missing(by_name["bleu"]) is None
    given = families("report", MetricOptions(graphs={text_key("a"): (Entity("a", "b", ()),)}))
    assert missing({each.family.name: each.family for each in given}["radgraph"]) is None


def test_what_is_no_task_has_no_metrics() -> None:
    with pytest.raises(ValueError, match="'vqa' is no task"):
        families("vqa")
