"""Weights of metrics, looked for on this machine alone, and what all models of metrics have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from radvlm_cli.metrics.family import Need
from radvlm_cli.program import how_to_get_models

Device = Literal["cpu", "cuda"]
TOKENIZER = ("tokenizer.json", "vocab.txt", "vocab.json")
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_TOKENS_A_BATCH = 16_384


def find_files(hub_id: str, needed: Sequence[tuple[str, ...]], given: Path | None = None) -> Path | None:
    """The folder that holds one file of each tuple: `given`, else the hub's cache. None: not there."""
    if given is not None:
        return given if all(any((given / name).is_file() for name in names) for names in needed) else None
    if find_spec("huggingface_hub") is None:
        return None
    from huggingface_hub import try_to_load_from_cache

    folder = None
    for names in needed:
        paths = [path for name in names if isinstance(path := try_to_load_from_cache(hub_id, name), str)]
        if not paths:
            return None
        folder = Path(paths[0]).parent
    return folder


def packages_missing() -> tuple[Need, ...]:
    """torch and transformers, where they are not installed."""
    absent = [name for name in ("torch", "transformers") if find_spec(name) is None]
    return (Need(" and ".join(absent), how_to_get_models()),) if absent else ()


def well_formed(text: str) -> str:
    """The text without halves of characters, which no tokenizer takes: a model's bytes cut in the wrong place."""
    return text.encode("utf-8", "replace").decode("utf-8")


def batches_by_length(lengths: Sequence[int], tokens: int = _TOKENS_A_BATCH) -> Iterator[list[int]]:
    """Numbers of texts, longest first, in batches that take at most `tokens` with their padding (or one text)."""
    batch: list[int] = []
    for number in sorted(range(len(lengths)), key=lambda number: -lengths[number]):
        if batch and (len(batch) + 1) * lengths[batch[0]] > tokens:
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch
