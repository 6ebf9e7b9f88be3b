"""Weights: found on this machine, identified by what is in them, loaded strictly. Nothing is ever downloaded."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from radvlm_cli.adapters.batching import is_out_of_memory
from radvlm_cli.adapters.protocol import Adapter, Card, Device, Loading, WeightsNeed
from radvlm_cli.errors import ConfigError, DataError, RadvlmError
from radvlm_cli.files import atomic_write
from radvlm_cli.hashing import content_hash, file_sha256

OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
"""Environment of a process that loads a model: nothing is fetched, nothing is reported."""
_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt")
_BESIDE = (".json", ".jinja", ".model", ".txt")
"""What else of a folder decides an answer: configuration, template, tokenizer."""


def find_weights(card: Card, given: Sequence[Path] = (), *, cache: Path | None = None) -> tuple[Path, ...]:
    """A local folder for each of the card's weights, in that order.

    `given`: folders named by the user, either none or one for each. What is not given is looked for in the Hugging Face
    cache (`cache`: another folder than its usual place). ConfigError naming what is not there and how to get it.
    """
    if given:
        if len(given) != len(card.weights):
            number = len(card.weights)
            raise ConfigError(
                f"{card.name} is loaded from {'one folder' if number == 1 else f'{number} folders, in this order'}: "
                f"{', '.join(need.hub_id for need in card.weights)}. --weights names {len(given)}.",
                " ".join(f"--weights {_folder_for(need)}" for need in card.weights),
            )
        return tuple(_check_given(path, need) for path, need in zip(given, card.weights, strict=True))
    found = [locate(need, cache=cache) for need in card.weights]
    lacking = [need for need, path in zip(card.weights, found, strict=True) if path is None]
    if lacking:
        wanted = " and ".join(f"{need.hub_id} ({_terms(need)})" for need in lacking)
        # All or none are given, so those that are there already are named, too.
        places = [path or _folder_for(need) for need, path in zip(card.weights, found, strict=True)]
        options = " ".join(f"--weights {place}" for place in places)
        raise ConfigError(
            f"The weights of {card.title} are not on this machine: {wanted}.",
            "\n".join([*(how_to_get(need) for need in lacking), f"then add {options}"]),
        )
    return tuple(path for path in found if path is not None)


def locate(need: WeightsNeed, *, cache: Path | None = None) -> Path | None:
    """The folder of a repository in the Hugging Face cache, if all of it is there; the known revision before others.

    What is named by its folder lies there.
    """
    if Path(need.hub_id).is_dir():
        return Path(need.hub_id).absolute()
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    for revision in dict.fromkeys((need.revision, None)):
        try:
            found = snapshot_download(need.hub_id, revision=revision, cache_dir=cache, local_files_only=True)
        except (LocalEntryNotFoundError, FileNotFoundError):
            continue
        if not lacking_files(Path(found)):
            return Path(found)
    return None


def lacking_files(folder: Path) -> list[str]:
    """Names of the weight files that a folder should have and has not, by its indexes; a pattern if it has none."""
    present = {path.name for path in folder.iterdir() if path.exists()}
    named: set[str] = set()
    for index in folder.glob("*.index.json"):
        named.update(_read_object(index).get("weight_map", {}).values())
    has_safetensors = any(name.endswith(".safetensors") for name in named | present)
    # A repository may hold both forms; a download of one of them is whole.
    named = {name for name in named if name.endswith(".safetensors") or not has_safetensors}
    if not named and not any(name.endswith(_WEIGHTS) for name in present):
        return [f"*{_WEIGHTS[0]}"]
    return sorted(named - present)


def how_to_get(need: WeightsNeed) -> str:
    """The command that gets a repository, on a line by itself, with what there is to note about it."""
    revision = f" --revision {need.revision}" if need.revision else ""
    command = f"hf download {need.hub_id}{revision} --local-dir {_folder_for(need)}"
    return f"{command}  # {need.note}" if need.note else command


def _folder_for(need: WeightsNeed) -> str:
    return f"models/{need.hub_id.rpartition('/')[2]}"


def _terms(need: WeightsNeed) -> str:
    return f"licence: {need.licence}"


def _check_given(path: Path, need: WeightsNeed) -> Path:
    if path.is_file():
        raise ConfigError(f"{path} is a file; --weights takes the folder that it lies in.", f"--weights {path.parent}")
    if not path.is_dir():
        raise ConfigError(f"{path} does not exist.", how_to_get(need))
    lacking = lacking_files(path)
    if lacking:
        listed = ", ".join(lacking[:5]) + (f" and {len(lacking) - 5} more" if len(lacking) > 5 else "")
        raise ConfigError(f"{path} does not hold the weights of {need.hub_id}: {listed} lacking.", how_to_get(need))
    return path.resolve()


class Identity(NamedTuple):
    """What weights are, wherever they lie."""

    sha256: str
    """Hash of `files`."""
    files: Mapping[str, str]
    """Number of the folder / file name -> SHA-256."""


def identify_weights(folders: Sequence[Path], *, cache: Path | None = None) -> Identity:
    """Hash weights, configuration and tokenizer of the folders. Reads every byte the first time.

    Hashes are kept in `cache` by path, size and time of change; None: a file in the user's cache folder.
    """
    cache = cache or _default_cache()
    known = _read_cache(cache)
    files: dict[str, str] = {}
    for number, folder in enumerate(folders):
        for path in sorted(folder.iterdir()):
            if path.is_file() and path.suffix in (*_WEIGHTS, *_BESIDE):
                status = path.stat()
                entry = [status.st_size, status.st_mtime_ns]
                place = str(path.resolve())
                if known.get(place, [])[:2] != entry:
                    known[place] = [*entry, file_sha256(path)]
                files[f"{number}/{path.name}"] = known[place][2]
    if cache.parent.is_dir() or os.access(_existing(cache), os.W_OK):
        with atomic_write(cache, sync=False) as stream:
            json.dump(known, stream)
    return Identity(content_hash(files), files)


def _default_cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "radvlm" / "weights.json"


def _existing(path: Path) -> Path:
    return next(parent for parent in path.absolute().parents if parent.exists())


def _read_cache(path: Path) -> dict[str, list[Any]]:
    """What was hashed before; nothing where the file is none of ours or damaged: it is then made anew."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(entries, dict):
        return {}
    return {name: each for name, each in entries.items() if isinstance(each, list) and len(each) == 3}


