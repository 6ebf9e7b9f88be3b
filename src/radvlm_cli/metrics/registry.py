"""Which metrics a task has, in the order of the report, what each is called, and what it lacks here.

A task's families are imported when they are asked for: a report on boxes has no need of those of texts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from radvlm_cli.metrics.family import Family, Need, Table

if TYPE_CHECKING:
    from radvlm_cli.metrics.labels import Uncertain
    from radvlm_cli.metrics.local_models import Device
    from radvlm_cli.metrics.radgraph import Compat, Graph

Reads = Literal["text", "labels", "substring labels", "boxes", "labelled boxes", "green", "crimson", "judge"]
"""What a family's predictions are. text: the answer; labels: finding -> 1, 0, -1; substring labels: findings that the
published evaluation reads; boxes; labelled boxes: finding -> boxes; green, crimson: records.JudgeReply or None; judge:
metrics.judge.Judged or None."""


class Listed(NamedTuple):
    """A family of a task."""

    family: Family
    reads: Reads
    models: bool = False
    """Whether it runs a model over every report, which takes its time."""


class MetricOptions(NamedTuple):
    """What may be chosen about metrics, and where weights lie if not in the hub's cache."""

    device: Device = "cpu"
    graphs: Mapping[str, Graph] | None = None
    """RadGraph's, by radgraph.text_key; None: there are none."""
    radgraph_compat: Compat = ""
    published: bool = False
    """Also as the published evaluation counts: words split at white space, labels by substring."""
    uncertain: Uncertain = "positive"
    chexbert: Path | None = None
    chexbert_tokenizer: Path | None = None
    bertscore_distilbert: Path | None = None
    bertscore_distilroberta: Path | None = None
    with_meteor: bool = False
    """METEOR starts Java, and takes a minute for some thousand reports."""
    meteor: Path | None = None
    """meteor-1.5.jar, if not that of the package pycocoevalcap."""


_USUAL = MetricOptions()
Better = Literal["higher", "lower", ""]
"""'': neither, it describes."""


class Metric(NamedTuple):
    """How a metric is shown."""

    title: str
    better: Better
    main: bool = False
    """Whether it stands in the report's table; the others are shown on demand."""


def families(task: str, options: MetricOptions = _USUAL) -> tuple[Listed, ...]:
    """The families of a task (adapters.protocol.Task), clinical ones first. ValueError for what is no task."""
    if task == "report":
        return _report(options)
    if task == "classification":
        return _classification(options)
    if task in ("region", "abnormality", "phrase"):
        from radvlm_cli.metrics.boxes import BoxMatching, RadvlmMap50

        return (Listed(BoxMatching(), "boxes"), Listed(RadvlmMap50(), "boxes"))
    if task == "detection":
        from radvlm_cli.metrics.boxes import LabelledBoxes

        return (Listed(LabelledBoxes(), "labelled boxes"),)
    if task == "conversation":
        from radvlm_cli.metrics.judge import ConversationJudge

        return (Listed(ConversationJudge(), "judge"),)
    raise ValueError(f"{task!r} is no task")


def _classification(options: MetricOptions) -> tuple[Listed, ...]:
    from radvlm_cli.metrics.labels import LabelScores

    listed = (Listed(LabelScores(uncertain=options.uncertain), "labels"),)
    if not options.published:
        return listed
    published = LabelScores(uncertain=options.uncertain, published=True, name="labels_published")
    return (*listed, Listed(Suffixed(published, "_published"), "substring labels"))


def _report(options: MetricOptions) -> tuple[Listed, ...]:
    from radvlm_cli.metrics.bertscore import BertScore
    from radvlm_cli.metrics.bleu import Bleu
    from radvlm_cli.metrics.chexbert import CheXbert
    from radvlm_cli.metrics.cider import CiderD
    from radvlm_cli.metrics.crimson import Crimson
    from radvlm_cli.metrics.green import Green
    from radvlm_cli.metrics.radcliq import RadCliQ
    from radvlm_cli.metrics.radgraph import RadGraph
    from radvlm_cli.metrics.rouge import Rouge

    radgraph = RadGraph(options.graphs, options.radgraph_compat)
    chexbert = CheXbert(options.chexbert, options.chexbert_tokenizer, options.device)
    roberta = BertScore("distilroberta", options.bertscore_distilroberta, device=options.device)
    distilbert = BertScore("distilbert", options.bertscore_distilbert, device=options.device)
    # RadCliQ was fitted to graphs compared letter by letter, case and all.
    radcliq = RadCliQ(radgraph=RadGraph(options.graphs, "0.1.18"), bertscore=roberta, chexbert=chexbert)
    listed = [
        Listed(Green(), "green"),
        Listed(Crimson(), "crimson"),
        Listed(radcliq, "text", models=True),
        Listed(radgraph, "text"),
        Listed(chexbert, "text", models=True),
        Listed(Rouge(), "text"),
        Listed(distilbert, "text", models=True),
        Listed(roberta, "text", models=True),
        Listed(Bleu(), "text"),
        Listed(CiderD(), "text"),
    ]
    if options.with_meteor:
        from radvlm_cli.metrics.meteor import Meteor

        listed.insert(-2, Listed(Meteor(options.meteor), "text"))
    if options.published:
        listed += [Listed(Bleu("raw"), "text"), Listed(CiderD("raw"), "text")]
    return tuple(listed)


def missing(family: Family) -> str | None:
    """What a family lacks here and the commands that get it, in one line; None: it can run."""
    needs = family.missing()
    if not needs:
        return None
    return f"{family.name}: needs " + "; ".join(f"{need.what}: {need.command}" for need in needs)


