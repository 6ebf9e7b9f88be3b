"""What training needs before it starts: model, dataset, packages, GPUs, room on the disk; each checked by itself."""

from __future__ import annotations

import json
import shlex
import shutil
import tempfile
from pathlib import Path
from typing import Any

from pyarrow import ArrowInvalid, parquet

from radvlm_cli.errors import ConfigError, DataError
from radvlm_cli.hashing import file_sha256
from radvlm_cli.progress import Progress
from radvlm_cli.store.engine import Store
from radvlm_cli.store.training import dataset_of
from radvlm_cli.training import estimate
from radvlm_cli.training.launch import Ranks
from radvlm_cli.training.manifest import Places, make_manifest, write_manifest
from radvlm_cli.training.program import ask, gpus_present, require_installed
from radvlm_cli.training.recipe import Values

_ORIGINAL = ("llava_qwen", "llava", "qwen2")
"""model_type of checkpoints that the original code wrote."""
_CHECKPOINTS_ON_DISK = 3
"""Two complete ones and one being written."""


def find_places(
    store: Store | None, *, model: Path, dataset: Path, held_out: Path | None = None, image_root: Path | None = None
) -> Places:
    """The files behind the options; errors say what is missing and which command makes it."""
    check_model(model)
    table = find_table(dataset)
    known = None if store is None else dataset_of(store, table)
    root = image_root or (known.image_root if known else None)
    pairs = _check_table(table, root)
    watched = None if held_out is None else find_table(held_out)
    if watched is not None:
        _check_table(watched, root)
    return Places(model.absolute(), table, file_sha256(table), pairs, root, watched)


def check_model(folder: Path) -> dict[str, Any]:
    """The model's config.json; ConfigError where the folder is no model that can be trained as it is."""
    path = shlex.quote(str(folder))
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "does not exist"
        name = folder.name if str(folder).count("/") == 1 and not folder.is_absolute() else "MODEL"
        hint = (
            f"hf download {folder if name != 'MODEL' else name} --local-dir models/{name}, then --model models/{name}"
        )
        raise ConfigError(f"The model folder {folder} {what}.", hint)
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{folder} holds no config.json: it is no model.", "--model FOLDER") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{folder / 'config.json'} cannot be read: {error}", "--model FOLDER") from error
    kind = config.get("model_type")
    if kind in _ORIGINAL:
        raise ConfigError(
            f"{folder} is an original LLaVA-NeXT checkpoint (model_type {kind}), which transformers cannot load.",
            f"radvlm convert {path} --output {path}_hf, then --model {path}_hf",
        )
    if kind != "llava_onevision":
        raise ConfigError(f"{folder} is a model of type {kind}; LLaVA-OneVision can be trained.", "--model FOLDER")
    if not (folder / "tokenizer.json").is_file():
        raise ConfigError(f"{folder} holds no tokenizer.json.", "Copy it from the model that this one was made from.")
    if not any(folder.glob("*.safetensors")):
        raise ConfigError(f"{folder} holds no weights (*.safetensors).", f"hf download it again into {path}")
    return config


def find_table(dataset: Path) -> Path:
    """The Parquet file that `dataset` means: itself, or the one in that folder; DataError where there is none."""
    build = f"radvlm build --output {shlex.quote(str(dataset if not dataset.suffix else dataset.parent))}"
    if dataset.is_dir():
        found = sorted(dataset.glob("*.parquet"))
        if len(found) > 1:
            raise DataError(
                f"{dataset} holds several datasets: {', '.join(path.name for path in found)}.", f"--dataset {found[0]}"
            )
        if not found:
            inside = sorted(dataset.glob("*/*.parquet"))
            hint = f"--dataset {shlex.quote(str(inside[0].parent))}" if inside else build
            raise DataError(f"{dataset} holds no built dataset (no .parquet file).", hint)
        return found[0].absolute()
    beside = dataset.with_suffix(".parquet")
    if not beside.is_file():
        raise DataError(f"There is no dataset at {dataset}.", build)
    return beside.absolute()


def _check_table(table: Path, image_root: Path | None) -> int:
    """The number of pairs of a table whose first picture is there."""
    try:
        with parquet.ParquetFile(table) as file:
            pairs = int(file.metadata.num_rows)
            first = next(file.iter_batches(batch_size=1, columns=["image"]), None) if pairs else None
    except (ArrowInvalid, OSError) as error:
        raise DataError(
            f"{table} is not a built dataset, or a damaged one: {error}", "radvlm build --output FOLDER"
        ) from error
    if first is None:
        raise DataError(f"{table} holds no pair.", "radvlm build --output FOLDER")
    image = Path(first.column("image")[0].as_py())
    if not image.is_absolute() and image_root is None:
        raise DataError(f"The image paths of {table} are relative ({image}).", "--image-root FOLDER")
    place = image if image_root is None else image_root / image
    if not place.is_file():
        raise DataError(f"The first image of {table}, {place}, is not there.", "--image-root FOLDER, or build it anew")
    return pairs


def check_settings(settings: Values) -> None:
    """ConfigError where the program would not take the settings, told by their names."""
    with tempfile.TemporaryDirectory() as folder:
        ask(write_manifest(Path(folder), make_manifest(settings, run_id=0, folder=Path(folder))), "--check")


def check_ranks(settings: Values, ranks: Ranks) -> None:
    """ConfigError where the global batch cannot be dealt to the ranks."""
    if (settings.get("packing") or {}).get("tokens"):
        return
    optimization = settings["optimization"]
    batch, micro = optimization.get("global_batch", 256), optimization.get("micro_batch", 1)
    at_once = micro * ranks.world
    if batch % at_once:
        below, above = batch // at_once * at_once, -(-batch // at_once) * at_once
        near = " or ".join(f"--global-batch {value}" for value in (below, above) if value)
        raise ConfigError(
            f"The global batch of {batch} cannot be dealt to {ranks.world} ranks in micro-batches of {micro}: "
            f"it must be a multiple of {at_once}.",
            near,
        )


def check_machine(settings: Values, ranks: Ranks) -> None:
    """ConfigError where packages or GPUs are missing on this machine."""
    strategy = settings["parallel"].get("strategy", "zero2")
    require_installed(strategy=strategy, adapter=settings.get("adapter") is not None)
    if ranks.gpus == 0:
        return
    present = len(gpus_present())
    if present < ranks.gpus:
        hint = f"--gpus {present}" if present else "--gpus 0 trains on the CPU (tiny models only)"
        raise ConfigError(f"{ranks.gpus} GPUs are asked for; torch sees {present}.", hint)


def warn_of_room(settings: Values, output: Path, progress: Progress) -> None:
    """Warn where the disk cannot hold two checkpoints and the one that is being written."""
    config = check_model(Path(settings["model"]["path"]))
    needed = _CHECKPOINTS_ON_DISK * estimate.checkpoint_bytes(config, settings)
    place = next(folder for folder in (output, *output.parents) if folder.is_dir())
    free = shutil.disk_usage(place).free
    if free < needed:
        progress.warn(
            f"{place} has {free / 1e9:,.0f} GB free; two checkpoints and one being written need {needed / 1e9:,.0f} GB."
        )
