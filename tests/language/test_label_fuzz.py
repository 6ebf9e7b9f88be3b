"""Mutated outputs of models through every parser: no exception, no NaN, and each comes out with a status."""

import csv
import random
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from radvlm_cli.adapters.answers import EXTRACTORS, extract
from radvlm_cli.adapters.boxes import CODECS
from radvlm_cli.labels import ABNORMALITIES
from radvlm_cli.language.label_answers import read_labels
from radvlm_cli.metrics.boxes import BoxMatching, RadvlmMap50, answer_status
from radvlm_cli.metrics.labels import LabelScores
from radvlm_cli.records import Box

ANSWERS = Path(__file__).parents[1] / "data" / "label_answers.csv"
BOX = Box(0.12, 0.3, 0.55, 0.71)
SIZE, SEEN = (1024, 800), (448, 350)
TOKENS = [
    *("</s>", "<|im_end|>", "<think>", "</think>", "<answer>", "</answer>", "\\boxed{", "}", "```json\n", "```", "**"),
    *('["', '{"', '": ', "[0.1, 0.2, 0.3]", "[[", "]]", "NaN", "Infinity", "-1e999", "9" * 400, "null", "1.2.3"),
    *("<|box|>", "<|/box|>", "<box>", "<x10><y20>", '"bbox_2d": [', "(1,2),", "No ", " not", "yes", "no", "-0.5"),
    *("\x00", "\ufeff", "\u200b", "\u0130", "\ud7ff", "\U0001f600", "\u2212", "e\u0301", "\n\n", "\t", "|", "?"),
    *("- [x] ", "cannot be "),
]  # fmt: skip


def cut(rng: random.Random, text: str, other: str) -> str:
    return text[: rng.randrange(len(text) + 1)]


def drop(rng: random.Random, text: str, other: str) -> str:
    a, b = sorted(rng.randrange(len(text) + 1) for _ in range(2))
    return text[:a] + text[b:]


def double(rng: random.Random, text: str, other: str) -> str:
    a, b = sorted(rng.randrange(len(text) + 1) for _ in range(2))
    return text[:b] + text[a:b] * rng.choice([1, 2, 30]) + text[b:]


def insert(rng: random.Random, text: str, other: str) -> str:
    a = rng.randrange(len(text) + 1)
    return text[:a] + rng.choice(TOKENS) + text[a:]


def splice(rng: random.Random, text: str, other: str) -> str:
    return text[: rng.randrange(len(text) + 1)] + other[rng.randrange(len(other) + 1) :]


def scramble(rng: random.Random, text: str, other: str) -> str:
    letters = list(text)
    for _ in range(min(4, len(letters))):
        letters[rng.randrange(len(letters))] = chr(rng.choice([rng.randrange(32, 127), rng.randrange(0xD800)]))
    return "".join(letters)


def recase(rng: random.Random, text: str, other: str) -> str:
    return rng.choice([text.upper, text.lower, text.title, text.swapcase])()


MUTATIONS: list[Callable[[random.Random, str, str], str]] = [
    cut,
    drop,
    double,
    insert,
    insert,
    splice,
    scramble,
    recase,
]


def outputs(seed: int) -> Iterator[str]:
    rng = random.Random(seed)
    with ANSWERS.open(encoding="utf-8", newline="") as file:
        seeds = [row["text"] for row in csv.DictReader(file)]
    for codec in CODECS.values():
        written = codec.write([BOX, Box(0.0, 0.0, 1.0, 1.0)], SIZE, SEEN)
        seeds += [written, f"The mass is at {written}.", f"pneumothorax {written}; edema {written}"] * 8
    while True:
        text = rng.choice(seeds)
        for _ in range(rng.randrange(1, 6)):
            text = rng.choice(MUTATIONS)(rng, text, rng.choice(seeds))[:4000]
        yield text


def check_labels(texts: list[str]) -> None:
    read = [read_labels(text) for text in texts]
    for text, answer in zip(texts, read, strict=True):
        assert answer.status in ("ok", "empty", "unparsable", "refused"), text
        assert (answer.status == "ok") == bool(answer.labels or answer.others), text
        assert (answer.status == "empty") == (not text.strip()), text
        assert answer.labels.keys() <= set(ABNORMALITIES), text
        assert {one.label for one in answer.evidence} >= answer.labels.keys() or len(answer.labels) == 13, text
        assert all(0 <= one.start <= one.end <= len(text) for one in answer.evidence), text
    family = LabelScores()
    table = family.per_sample([answer.values() for answer in read], [["Edema"]] * len(read))
    assert table.shape == (len(texts), len(family.columns))
    assert np.isfinite(table).all()
    assert table[:, :-2].sum() == 13 * len(texts)


def check_boxes(texts: list[str]) -> None:
    for codec in CODECS.values():
        read = [codec.read(text, SIZE, SEEN) for text in texts]
        for text, found in zip(texts, read, strict=True):
            assert found.malformed >= 0
            assert all(0 <= b.x_min < b.x_max <= 1 and 0 <= b.y_min < b.y_max <= 1 for b in found.boxes), text
            status = answer_status(text, found)
            assert (status == "unparsable") == bool(text.strip() and found.malformed and not found.boxes), text
        for family in (BoxMatching(), RadvlmMap50()):
            table = family.per_sample(read, [[BOX]] * len(read))
            assert table.shape == (len(texts), len(family.columns))
            assert np.isfinite(table).all()


def check_extractors(texts: list[str]) -> None:
    for text in texts:
        for name in (*EXTRACTORS, "think+answer", "think+boxed"):
            found = extract(name, text)
            assert found.text.strip() in text, name
            assert not found.missing or "+" in name or found.text == text


@pytest.mark.parametrize("check", [check_labels, check_boxes, check_extractors])
def test_mutated_outputs(check: Callable[[list[str]], None]) -> None:
    check(list(islice(outputs(seed=1), 600)))


@pytest.mark.slow
@pytest.mark.parametrize("check", [check_labels, check_boxes, check_extractors])
def test_ten_thousand_mutated_outputs(check: Callable[[list[str]], None]) -> None:
    check(list(islice(outputs(seed=2), 10_000)))


@pytest.mark.parametrize("unit", ["a", " ", "\n", "?", "no ", "edema, ", '{"a":'])
def test_a_model_that_loops_is_read_in_time_that_grows_with_its_length(unit: str) -> None:
    """It takes 0.3 s of CPU at most; a pattern whose time grew with the square took 25."""
    text = (unit * 20_000)[:20_000]
    start = time.process_time()
    assert read_labels(f"{text} edema").status in ("ok", "unparsable")
    assert time.process_time() - start < 6
