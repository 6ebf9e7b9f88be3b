"""Models: loaded strictly, from folders of this machine."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from radvlm_cli.adapters.batching import is_out_of_memory
from radvlm_cli.adapters.protocol import Adapter, Card, Device, Loading
from radvlm_cli.adapters.weights import how_to_get
from radvlm_cli.errors import DataError, RadvlmError

OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
"""Environment of a process that loads a model: nothing is fetched, nothing is reported."""


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
    wrong = {kind: [name for name in map(str, keys) if not name.startswith(ignored)] for kind, keys in found.items()}
    raise_misfits(folder, wrong)
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
    raise_misfits(f"{folder} ({part})", misfits(module.state_dict(), state))
    module.load_state_dict(state)


def misfits(own: Mapping[str, Any], state: Mapping[str, Any]) -> dict[str, list[str]]:
    """Keys that do not fit where the tensors `state` are to be put into a module that has `own`, by kind."""
    return {
        "missing_keys": [name for name in own if name not in state],
        "unexpected_keys": [name for name in state if name not in own],
        "mismatched_keys": [name for name in own if name in state and own[name].shape != state[name].shape],
    }


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
