"""The tables of docs/guide.md on what the whole takes: published counts through the code's own estimators.

What the code that `--dry-run` uses does not compute stands in docs/figures.py. docs/generate.py puts the tables into
the page, and says when they are out of date.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # finetuning lies beside docs, in no package

from figures import (
    ANSWER_TOKENS,
    BENCH_JSON,
    BENCH_PAIRS,
    BENCH_STORE,
    BUILD_S,
    CALLS_EACH,
    CORES,
    DICOM_BYTES,
    DICOM_FILES,
    DICOM_PER_CORE_S,
    DISK_BYTES_PER_S,
    DISTINCT,
    FILM,
    GPUS,
    GRAPHS_S,
    GREEN_S,
    HTML_S,
    LONGEST,
    MODELS,
    MOST_TILES,
    PREPARE_S,
    REPORT_TOKENS,
    ROUNDS,
    STUDIES,
    TEXT_TOKENS,
    TOKENS_PER_S,
    TOLD_BESIDE,
    UNPUBLISHED,
    WRITTEN,
)

from finetuning.anyres import Anyres, capped
from finetuning.flops import forward_flops, sizes_of
from radvlm_cli.llm.pricing import batch_share, find_price
from radvlm_cli.llm.prompting import load_messages
from radvlm_cli.llm.tokens import message_tokens
from radvlm_cli.recipes import load_recipe
from radvlm_cli.stages.texts.converse import PUBLISHED
from radvlm_cli.stages.texts.estimate import guessed_output
from radvlm_cli.stages.texts.writing import MAX_TOKENS
from radvlm_cli.training import estimate
from radvlm_cli.training.recipe import load_recipe as load_training_recipe


class Load(NamedTuple):
    """A dataset as a model gets it."""

    pairs: int
    tokens: int
    forward: dict[str, float]
    """Operations of a forward pass over all pairs: vision tower, rest."""


def pictures() -> list[tuple[int, int, int]]:
    """Pairs, width and height of their pictures, by component of the published recipe."""
    owners = {"imagenome": "mimic", "mscxr": "mimic", "chexpert-plus": "chexpert"}
    parts = load_recipe("radvlm").components
    return [((part.expected or 0) * part.repeat, *FILM[owners.get(part.source, part.source)]) for part in parts]


def load(model: str, *, max_side: int | None = None) -> Load:
    """The published composition, counted as `radvlm train --dry-run` counts a dataset."""
    config = MODELS[model]
    parts = {name: SimpleNamespace(**config[name]) for name in ("text_config", "vision_config")}
    sizes, anyres = sizes_of(SimpleNamespace(**parts)), Anyres.of_config(config)
    pairs, tokens, tower, rest = 0, 0, 0.0, 0.0
    for count, width, height in pictures():
        tiling = anyres.tiling(*capped(width, height, max_side))
        length = tiling.tokens + TEXT_TOKENS
        one = forward_flops(sizes, lengths=[length], tiles=tiling.tiles, supervised=ANSWER_TOKENS)
        pairs, tokens, tower, rest = (
            pairs + count,
            tokens + count * length,
            tower + count * one[0],
            rest + count * one[1],
        )
    return Load(pairs, tokens, {"vision tower": tower, "rest": rest})


def training_table() -> str:
    """Recipes on eight H100: hours, GPU hours, memory, disk."""
    lines = ["| recipe | tokens | hours | GPU hours | GiB per GPU | GB a checkpoint |", "|---|--:|--:|--:|--:|--:|"]
    for recipe, model, side in (
        ("radvlm-7b", "7b", None),
        ("radvlm-7b", "7b", 1024),
        ("radvlm-7b", "7b", 512),
        ("radvlm-7b-lora", "7b", None),
        ("radvlm-0.5b", "0.5b", None),
    ):
        settings = load_training_recipe(recipe).values
        found = load(model, max_side=side)
        flops = estimate.training_flops({"forward_flops": found.forward}, settings)
        slow, quick = (estimate.hours(flops, GPUS, mfu) for mfu in estimate.MFU)
        memory = estimate.memory(MODELS[model], settings, world=GPUS, longest=LONGEST, most_tiles=MOST_TILES)
        name = f"`{recipe}`" + (f", `--max-image-side {side}`" if side else "")
        size = estimate.checkpoint_bytes(MODELS[model], settings) / 1e9
        cells = (name, f"{found.tokens / 1e9:.1f} G", _span(quick, slow), _span(quick * GPUS, slow * GPUS))
        lines.append(f"| {' | '.join(cells)} | {memory.gpu:.0f} | {size:.0f} |")
    return "\n".join(lines)


class Calls(NamedTuple):
    """A stage's calls to a language model, least or most."""

    calls: float
    inputs: float
    outputs: float


