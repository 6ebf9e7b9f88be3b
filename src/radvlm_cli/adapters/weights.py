"""Weights: found on this machine, and identified by what is in them. Nothing is ever downloaded."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from radvlm_cli.adapters.json_files import read_object
from radvlm_cli.adapters.protocol import Card, WeightsNeed
from radvlm_cli.errors import ConfigError, DataError
from radvlm_cli.files import atomic_write
from radvlm_cli.hashing import content_hash, file_sha256

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
        named.update(read_object(index).get("weight_map", {}).values())
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
    _check_type(path, need)
    return path.resolve()


def _check_type(folder: Path, need: WeightsNeed) -> None:
    """ConfigError where the folder is of another kind of model, which a worker would find out only as it loads it."""
    config = folder / "config.json"
    if not need.model_types or not config.is_file():
        return
    kind = read_object(config).get("model_type")
    if kind is None or kind in need.model_types:
        return
    path = shlex.quote(str(folder))
    to_convert = f"radvlm convert {path} --output {path}_hf, then that folder in place of this one"
    raise ConfigError(
        f"{folder} holds a model of type {kind}; {need.hub_id} is of type {' or '.join(need.model_types)}.",
        to_convert if kind in need.convertible else how_to_get(need),
    )


class Identity(NamedTuple):
    """What weights are, wherever they lie."""

    sha256: str
    """Hash of `files`."""
    files: Mapping[str, str]
    """Number of the folder / file name -> SHA-256."""


def identify_weights(
    folders: Sequence[Path], *, cache: Path | None = None, say: Callable[[str], None] | None = None
) -> Identity:
    """Hash weights, configuration and tokenizer of the folders. Reads every byte the first time, and says so.

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
                    if say is not None:
                        say("Hashing the weights (kept for the next time).")
                        say = None
                    known[place] = [*entry, file_sha256(path)]
                files[f"{number}/{path.name}"] = known[place][2]
    # A home that cannot be written to costs another reading, and nothing else.
    with suppress(DataError), atomic_write(cache, sync=False) as stream:
        json.dump(known, stream)
    return Identity(content_hash(files), files)


def _default_cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "radvlm" / "weights.json"


def _read_cache(path: Path) -> dict[str, list[Any]]:
    """What was hashed before; nothing where the file is none of ours or damaged: it is then made anew."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(entries, dict):
        return {}
    return {name: each for name, each in entries.items() if isinstance(each, list) and len(each) == 3}
