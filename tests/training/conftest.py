"""A built dataset, a model folder, and the command line with a stand-in for torch and the program's model."""

from __future__ import annotations

import io
import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from radvlm_cli.main import run
from tests.stores import empty_store

ROOT = Path(__file__).parents[2]
STAND_IN = Path(__file__).parent / "stand_in"

TEXT_7B = {
    "vocab_size": 152064,
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "tie_word_embeddings": False,
}
VISION = {
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "num_hidden_layers": 26,
    "image_size": 384,
    "patch_size": 14,
    "num_attention_heads": 16,
}
CONFIG_7B: dict[str, Any] = {
    "model_type": "llava_onevision",
    "text_config": TEXT_7B,
    "vision_config": VISION,
    "image_grid_pinpoints": [[384 * h, 384 * w] for h in range(1, 7) for w in range(1, 7)],
    "vision_aspect_ratio": "anyres_max_9",
}


class World:
    """A folder with a dataset and a model, and the command line over a store in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "radvlm.db"
        self.runs = folder / "runs"
        self.runs.mkdir()
        empty_store(self.store)
        path = ["PYTHONPATH", os.pathsep.join([str(STAND_IN), str(ROOT / "src")])]
        self.environment = {**os.environ, path[0]: path[1], "RADVLM_STORE": str(self.store), "COLUMNS": "200"}

    def words(self, *options: str) -> list[str]:
        """The command line of `radvlm train`."""
        return [sys.executable, "-m", "radvlm_cli", "train", *options]

    def new(self, *options: str) -> list[str]:
        """The command line of a new run of the tiny recipe."""
        chosen = ("--gpus", "0", "--recipe", "tiny", "--dataset", "data", "--model", "model")
        return self.words(*chosen, "--save-steps", "4", *options)

    def run(self, words: list[str]) -> subprocess.CompletedProcess[str]:
        """Run a command line to its end, in this process: a new one would import everything again."""
        typed = words[words.index("radvlm_cli") + 1 :]
        with (
            pytest.MonkeyPatch.context() as patch,
            redirect_stdout(io.StringIO()) as out,
            redirect_stderr(io.StringIO()) as err,
        ):
            for name, value in self.environment.items():
                patch.setenv(name, value)
            patch.chdir(self.folder)
            patch.setattr(sys, "argv", ["radvlm", *typed])
            code = run(typed)
        return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())

    def call(self, words: list[str]) -> str:
        """What another program says."""
        done = subprocess.run(words, env=self.environment, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    def start(self, words: list[str]) -> subprocess.Popen[str]:
        """Start a command line."""
        return subprocess.Popen(
            words, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows from the store."""
        with closing(sqlite3.connect(self.store)) as connection:
            return connection.execute(sql).fetchall()

    def steps(self, run: int = 1) -> list[int]:
        """The steps of a run, as the store has them."""
        return [step for (step,) in self.query(f"SELECT step FROM training_step WHERE run_id = {run} ORDER BY step")]

    def tell(self, name: str, value: str) -> None:
        """Tell the stand-in trainer how to behave."""
        (self.runs / name).write_text(value)


def write_table(path: Path, image: Path, pairs: int = 64) -> None:
    """A built dataset of equal pairs over one picture."""
    spoken = [{"from": "human", "value": "<image>\nWhat is seen?"}, {"from": "gpt", "value": "Nothing."}]
    row = {"image": str(image), "conversations": spoken, "task": "report", "width": 64, "height": 48}
    path.parent.mkdir(exist_ok=True)
    parquet.write_table(pa.Table.from_pylist([{"id": f"pair-{n}", **row} for n in range(pairs)]), path)


def write_model(folder: Path, config: dict[str, Any]) -> None:
    """A folder that looks like a model, without weights."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"")


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A dataset, a model of the 7B's shape without weights, and an empty folder of runs."""
    image = tmp_path / "picture.png"
    Image.new("L", (64, 48)).save(image)
    write_table(tmp_path / "data" / "train.parquet", image)
    write_model(tmp_path / "model", CONFIG_7B)
    return World(tmp_path)
