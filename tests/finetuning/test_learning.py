"""Learning, not only running: after some hundred steps the tiny recipe's model answers by what the picture shows.

Two bounds, which nothing can pass that does not look, the mean box and the most frequent box among it. All held-out
questions are the same, so whoever does not look gives every answer the same probability each time. Then the mean loss
is at least the entropy of the held-out answers, even for one who knows them all by heart; and nothing is lost when the
pictures change places.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pyarrow import parquet
from tokenizers import Tokenizer

from finetuning.anyres import Anyres
from finetuning.chat import Chat
from finetuning.collate import Collate
from finetuning.losses import find_targets, sample_means
from finetuning.manifest import ModelChoice
from finetuning.model import load_strictly
from finetuning.samples import Sample, Samples
from finetuning.table import open_table
from finetuning.trainer import forward
from radvlm_cli.demo.anatomy import make_chest
from radvlm_cli.demo.chance import generator
from radvlm_cli.demo.drawing import draw, to_8_bit
from radvlm_cli.demo.findings import Finding
from radvlm_cli.demo.lesions import boxes
from radvlm_cli.demo.tiny_model import dataset_texts, write_tiny_model
from radvlm_cli.instructions import abnormality_grounding
from radvlm_cli.training.recipe import load_recipe
from tests.finetuning.datasets import Given, write_table
from tests.finetuning.runs import Runs, code_of

SIZE = (96, 112)
"""Width and height: small pictures are drawn fast."""
STEPS = 300


def _phantoms(path: Path, count: int, name: str, *, swapped: bool = False) -> Path:
    """A table of effusions, right or left, each with the question where it is; `swapped`: of the next picture."""
    given = []
    for number in range(count):
        rng = generator(0, name, number)
        finding = Finding("effusion", ("right",) if rng.random() < 0.5 else ("left",), "large")
        chest = make_chest(rng, rng, SIZE, (finding,))
        image = path.parent / f"{name}-{number}.png"
        Image.fromarray(to_8_bit(draw(chest))).save(image)
        question, answer = abnormality_grounding.instruct("Pleural effusion", boxes(chest, finding), 0)
        given.append(Given(str(image), (question.text, answer.text), SIZE, "abnormality-grounding"))
    if swapped:
        images = [each.image for each in given]
        given = [Given(images[n - 1], each.turns, SIZE, each.task) for n, each in enumerate(given)]
    return write_table(path, given, group=count)


def _losses(model_folder: Path, table: Path) -> np.ndarray:
    """The loss of each answer of a table, in nats over all its tokens."""
    chat = Chat(Tokenizer.from_file(str(model_folder / "tokenizer.json")))
    anyres = Anyres.of_folder(model_folder)
    samples = Samples(open_table(table, table.parent / "cache"), chat, anyres, max_length=1024)
    model = load_strictly(ModelChoice(model_folder, dtype="float32"), torch.float32).eval()
    losses: list[float] = []
    for start in range(0, len(samples), 20):
        loaded = [samples[row] for row in range(start, min(start + 20, len(samples)))]
        batch = Collate(chat, anyres)([each for each in loaded if isinstance(each, Sample)])
        targets = find_targets(batch["labels"], batch["sample"])
        with torch.no_grad():
            logits = forward(model, batch, targets.keep, device=torch.device("cpu"), dtype=torch.float32)
        means, tokens = sample_means(logits, targets, len(loaded))
        losses += (means * tokens).tolist()
    return np.array(losses)


def _entropy(table: Path) -> float:
    """Of the answers in a table, in nats."""
    answers = Counter(turns[1]["value"] for turns in parquet.read_table(table)["conversations"].to_pylist())
    shares = np.array(list(answers.values())) / answers.total()
    print(f"{len(answers)} different answers of {answers.total()}")
    return float(-(shares * np.log(shares)).sum())


@pytest.mark.slow
def test_a_model_from_random_weights_learns_where_an_effusion_is(tmp_path: Path) -> None:
    train = _phantoms(tmp_path / "train.parquet", 400, "train")
    held_out = _phantoms(tmp_path / "held-out.parquet", 60, "held-out")
    swapped = _phantoms(tmp_path / "swapped.parquet", 60, "held-out", swapped=True)
    model = write_tiny_model(tmp_path / "model", dataset_texts(train))
    recipe = load_recipe("tiny").values
    recipe["data"]["workers"] = 0
    recipe["optimization"] |= {"max_steps": STEPS}
    runs = Runs(tmp_path, model, train, **recipe)
    run = runs.add("run")
    output = runs.start()
    assert code_of(run) == 0, output
    seen, not_seen = _losses(run / "final", held_out), _losses(run / "final", swapped)
    untrained = _losses(model, held_out)
    print(f"nats: {seen.mean():.2f}; untrained {untrained.mean():.2f}, pictures changed {not_seen.mean():.2f}")
    assert seen.mean() < _entropy(held_out) - 0.5 < untrained.mean()
    assert seen.mean() < not_seen.mean() - 5
