"""Read a written folder anew and compare it with what it was made from.

Names are derived here a second time and the other way round, without the rules: a rule that moves a tensor to a wrong
place makes the hashes of two tensors differ.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from radvlm_cli.errors import DataError
from radvlm_cli.weights.checkpoints import Checkpoint, open_weights
from radvlm_cli.weights.rules import raise_faults
from radvlm_cli.weights.structure import check_tensors, expected_shapes
from radvlm_cli.weights.tensors import Tensor, cast, digest, finite, size_of

_PROJECTOR = {"linear_1": "0", "linear_2": "2"}


def source_name(name: str, layout: str) -> str:
    """What a tensor of the Hub's layout is called in a checkpoint of `layout`."""
    if layout == "hub":
        return name
    if name == "language_model.lm_head.weight":
        return "lm_head.weight"
    if name.startswith("language_model.model."):
        inner = name.removeprefix("language_model.model.")
        return f"model.language_model.{inner}" if layout == "native" else f"model.{inner}"
    if layout == "native":
        return "model." + name.replace("vision_tower.vision_model.", "vision_tower.")
    if name.startswith("vision_tower."):
        return f"model.vision_tower.{name}"
    if name.startswith("multi_modal_projector."):
        _, layer, kind = name.split(".")
        return f"model.mm_projector.{_PROJECTOR[layer]}.{kind}"
    return f"model.{name}"


def truth(checkpoint: Checkpoint, planned: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What each written tensor should hold: from the checkpoint by `source_name`, else (computed ones) as planned."""
    found: dict[str, Tensor] = {}
    for name, plan in planned.items():
        own = checkpoint.raw.get(source_name(name, checkpoint.layout))
        if own is None and checkpoint.raw:  # transformers 5 leaves this part of the name out in one of its forms
            own = checkpoint.raw.get(name.replace("vision_tower.vision_model.", "vision_tower."))
        if own is None and checkpoint.raw:
            raise DataError(f"Verification: {checkpoint.folder} has no tensor that {name} could come from.")
        same = own is not None and tuple(own.shape) == tuple(plan.shape)
        found[name] = cast(own, plan.dtype) if own is not None and same else plan
    return found


def verify_weights(
    folder: Path, config: Mapping[str, Any], expected: Mapping[str, Tensor], *, done: Callable[[int], None]
) -> int:
    """Compare every tensor in `folder` with the one it should be: name, shape, type, bytes, finite. How many.

    DataError naming those that differ. `done` is told of bytes as they are read.
    """
    written = open_weights(folder)
    where = f"{folder} (verification)"
    if written.layout != "hub" or any(name != source for name, source in written.sources.items()):
        raise DataError(f"{where}: names are not those of the Hub's layout.")
    check_tensors(written.tensors, config, where)
    types, values, infinite = [], [], []
    for name in expected_shapes(config):
        tensor, should = written.tensors[name], expected[name]
        read = _read(tensor)
        if tensor.dtype != should.dtype:
            types.append(f"{name} is {tensor.dtype}, was {should.dtype}")
        elif read.sha256 != digest(should):
            values.append(name)
        if not read.finite:
            infinite.append(name)
        done(size_of(tensor))
    faults = {"of another type": types, "that differ from the source": values, "with infinite values or NaN": infinite}
    raise_faults(where, faults, "The disk or a rule is at fault: report it with this message")
    return len(written.tensors)


class _Read(NamedTuple):
    sha256: str
    finite: bool


def _read(tensor: Tensor) -> _Read:
    sha, numbers = hashlib.sha256(), True
    for piece in tensor.pieces():
        sha.update(piece)
        numbers = numbers and finite(piece, tensor.dtype)
    return _Read(sha.hexdigest(), numbers)
