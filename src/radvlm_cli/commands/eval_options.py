"""The options of `radvlm eval`."""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from radvlm_cli.commands.options import Attention, option

WHAT, HOW, RUNS = "What", "How it is asked", "Runs"
JUDGE, METRICS = "Judging the answers of a run", "Metrics of reports and findings"


class Protocol(StrEnum):
    """How models are asked."""

    default = "default"
    paper = "paper"


class DType(StrEnum):
    """Types to compute in."""

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


class CompatName(StrEnum):
    """Other ways to count."""

    substring = "substring"


class UncertainName(StrEnum):
    """What uncertain findings count as."""

    positive = "positive"
    negative = "negative"
    drop = "drop"


class JudgeProvider(StrEnum):
    """Who serves a judge."""

    azure = "azure"
    openai = "openai"
    endpoint = "endpoint"


_option = partial(option, panel=WHAT)

Model = Annotated[
    str | None,
    _option(
        "--model", help="radvlm:PATH_OR_RUN, a folder, llavaov, ..., chat:HF_ID, endpoint:NAME, scripted; see --list."
    ),
]
Tasks = Annotated[
    list[str] | None,
    _option(
        "--task",
        help="report, classification, grounding (region, abnormality, phrase), detection, conversation, or all that "
        "the model can do (the default). May be repeated.",
    ),
]
Weights = Annotated[
    list[Path] | None,
    _option("--weights", help="Folder of the model's weights, in place of the Hugging Face cache. May be repeated."),
]
Dataset = Annotated[
    str | None,
    _option("--dataset", help="Folder of a built dataset; by default the newest that has the evaluation recipe."),
]
Limit = Annotated[int | None, _option("--limit", help="So many samples per test set, chosen by --seed.", min=1)]
Seed = Annotated[int | None, _option("--seed", help="Of the choice by --limit.")]
Gpus = Annotated[int | None, _option("--gpus", help="GPUs (of each node), one worker each; 0: the CPU.", min=0)]
Processes = Annotated[int | None, _option("--processes", help="Workers on the CPU, or of an endpoint.", min=1)]

Batch = Annotated[str | None, _option("--batch", help="Samples at once: auto, or a number.", panel=HOW)]
DTypeName = Annotated[DType | None, _option("--dtype", help="Type to compute in.", panel=HOW)]
AttentionName = Annotated[Attention | None, _option("--attn", help="Attention kernel.", panel=HOW)]
ProtocolName = Annotated[
    Protocol | None,
    _option("--protocol", help="paper: as the published evaluation asked, handicaps included.", panel=HOW),
]
BaseUrl = Annotated[str | None, _option("--base-url", help="Of an endpoint, e.g. http://localhost:8000/v1.", panel=HOW)]
MaxNewTokens = Annotated[
    int | None, _option("--max-new-tokens", help="Most new tokens of an answer.", panel=HOW, min=1)
]
Settings = Annotated[
    list[str] | None, _option("--set", help="NAME=VALUE: a setting of the model's own. May be repeated.", panel=HOW)
]
Output = Annotated[
    Path | None, _option("--output", help="Folder for the runs; evaluations/ beside the store by default.", panel=RUNS)
]
RunNumber = Annotated[int | None, _option("--run", help="With --resume: which run.", panel=RUNS)]
Again = Annotated[bool, _option("--again", help="Forget the answers there are, and ask anew.", panel=RUNS)]
ListAll = Annotated[
    bool, _option("--list", help="Models and what they can do, weights found here, evaluations so far.", panel=RUNS)
]
Rescore = Annotated[
    int | None, _option("--rescore", help="RUN: read and score its answers anew, without a GPU.", panel=RUNS)
]
CheXbert = Annotated[Path | None, _option("--chexbert", help="File chexbert.pth, or its folder.", panel=METRICS)]
CheXbertTokenizer = Annotated[
    Path | None, _option("--chexbert-tokenizer", help="Folder of bert-base-uncased.", panel=METRICS)
]
DistilBert = Annotated[
    Path | None, _option("--bertscore-distilbert", help="Folder of distilbert-base-uncased.", panel=METRICS)
]
DistilRoberta = Annotated[
    Path | None, _option("--bertscore-distilroberta", help="Folder of distilroberta-base.", panel=METRICS)
]
RadGraphAnnotations = Annotated[
    Path | None, _option("--radgraph-annotations", help="JSON file with RadGraph's graphs.", panel=METRICS)
]
RadGraphPython = Annotated[
    Path | None, _option("--radgraph-python", help="A python that has the radgraph package.", panel=METRICS)
]
CrimsonReplies = Annotated[
    Path | None,
    _option("--crimson-replies", help="JSON file of a judge's answers to CRIMSON's prompt, by sample.", panel=METRICS),
]
Meteor = Annotated[bool, _option("--meteor", help="METEOR 1.5 too, which starts Java.", panel=METRICS)]
Compat = Annotated[
    CompatName | None,
    _option("--compat", help="substring: also labels and words as the published evaluation counts.", panel=METRICS),
]
UncertainAs = Annotated[
    UncertainName, _option("--uncertain", help="What a finding said to be uncertain counts as.", panel=METRICS)
]
Green = Annotated[
    int | None,
    _option("--green", help="RUN: have GREEN's model judge its reports, on --gpus GPUs.", panel=JUDGE),
]
Judge = Annotated[
    int | None,
    _option(
        "--judge",
        help="RUN: have a language model (--base-url, or --provider and --model) grade its conversations.",
        panel=JUDGE,
    ),
]
Provider = Annotated[
    JudgeProvider | None, _option("--provider", help="Of the judge, if not a server at --base-url.", panel=JUDGE)
]
AzureModel = Annotated[str | None, _option("--azure-model", help="The judge's deployment.", panel=JUDGE)]
Concurrency = Annotated[
    int, typer.Option("--concurrency", help="Calls to the judge in flight.", min=1, max=20_000, rich_help_panel=JUDGE)
]
MaxCost = Annotated[
    float | None, _option("--max-cost", help="Dollars; stop cleanly before more is spent.", panel=JUDGE, min=0)
]
Price = Annotated[str | None, _option("--price", help="IN,CACHED,OUT dollars per million tokens.", panel=JUDGE)]
ZeroRetention = Annotated[
    bool,
    _option("--confirm-zero-retention", help="The endpoint, or the judge's provider, keeps nothing, by agreement."),
]
RetryFailed = Annotated[bool, _option("--retry-failed", help="Ask the judge anew where it failed.", panel=JUDGE)]
Follow = Annotated[int | None, _option("--follow", help="RUN: take in what its SLURM job brings.", panel=RUNS)]
