"""What the user chooses about metrics: where their weights lie, and which are computed besides the usual ones."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from radvlm_cli.metrics.labels import Uncertain
from radvlm_cli.metrics.local_models import Device
from radvlm_cli.metrics.radgraph import Graph
from radvlm_cli.metrics.radgraph_annotations import annotate, load_graphs, save_graphs
from radvlm_cli.metrics.registry import MetricOptions
from radvlm_cli.store.runs import Run

_GRAPHS = "radgraph.json"


class MetricChoice(NamedTuple):
    """The options as they were given."""

    chexbert: Path | None = None
    chexbert_tokenizer: Path | None = None
    bertscore_distilbert: Path | None = None
    bertscore_distilroberta: Path | None = None
    radgraph_annotations: Path | None = None
    radgraph_python: Path | None = None
    """An interpreter that has the radgraph package."""
    crimson_replies: Path | None = None
    """JSON file of what a judge answered to CRIMSON's prompt, by sample."""
    meteor: bool = False
    published: bool = False
    """Also as the published evaluation counts."""
    uncertain: Uncertain = "positive"


USUAL = MetricChoice()
_CHEXBERT = ("chexbert", "chexbert_tokenizer")
_GRAPHS_FROM = ("radgraph_annotations", "radgraph_python")
_WEIGHTS: Mapping[str, tuple[str, ...]] = {
    "chexbert": _CHEXBERT,
    "bertscore": ("bertscore_distilbert",),
    "bertscore_distilroberta": ("bertscore_distilroberta",),
    "radcliq": (*_GRAPHS_FROM, "bertscore_distilroberta", *_CHEXBERT),
}
"""Family -> options that say what it is computed with."""


def chosen_anew(choice: MetricChoice, family: str) -> bool:
    """Whether it is said now what a family is computed with: it may be something else than the last time."""
    return any(getattr(choice, name) is not None for name in _WEIGHTS.get(family, ()))


def metric_options(run: Run, choice: MetricChoice, folder: Path, texts: Mapping[str, tuple[str, str]]) -> MetricOptions:
    """What metrics are told. `texts`: sample -> prediction and reference, of reports; none for other tasks.

    Graphs that another python makes are kept in `folder`, so that the next scoring makes only those that are new.
    """
    return MetricOptions(
        device=_device(),
        graphs=_graphs(run, choice, folder, texts) if texts else None,
        published=choice.published,
        uncertain=choice.uncertain,
        chexbert=choice.chexbert,
        chexbert_tokenizer=choice.chexbert_tokenizer,
        bertscore_distilbert=choice.bertscore_distilbert,
        bertscore_distilroberta=choice.bertscore_distilroberta,
        with_meteor=choice.meteor,
    )


def _graphs(
    run: Run, choice: MetricChoice, folder: Path, texts: Mapping[str, tuple[str, str]]
) -> dict[str, Graph] | None:
    kept = folder / _GRAPHS
    graphs = load_graphs(kept, {}) if kept.is_file() else {}
    if choice.radgraph_annotations is not None:
        graphs |= load_graphs(choice.radgraph_annotations, texts)
    if choice.radgraph_python is not None:
        run.progress.start("RadGraph: annotating")
        wanted = [text for pair in texts.values() for text in pair]
        graphs = annotate(wanted, choice.radgraph_python, known=graphs, each=run.progress.advance)
    if graphs and (choice.radgraph_annotations or choice.radgraph_python):
        folder.mkdir(parents=True, exist_ok=True)
        save_graphs(kept, graphs)
    return graphs or None


def _device() -> Device:
    """A GPU where torch is installed and sees one."""
    if find_spec("torch") is None:
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
