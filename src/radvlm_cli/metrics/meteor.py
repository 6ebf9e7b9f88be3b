"""METEOR 1.5 (Denkowski and Lavie 2014), English: the authors' Java program aligns, the formula is ours.

The program's counts of a sample are what sums; the score of a corpus is the formula on summed counts, as the program
and the tables of the field have it, not the mean of the samples' scores.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from radvlm_cli.errors import DataError
from radvlm_cli.metrics.family import Need, Table
from radvlm_cli.metrics.ratios import ratio

JAR = "meteor-1.5.jar"
MODULES = {"exact": 1.0, "stem": 0.6, "synonym": 0.8, "paraphrase": 0.6}
"""How much a match of each kind counts."""
ALPHA, BETA, GAMMA, DELTA = 0.85, 0.2, 0.6, 0.75
"""Weight of recall; exponent and weight of the penalty on fragments; weight of content words against function words."""
_SIDES = ("prediction", "reference")
_HEAP = "-Xmx2G"


class Meteor:
    """METEOR of a corpus."""

    name = "meteor"
    version = 1
    columns = (
        *(f"{side}_{words}" for words in ("words", "function_words") for side in _SIDES),
        *(f"{side}_{module}_{kind}" for module in MODULES for kind in ("content", "function") for side in _SIDES),
        "chunks",
        *(f"{side}_matched" for side in _SIDES),
    )

    def __init__(self, jar: Path | None = None) -> None:
        """`jar`: meteor-1.5.jar beside its `data` folder, where pycocoevalcap is not installed."""
        self._jar = jar or _packaged()

    def missing(self) -> tuple[Need, ...]:
        """Java and the program."""
        needs = []
        if shutil.which("java") is None:
            needs.append(Need("java >= 8 on the PATH", "apt-get install default-jre-headless"))
        if self._jar is None or not self._jar.is_file():
            needs.append(Need(f"{JAR}, which pycocoevalcap ships", "pip install -c constraints.txt '.[meteor]'"))
        return tuple(needs)

    def per_sample(self, predictions: Sequence[str], references: Sequence[str]) -> Table:
        """What METEOR counts in each sample; shape (samples, 23). DataError where the program fails."""
        lines = [f"SCORE ||| {_line(r)} ||| {_line(p)}\n" for p, r in zip(predictions, references, strict=True)]
        rows = [line.split() for line in self._ask("".join(lines)).splitlines()]
        if len(rows) != len(lines) or any(len(row) != len(self.columns) for row in rows):
            raise DataError(f"METEOR answered {len(rows)} lines to {len(lines)}, or not of {len(self.columns)} counts")
        table = np.array(rows, float).reshape(len(lines), len(self.columns))
        lengths, chunks, matched = table[:, :2], table[:, -3], table[:, -2:]
        chunks[(matched == lengths).all(axis=1) & (chunks == 1)] = 0  # one piece from end to end is no fragment
        return table

    def _ask(self, lines: str) -> str:
        command = ["java", "-Dfile.encoding=UTF-8", "-jar", _HEAP, str(self._jar), "-", "-", "-stdio", "-l", "en"]
        done = subprocess.run(
            [*command, "-norm"], input=lines.encode("utf-8", "replace"), capture_output=True, check=False
        )
        if done.returncode:
            raise DataError(f"METEOR ended with {done.returncode}: {done.stderr.decode('utf-8', 'replace')[-500:]}")
        return done.stdout.decode("utf-8", "replace")

    def values(self, sums: Table) -> dict[str, Table]:
        """The score; NaN without a reference's word."""
        weights = np.outer(list(MODULES.values()), (DELTA, 1 - DELTA)).ravel()
        lengths, function = sums[..., :2], sums[..., 2:4]
        matches = sums[..., 4:20].reshape(*sums.shape[:-1], weights.size, 2)
        weighted = np.einsum("...ws,w->...s", matches, weights)
        quotients = ratio(weighted, DELTA * (lengths - function) + (1 - DELTA) * function)
        precision, recall = np.nan_to_num(quotients[..., 0]), quotients[..., 1]
        mean = ratio(precision * recall, ALPHA * precision + (1 - ALPHA) * recall)
        fragments = np.nan_to_num(ratio(sums[..., 20], sums[..., 21:].mean(axis=-1)))
        scores = np.nan_to_num(mean) * (1 - GAMMA * fragments**BETA)
        return {"meteor": np.where(np.isnan(recall), np.nan, scores)}


def _line(text: str) -> str:
    """A text on one line, without METEOR's own separator."""
    return " ".join(text.replace("|||", " ").split())


def _packaged() -> Path | None:
    spec = find_spec("pycocoevalcap")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    return Path(folders[0]) / "meteor" / JAR if folders else None