class Suffixed:
    """A family whose metrics have a suffix to their names, to stand beside the same metrics counted otherwise."""

    def __init__(self, family: Family, suffix: str) -> None:
        self.name = family.name
        self.version = family.version
        self.columns = family.columns
        self._family = family
        self._suffix = suffix

    def missing(self) -> tuple[Need, ...]:
        """As the family itself."""
        return self._family.missing()

    def per_sample(self, predictions: Sequence[Any], references: Sequence[Any]) -> Table:
        """As the family itself."""
        return self._family.per_sample(predictions, references)

    def values(self, sums: Table) -> dict[str, Table]:
        """The family's, under their own names; the suffix comes before a label."""
        named = {}
        for name, value in self._family.values(sums).items():
            metric, slash, label = name.partition("/")
            named[f"{metric}{self._suffix}{slash}{label}"] = value
        return named


class OfJudge(Suffixed):
    """A family of one of several judges: the judge's name is what its metrics are a part of."""

    def __init__(self, family: Family, judge: str) -> None:
        super().__init__(family, f"/{judge}")
        self.name = f"{family.name}/{judge}"


_METRICS: dict[str, Metric] = {
    "green": Metric("GREEN", "higher", main=True),
    "green_errors": Metric("GREEN significant errors", "lower"),
    "green_matched": Metric("GREEN matched findings", ""),
    "crimson": Metric("CRIMSON", "higher", main=True),
    "radcliq_v1_inverse": Metric("1/RadCliQ-v1", "higher", main=True),
    "radcliq_v1": Metric("RadCliQ-v1", "lower"),
    "radgraph_partial": Metric("RadGraph F1", "higher", main=True),
    "radgraph_simple": Metric("RadGraph F1, simple", "higher"),
    "radgraph_complete": Metric("RadGraph F1, complete", "higher"),
    "radgraph_combined": Metric("RadGraph combined", "higher"),
    "chexbert_micro_f1_14": Metric("CheXbert micro-F1 14", "higher", main=True),
    "chexbert_macro_f1_14": Metric("CheXbert macro-F1 14", "higher", main=True),
    "chexbert_micro_f1_5": Metric("CheXbert micro-F1 5", "higher", main=True),
    "chexbert_macro_f1_5": Metric("CheXbert macro-F1 5", "higher", main=True),
    "chexbert_similarity": Metric("SembScore", "higher"),
    "chexbert_f1": Metric("CheXbert F1", "higher"),
    "rouge_l": Metric("ROUGE-L", "higher", main=True),
    "rouge_1": Metric("ROUGE-1", "higher"),
    "rouge_2": Metric("ROUGE-2", "higher"),
    "bertscore": Metric("BERTScore", "higher", main=True),
    "bertscore_distilroberta": Metric("BERTScore, distilroberta", "higher"),
    "meteor": Metric("METEOR", "higher", main=True),
    "bleu_4": Metric("BLEU-4", "higher", main=True),
    **{f"bleu_{order}": Metric(f"BLEU-{order}", "higher") for order in (1, 2, 3)},
    "cider_d": Metric("CIDEr-D", "higher", main=True),
    "micro_f1": Metric("micro-F1", "higher", main=True),
    "macro_f1": Metric("macro-F1", "higher", main=True),
    "exact_match": Metric("exact match", "higher"),
    "f1": Metric("F1", "higher"),
    "f1_50": Metric("F1@0.5", "higher", main=True),
    "miou": Metric("mIoU", "higher", main=True),
    "accuracy_50": Metric("Acc@0.5", "higher", main=True),
    "accuracy_30": Metric("Acc@0.3", "higher"),
    "matched_iou": Metric("IoU of matched boxes", "higher"),
    "radvlm_map50": Metric("mAP@0.5, RadVLM definition", "higher", main=True),
    "detection_f1_50": Metric("F1@0.5", "higher", main=True),
    "any_label_f1_50": Metric("F1@0.5, any label", "higher"),
    "clean_specificity": Metric("specificity on clean images", "higher", main=True),
    "coco_ap50": Metric("AP50", "higher"),
    "coco_ap": Metric("AP", "higher"),
    "judge_overall": Metric("judge, overall", "higher", main=True),
    "judge_overall_judged": Metric("judge, overall, graded only", "higher"),
    "judge_round": Metric("judge, per round", "higher"),
}
_ENDS: tuple[tuple[str, Better], ...] = (
    ("_coverage", "higher"),
    ("_rate", "lower"),
    ("_finding", "lower"),
    ("_findings", "lower"),
    ("_errors", "lower"),
    ("_location", "lower"),
    ("_severity", "lower"),
    ("_comparison", "lower"),
)
"""What metrics that end so are like: shares that went wrong, numbers of errors."""
_PUBLISHED = {"_published": ", as published", "_raw": ", as published"}


def describe(metric: str) -> Metric:
    """How a metric is shown; one of a label (`f1/Edema`) is shown by its label. A name that is new gets no airs."""
    name, _slash, label = metric.partition("/")
    for suffix, remark in _PUBLISHED.items():
        if name.endswith(suffix):
            plain = describe(f"{name.removesuffix(suffix)}{_slash}{label}")
            return Metric(plain.title + remark, plain.better)
    if label:
        return Metric(f"{describe(name).title}, {label}", describe(name).better)
    if name in _METRICS:
        return _METRICS[name]
    better: Better = next((better for end, better in _ENDS if name.endswith(end)), "higher")
    return Metric(name.replace("_", " "), better)


def report_order(metrics: Sequence[str]) -> list[str]:
    """Metrics of one evaluation in the order in which a report has them: those of its table first."""
    places = {name: place for place, name in enumerate(_METRICS)}

    def place(metric: str) -> tuple[bool, int]:
        return not describe(metric).main, places.get(metric.partition("/")[0], len(places))

    return sorted(metrics, key=place)
