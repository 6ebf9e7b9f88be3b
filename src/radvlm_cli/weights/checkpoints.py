"""What lies in a folder: weights as safetensors or torch files, DeepSpeed shards, an adapter, or a run of ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from radvlm_cli.errors import DataError
from radvlm_cli.weights.configs import read_json
from radvlm_cli.weights.rules import find_layout, raise_faults, rename
from radvlm_cli.weights.shards import read_header
from radvlm_cli.weights.tensors import Tensor

COMPLETE_MARK = "radvlm_checkpoint.json"
_FORMS = (
    ("model.safetensors.index.json", "model*.safetensors"),
    ("pytorch_model.bin.index.json", "pytorch_model*.bin"),
)


class Checkpoint(NamedTuple):
    """A checkpoint whose tensors are known by name and not yet read."""

    folder: Path
    kind: str
    """In words: safetensors files of the original layout, an adapter on ..., and so on."""
    tensors: dict[str, Tensor]
    """By Hub name."""
    sources: dict[str, str]
    """Hub name -> name in the checkpoint."""
    layout: str
    """Name of the layout that the names follow."""
    raw: dict[str, Tensor]
    """By name in the checkpoint; empty for an adapter, whose tensors are computed."""
    gathered: bool = False
    """Whether these are the float32 masters of a model that computes in another type."""


def find_folder(path: Path) -> Path:
    """The folder that `path` means: of a run its final weights or newest whole checkpoint, of shards their parent."""
    if not path.is_dir():
        what = "is a file; give the folder it lies in" if path.exists() else "does not exist"
        raise DataError(f"{path} {what}.", "radvlm convert FOLDER")
    if re.fullmatch(r"global_step\d+", path.name):
        return path.parent
    if (path / "checkpoints").is_dir():
        if (path / "final").is_dir():
            return path / "final"
        complete = [
            folder
            for folder in (path / "checkpoints").glob("checkpoint-*")
            if re.fullmatch(r"checkpoint-\d+", folder.name) and (folder / COMPLETE_MARK).is_file()
        ]
        if not complete:
            raise DataError(f"The run {path} has no complete checkpoint.", "radvlm train --resume")
        return max(complete, key=lambda folder: int(folder.name.partition("-")[2]))
    return path


def run_of(folder: Path) -> Path | None:
    """The run that a folder belongs to, if it is ours: RUN/final or RUN/checkpoints/checkpoint-N."""
    for place in (folder.parent, folder.parent.parent):
        if (place / "manifest.json").is_file() and (place / "checkpoints").is_dir():
            return place
    return None


def base_folder(folder: Path) -> Path | None:
    """The model that the run of `folder` began from, where the run says so and it is still there."""
    run = run_of(folder)
    model = read_json(run / "manifest.json").get("model") if run else None
    place = Path(model["path"]) if isinstance(model, dict) and isinstance(model.get("path"), str) else None
    return place if place is not None and place.is_dir() else None


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter and not whole weights."""
    return (folder / "adapter_config.json").is_file()


def has_shards(folder: Path) -> bool:
    """Whether a folder holds a DeepSpeed checkpoint."""
    return any(folder.glob("global_step*/*_optim_states.pt"))


def weight_files(folder: Path) -> list[Path]:
    """The weight files of a folder, safetensors before torch files; empty if there are none.

    DataError where the index and the files contradict each other.
    """
    for index_name, pattern in _FORMS:
        index = folder / index_name
        if index.is_file():
            mapped = read_json(index).get("weight_map")
            if not isinstance(mapped, dict):
                raise DataError(f"{index} has no weight_map.")
            files = [folder / name for name in sorted(set(mapped.values()))]
            lacking = [path.name for path in files if not path.is_file()]
            if lacking:
                raise DataError(
                    f"{folder} lacks {len(lacking)} of the files that {index_name} names, {lacking[0]} first.",
                    "Finish the download or copy of the checkpoint",
                )
            return files
        files = sorted(folder.glob(pattern))
        if files:
            return files
    return []


def open_weights(folder: Path) -> Checkpoint:
    """Open whole weights: safetensors or torch files with an index or without, or DeepSpeed shards."""
    files = weight_files(folder)
    if files:
        tensors = _read_files(folder, files)
        form = "safetensors" if files[0].suffix == ".safetensors" else "torch"
    elif has_shards(folder):
        from radvlm_cli.weights.zero import read_zero_shards

        tensors, form = read_zero_shards(folder), "DeepSpeed"
    else:
        there = sorted(path.name for path in folder.iterdir())
        raise DataError(
            f"{folder} holds neither model*.safetensors, pytorch_model*.bin, global_step*/ nor adapter_config.json; "
            f"it holds {', '.join(there[:5]) or 'nothing'}.",
            "radvlm convert FOLDER, where FOLDER is a checkpoint or a run of radvlm train",
        )
    layout = find_layout(tensors, str(folder))
    sources = rename(tensors, layout, str(folder))
    count = len(files) or len(list(folder.glob("global_step*/*_optim_states.pt")))
    kind = f"{count} {form} file{'' if count == 1 else 's'}, {layout.name} layout"
    return Checkpoint(
        folder, kind, {hub: tensors[name] for hub, name in sources.items()}, sources, layout.name, tensors, not files
    )


def read_file(path: Path) -> Mapping[str, Tensor]:
    """The tensors of one safetensors or torch file."""
    if path.suffix == ".safetensors":
        return read_header(path)
    from radvlm_cli.weights.pickled import read_torch_file

    return read_torch_file(path)


def _read_files(folder: Path, files: list[Path]) -> dict[str, Tensor]:
    """DataError for a tensor in two files, or one that the index names and no file has."""
    found: dict[str, Tensor] = {}
    places: dict[str, str] = {}
    doubled: list[str] = []
    for path in files:
        for name, tensor in read_file(path).items():
            if name in places:
                doubled.append(f"{name} in {places[name]} and {path.name}")
            found[name], places[name] = tensor, path.name
    index = next((folder / name for name, _ in _FORMS if (folder / name).is_file()), None)
    mapped = read_json(index).get("weight_map", {}) if index else {}
    astray = [f"{name}, promised in {place}" for name, place in mapped.items() if places.get(name) != place]
    where = str(folder)
    raise_faults(where, {"in two files": doubled, "not where the index says": astray if not doubled else []})
    return found