def curate_calls(end: int) -> Calls:
    """All reports; `end` 0 for the least that it may be, 1 for the most."""
    calls = STUDIES * DISTINCT[end] * CALLS_EACH[end]
    told = calls * REPORT_TOKENS[end]
    return Calls(calls, calls * _fixed("curate-dictated") + told, guessed_output("curate", calls, told))


def converse_calls(end: int) -> Calls:
    """The published number of dialogues, for training and testing."""
    recipes = [part for name in ("radvlm", "evaluation") for part in load_recipe(name).components]
    standard = sum(PUBLISHED.values())
    grounded = sum(part.expected or 0 for part in recipes if part.task == "grounded-conversation")
    inputs = standard * _fixed("converse-standard") + grounded * _fixed("converse-grounded")
    calls, told = standard + grounded, (standard + grounded) * (REPORT_TOKENS[end] + TOLD_BESIDE)
    times = CALLS_EACH[end]
    return Calls(calls * times, (inputs + told) * times, guessed_output("converse", calls * times, told * times))


def _fixed(prompt: str) -> int:
    return message_tokens((*load_messages(prompt), {"role": "user", "content": ""}))


def texts_table() -> str:
    """Dollars by model, least and most, without prompt-cache discounts."""
    head = "| model | curate | converse | both | both, `--batch` |"
    lines = [head, "|---|--:|--:|--:|--:|"]
    for model in ("gpt-5.1", "gpt-4.1", "gpt-4.1-mini", "gpt-5-mini", "gpt-6-luna"):
        price = find_price(model)
        assert price is not None
        spans = [
            [(made.inputs * price.input + made.outputs * price.output) / 1e6 for made in map(stage, (0, 1))]
            for stage in (curate_calls, converse_calls)
        ]
        both = [sum(ends) for ends in zip(*spans, strict=True)]
        cells = [*spans, both, [dollars * batch_share() for dollars in both]]
        lines.append(f"| {model} | " + " | ".join(f"${_span(*cell)}" for cell in cells) + " |")
    return "\n".join(lines)


def stages_table() -> str:
    """A row per stage: time, disk, cost, and how they were come by."""
    lines = ["| stage | time | disk | cost | how come by |", "|---|---|---|---|---|"]
    for row in (*_data_rows(), *_text_rows(), *_training_rows(), *_evaluation_rows()):
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


_Row = tuple[str, str, str, str, str]


def _data_rows() -> list[_Row]:
    pairs = load("7b").pairs
    graphs = PREPARE_S + GRAPHS_S * (40 / 13 - 1)
    slowest, quickest = (DICOM_FILES / rate / CORES for rate in reversed(DICOM_PER_CORE_S))
    reading = [DICOM_BYTES / speed for speed in DISK_BYTES_PER_S]
    store = BENCH_STORE * pairs / BENCH_PAIRS / 1e9
    json = BENCH_JSON * pairs / BENCH_PAIRS / 1e9
    return [
        (
            "`prepare`, tables",
            _minutes(PREPARE_S, graphs),
            f"{store:.0f} GB of store",
            "CPU",
            "measured at full size, 2 cores, small scene graphs scaled; disk on a twentieth",
        ),
        (
            "`prepare`, VinDr-CXR",
            _minutes(max(reading[0], quickest), max(reading[1], slowest)),
            f"below {DICOM_FILES * 1024**2 / 1e9:.0f} GB",
            "CPU",
            f"reading {DICOM_BYTES / 1e9:.0f} GB at 1 to 0.1 GB/s; decoding is measured, on {CORES} cores "
            f"{_minutes(quickest, slowest)}",
        ),
        ("`build`", f"{BUILD_S} s", f"{json:.1f} GB", "CPU", "measured at full size, 2 cores; disk on a twentieth"),
    ]


def _text_rows() -> list[_Row]:
    rows = []
    for name, stage, count in (("curate", curate_calls, STUDIES), ("converse", converse_calls, None)):
        least, most = stage(0), stage(1)
        calls = _span(least.calls / 1000, most.calls / 1000)
        admitted = [made.inputs + made.calls * MAX_TOKENS[name] for made in (least, most)]
        told = f"{calls} thousand calls, {_span(least.outputs / 1e6, most.outputs / 1e6)} M tokens written"
        own = [made.outputs / 1000 / 3600 for made in (least, most)]
        hosted = [tokens / 1e6 / 60 for tokens in admitted]
        time = f"{_span(*own)} h at 1,000 written tokens/s; hosted {_span(*hosted)} h at 1 M tokens a minute"
        files = f", {count / 1000:,.0f} thousand small files" if count else ""
        rows.append(
            (f"`{name}`", time, f"below 1 GB{files}", "GPUs of your own, or [dollars](#hosted)", f"{told}: arithmetic")
        )
    return rows


def _training_rows() -> list[_Row]:
    settings = load_training_recipe("radvlm-7b").values
    flops = estimate.training_flops({"forward_flops": load("7b").forward}, settings)
    slow, quick = (estimate.hours(flops, GPUS, mfu) for mfu in estimate.MFU)
    checkpoint = estimate.checkpoint_bytes(MODELS["7b"], settings) / 1e9
    weights = estimate.parameters(MODELS["7b"]).total * 2 / 1e9
    passes = [4 * weights * 1e9 / speed for speed in DISK_BYTES_PER_S]
    mfus = " to ".join(f"{mfu:.0%}" for mfu in reversed(estimate.MFU))
    return [
        (
            "`train`",
            f"{_span(quick, slow)} h",
            f"{3 * checkpoint:.0f} GB",
            f"{_span(quick * GPUS, slow * GPUS)} GPU hours",
            f"arithmetic, {mfus} of the GPUs' peak",
        ),
        ("`convert`", _minutes(*passes), f"{weights:.0f} GB", "CPU", "arithmetic: read, written, read twice"),
    ]


def _evaluation_rows() -> list[_Row]:
    counts = {part.task: 0 for part in load_recipe("evaluation").components}
    for part in load_recipe("evaluation").components:
        counts[part.task] += part.expected or UNPUBLISHED[part.name]
    turns = {task: count * (ROUNDS if "conversation" in task else 1) for task, count in counts.items()}
    asked, tokens = sum(turns.values()), sum(count * WRITTEN.get(task, 30) for task, count in turns.items())
    found = load("7b")
    reading = sum(found.forward.values()) / found.pairs * asked / (estimate.H100_FLOPS * estimate.MFU[0])
    alone = (reading + tokens / TOKENS_PER_S) / GPUS
    batched = (reading + tokens / TOKENS_PER_S / GPUS) / GPUS
    green = counts["report"] * GREEN_S / GPUS
    return [
        (
            "`eval`, a 7B",
            _minutes(batched, alone),
            "below 1 GB",
            f"{_span(*(seconds * GPUS / 3600 for seconds in (batched, alone)))} GPU hours",
            f"arithmetic: {asked:,} answers in batches of 8, or one by one",
        ),
        (
            "`eval --green`",
            _minutes(green, green),
            "",
            f"{_short(green * GPUS / 3600)} GPU hours",
            f"{GREEN_S} s a report on an A100, as published by RadEval",
        ),
        (
            "`report --html`",
            f"{_span(*HTML_S)} s",
            "below 4 MB",
            "CPU",
            "measured on a store of 1.1 M images and 500,000 answers",
        ),
    ]


def _span(low: float, high: float) -> str:
    a, b = _short(low), _short(high)
    return a if a == b else f"{a} to {b}"


def _short(value: float) -> str:
    """Two digits that count, three from a thousand on."""
    if value < 10:
        return f"{value:.1f}".removesuffix(".0")
    return f"{float(f'{value:.{2 if value < 1000 else 3}g}'):,.0f}"


def _minutes(low_s: float, high_s: float) -> str:
    """A span of time in minutes; below two, in seconds."""
    if high_s < 120:
        return f"{_span(round(low_s), round(high_s))} s"
    low, high = max(1, round(low_s / 60)), max(1, round(high_s / 60))
    return f"{low} min" if low == high else f"{low} to {high} min"
