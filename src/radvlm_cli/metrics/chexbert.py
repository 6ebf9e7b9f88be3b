"""CheXbert F1 of 14 and of 5 conditions, and the cosine of CheXbert embeddings (SembScore)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from radvlm_cli.errors import DataError
from radvlm_cli.metrics.chexbert_labels import FIVE, LABELS, POSITIVE, UNCERTAIN
from radvlm_cli.metrics.family import Need, Table
from radvlm_cli.metrics.local_models import TOKENIZER, Device, find_files, packages_missing
from radvlm_cli.metrics.ratios import ratio

if TYPE_CHECKING:
    from radvlm_cli.metrics.chexbert_model import CheXbertReader

HUB_ID, CHECKPOINT = "StanfordAIMI/RRG_scorers", "chexbert.pth"
TOKENIZER_ID = "bert-base-uncased"
_COUNTED = (POSITIVE, UNCERTAIN)
_COUNTS = ("tp", "fp", "fn")


class CheXbert:
    """F1 of the labels that CheXbert reads from predictions against those that it reads from references.

    A label counts where it is positive or uncertain. A blank text has no label and no likeness, so that a failed answer
    is no report without findings: the labeller itself is not asked about it.
    """

    name = "chexbert"
    version = 1
    columns = (*(f"{count}/{label}" for count in _COUNTS for label in LABELS), "similarity", "samples")

    def __init__(self, checkpoint: Path | None = None, tokenizer: Path | None = None, device: Device = "cpu") -> None:
        """`checkpoint`: chexbert.pth; `tokenizer`: folder of bert-base-uncased. None: in the hub's cache."""
        self._checkpoint = checkpoint
        self._tokenizer = tokenizer
        self._device: Device = device
        self._reader: CheXbertReader | None = None
        self._known: dict[str, tuple[Table, Table]] = {}

    def _files(self) -> tuple[Path | None, Path | None]:
        given = self._checkpoint
        if given is None:
            folder = find_files(HUB_ID, [(CHECKPOINT,)])
            checkpoint = folder / CHECKPOINT if folder else None
        else:
            checkpoint = given if given.is_file() else None
        return checkpoint, find_files(TOKENIZER_ID, [("config.json",), TOKENIZER], self._tokenizer)

    def missing(self) -> tuple[Need, ...]:
        """The checkpoint and the tokenizer."""
        checkpoint, tokenizer = self._files()
        needs = list(packages_missing())
        if checkpoint is None:
            what = f"{HUB_ID}: {CHECKPOINT}" + (f" ({self._checkpoint} is no file)" if self._checkpoint else "")
            needs.append(Need(what, f"hf download {HUB_ID} {CHECKPOINT}, or --chexbert PATH"))
        if tokenizer is None:
            what = f"the tokenizer of {TOKENIZER_ID}" + (f" (not in {self._tokenizer})" if self._tokenizer else "")
            command = f"hf download {TOKENIZER_ID} config.json tokenizer.json tokenizer_config.json vocab.txt"
            needs.append(Need(what, f"{command}, or --chexbert-tokenizer FOLDER"))
        return tuple(needs)

    def per_sample(self, predictions: Sequence[str], references: Sequence[str]) -> Table:
        """True positives, false positives, false negatives by label, cosine of embeddings, 1; shape (samples, 44).

        DataError where the checkpoint is not CheXbert's.
        """
        self._read([*predictions, *references])
        sides = [[self._known[text] for text in texts] for texts in (predictions, references)]
        said, true = (np.array([labels for labels, _ in side]).reshape(-1, len(LABELS)) > 0 for side in sides)
        rows = [said & true, said & ~true, ~said & true]
        likeness = [_cosine(said[1], true[1]) for said, true in zip(*sides, strict=True)]
        return np.column_stack([*rows, np.array(likeness), np.ones(len(predictions))]).astype(float)

    def _read(self, texts: Sequence[str]) -> None:
        """Make sure that all texts are known: labels and embedding, each text read once."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        blank = [text for text in new if not text.strip()]
        self._known |= dict.fromkeys(blank, (np.zeros(len(LABELS)), np.zeros(0)))
        if told := [text for text in new if text.strip()]:
            read = self._load().read(told)
            positive = np.isin(read.classes, _COUNTED).astype(float)
            self._known |= dict(zip(told, zip(positive, read.embeddings, strict=True), strict=True))

    def _load(self) -> CheXbertReader:
        if self._reader is None:
            from radvlm_cli.metrics.chexbert_model import CheXbertReader

            checkpoint, tokenizer = self._files()
            if checkpoint is None or tokenizer is None:
                raise DataError("CheXbert is not here", "; ".join(need.command for need in self.missing()))
            self._reader = CheXbertReader(checkpoint, tokenizer, self._device)
        return self._reader

    def values(self, sums: Table) -> dict[str, Table]:
        """Micro and macro F1 of 14 and of 5 labels, F1 of each label, mean similarity.

        A label's own F1 is NaN where neither side has it; a macro F1 takes it as 0, as the field does.
        """
        tp, fp, fn = np.moveaxis(sums[..., : 3 * len(LABELS)].reshape(*sums.shape[:-1], 3, len(LABELS)), -2, 0)
        found: dict[str, Table] = {}
        for size, places in ((len(LABELS), range(len(LABELS))), (len(FIVE), [LABELS.index(name) for name in FIVE])):
            chosen = [counts[..., list(places)] for counts in (tp, fp, fn)]
            found[f"chexbert_micro_f1_{size}"] = _f1(*(counts.sum(axis=-1) for counts in chosen))
            found[f"chexbert_macro_f1_{size}"] = np.nan_to_num(_f1(*chosen)).mean(axis=-1)
        each = _f1(tp, fp, fn)
        labels = {f"chexbert_f1/{label}": each[..., place] for place, label in enumerate(LABELS)}
        return found | {"chexbert_similarity": ratio(sums[..., -2], sums[..., -1])} | labels


def _f1(tp: Table, fp: Table, fn: Table) -> Table:
    return ratio(2 * tp, 2 * tp + fp + fn)


def _cosine(left: Table, right: Table) -> float:
    """Of two embeddings; 0 where a text was blank."""
    if not (left.size and right.size):
        return 0.0
    left, right = left.astype(float), right.astype(float)
    return float(left @ right / (np.linalg.norm(left) * np.linalg.norm(right)))
