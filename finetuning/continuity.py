"""Whether a checkpoint's training may be gone on with: what it was made from, against what it would go on with."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from finetuning.errors import CheckpointError
from finetuning.manifest import Manifest

HEAD = 1 << 20
PACKAGES = ("torch", "transformers", "accelerate", "deepspeed", "peft")


@dataclass(frozen=True)
class Facts:
    """What a checkpoint was made from, and where training stood."""

    step: int
    consumed_samples: int
    epoch: float
    world_size: int
    micro_batch: int
    accumulation: int
    global_batch: int
    seed: int
    data_sha256: str
    model: str
    """Fingerprint of the model that training began from, and of its adapter: see `model_fingerprint`."""
    strategy: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What else of the manifest decides the result, flat: `optimization.learning_rate`, `loss.norm`, ..."""
    versions: Mapping[str, str] = field(default_factory=dict)


_WHAT = {
    "data": ("data_sha256", "other data"),
    "global_batch": ("global_batch", "another global batch"),
    "model": ("model", "another model or adapter"),
    "seed": ("seed", "another seed, that is another order of the data"),
    "strategy": ("strategy", "another strategy, whose files cannot be loaded here"),
}
_FACTS_OF_THEIR_OWN = ("global_batch", "micro_batch", "seed")
_LENGTH = ("optimization.epochs", "optimization.max_steps")
"""A longer or shorter run is still the same training."""
ALLOWABLE = ("data", "global_batch")
"""Changes that still make sense when the user says so; the others would give a training that is neither of the two."""


def refuse_changes(was: Facts, now: Facts, allowed: Collection[str] = ()) -> list[str]:
    """Raise CheckpointError where going on as `now` would not continue the training `was`.

    `allowed` holds names of ALLOWABLE. Returns remarks that are worth a line in the log: allowed changes, and packages
    of another version. The number of ranks may change freely and is no remark.
    """
    remarks = []
    checkpoint = f"checkpoint-{was.step}"
    for name, (attribute, words) in _WHAT.items():
        before, after = getattr(was, attribute), getattr(now, attribute)
        if before == after:
            continue
        change = f"{checkpoint} was made with {words}: {_short(before)}, now {_short(after)}"
        if name not in allowed or name not in ALLOWABLE:
            hint = "Start a new run" + (f', or allow it: "{name}" in resume.allow_changed' if name in ALLOWABLE else "")
            raise CheckpointError(f"{change}.", f"{hint}.")
        remarks.append(f"{change} (allowed).")
    for name in sorted({*was.settings, *now.settings}):
        before, after = was.settings.get(name), now.settings.get(name)
        if before == after:
            continue
        change = f"{checkpoint} was made with {name} = {before}, now {after}"
        if name not in _LENGTH:
            raise CheckpointError(f"{change}.", "Go on with the settings that it had, or start a new run.")
        remarks.append(f"{change}: the learning rate follows another schedule from here on.")
    for package, installed in now.versions.items():
        if was.versions.get(package, installed) != installed:
            remarks.append(f"{checkpoint} was made with {package} {was.versions[package]}, now {installed}.")
    return remarks


def settings_of(manifest: Manifest) -> dict[str, Any]:
    """The settings that a resume may not change, flat, as JSON keeps them; those of Facts' own fields are left out."""
    optimization = {k: v for k, v in asdict(manifest.optimization).items() if k not in _FACTS_OF_THEIR_OWN}
    data = {"max_length": manifest.data.max_length, "max_image_side": manifest.data.max_image_side}
    parts = {"optimization": optimization, "loss": asdict(manifest.loss), "data": data}
    flat = {f"{part}.{name}": value for part, values in parts.items() for name, value in values.items()}
    kept: dict[str, Any] = json.loads(json.dumps(flat | {"packing.tokens": manifest.packing.tokens}))
    return kept


def model_fingerprint(folder: Path, adapter: Mapping[str, Any] | None = None) -> str:
    """SHA-256 (hex) that tells models and adapters apart, wherever they lie, without reading all weights.

    It covers config.json, and of each weight file the name, size, head (tensor names, types and shapes) and tail.
    """
    digest = hashlib.sha256(json.dumps(adapter, sort_keys=True).encode())
    digest.update((folder / "config.json").read_bytes())
    for file in sorted([*folder.glob("*.safetensors"), *folder.glob("*.bin")]):
        size = file.stat().st_size
        digest.update(f"\0{file.name}\0{size}\0".encode())
        with file.open("rb") as stream:
            digest.update(stream.read(HEAD))
            stream.seek(max(0, size - HEAD))
            digest.update(stream.read())
    return digest.hexdigest()


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide how training computes; absent ones are left out."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def _short(value: object) -> str:
    text = str(value)
    return f"{text[:12]}..." if len(text) > 32 else text