def read_config_file(folder: Path, title: str) -> dict[str, Any]:
    """config.json of a checkpoint of the model of that title. DataError where there is none that can be read."""
    path = folder / "config.json"
    if not path.is_file():
        raise DataError(f"{folder} holds no {title}: it has no config.json.")
    return _read_object(path)


def _read_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(value, dict):
        raise DataError(f"{path} holds no JSON object.")
    return value


def load_model(model: Card, loading: Loading) -> Adapter:
    """Load a model; RadvlmError where it does not fit into memory, DataError where the weights are not its own."""
    try:
        return model.load(loading)
    except DataError as error:
        # What the folder lacks is the same for all models: the checkpoint that it should hold.
        gets = "\n".join(map(how_to_get, model.weights))
        hint = error.hint or f"--weights FOLDER of {model.title}, which this gets:\n{gets}"
        raise DataError(error.message, hint) from error
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise RadvlmError(
            f"{model.name} does not fit into the memory of this device.", "--dtype bfloat16, or fewer --processes"
        ) from error


def loading_of(values: Mapping[str, Any]) -> Loading:
    """How to load, from JSON."""
    weights = tuple(Path(path) for path in values["weights"])
    return Loading(**{**values, "weights": weights})


def choose_dtype(device: Device, dtype: str = "auto") -> Any:
    """The torch type to compute in. auto: bfloat16 on a GPU that has it, float16 on an older one, float32 on a CPU."""
    import torch

    if dtype != "auto":
        return getattr(torch, dtype)
    if device == "cpu":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def load_strictly(
    model_class: Any,
    folder: Path,
    loading: Loading,
    *,
    ignored: Iterable[str] = (),
    hint: str | None = None,
    **options: Any,
) -> Any:
    """`model_class.from_pretrained(folder)`, ready to answer on the device.

    DataError naming the keys where a weight is missing, unexpected (`ignored` aside: beginnings of names that are known
    to be of no use) or mis-shaped, or where a buffer holds no number: transformers only warns, and leaves random
    weights. `options` go to from_pretrained, e.g. `config` or `key_mapping`.
    """
    try:
        with _quietly():
            model, found = model_class.from_pretrained(
                folder,
                dtype=choose_dtype(loading.device, loading.dtype),
                attn_implementation=loading.attention,
                local_files_only=True,
                output_loading_info=True,
                # Reported with the others instead of raised in other words.
                ignore_mismatched_sizes=True,
                **options,
            )
    except RadvlmError:
        raise
    except (OSError, ImportError, ValueError) as error:
        raise DataError(f"The model in {folder} cannot be loaded: {error}", hint) from error
    ignored = tuple(ignored)
    misfits = {kind: [name for name in map(str, keys) if not name.startswith(ignored)] for kind, keys in found.items()}
    raise_misfits(folder, misfits)
    check_finite(model, folder)
    return model.to(loading.device).eval()


@contextmanager
def _quietly() -> Iterator[None]:
    """Without transformers' progress bar and its table of keys that do not fit, which raise_misfits names."""
    from transformers.utils import logging as library_logging

    library: Any = library_logging
    library.disable_progress_bar()
    logger = logging.getLogger("transformers.modeling_utils")
    logger.addFilter(_is_no_report)
    try:
        yield
    finally:
        logger.removeFilter(_is_no_report)


def _is_no_report(record: logging.LogRecord) -> bool:
    return "LOAD REPORT" not in record.getMessage()


def load_state_strictly(module: Any, state: Mapping[str, Any], folder: Path, part: str) -> None:
    """`module.load_state_dict(state)`; DataError naming the keys where the two do not fit. `part` names the module."""
    own = module.state_dict()
    raise_misfits(
        f"{folder} ({part})",
        {
            "missing_keys": [name for name in own if name not in state],
            "unexpected_keys": [name for name in state if name not in own],
            "mismatched_keys": [name for name in own if name in state and own[name].shape != state[name].shape],
        },
    )
    module.load_state_dict(state)


def raise_misfits(where: Path | str, found: Mapping[str, Iterable[str]]) -> None:
    """DataError naming the first of each kind of keys, if there are any."""
    wrong = {kind: sorted(keys) for kind, keys in found.items()}
    listed = "; ".join(
        f"{len(keys)} {kind.replace('_', ' ')}: {', '.join(keys[:5])}" for kind, keys in wrong.items() if keys
    )
    if listed:
        raise DataError(
            f"The weights in {where} do not fit the model. {listed}",
            "Get the checkpoint again, or convert it: radvlm convert PATH",
        )


def check_finite(model: Any, folder: Path) -> None:
    """DataError where a buffer holds an infinity or NaN: some code leaves buffers without a value."""
    broken = [
        name for name, buffer in model.named_buffers() if buffer.is_floating_point() and not buffer.isfinite().all()
    ]
    if broken:
        raise DataError(f"The model in {folder} has buffers without a value: {', '.join(broken[:5])}")
