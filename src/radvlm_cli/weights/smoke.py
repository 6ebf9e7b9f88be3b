"""Load a converted folder as a user would, and let it answer about a synthetic picture."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from radvlm_cli.errors import DataError
from radvlm_cli.weights.rules import listed

if TYPE_CHECKING:
    import torch
    from PIL import Image

_TOKENS = 8
_CPU_BYTES = 2 * 10**9
"""Largest model that is made to answer on a CPU: the 0.5B takes a minute or so."""

_QUESTION = "Is there cardiomegaly in this chest X-ray?"


class Answer(NamedTuple):
    """What came of it."""

    text: str | None
    """None where no device is large enough."""
    note: str


def smoke_generation(folder: Path, size: int) -> Answer:
    """Generate a few tokens; DataError if a weight is missing or left over, or the numbers are not finite.

    `size`: bytes of the weights. They are loaded in their own type, on a GPU with room for them, else on the CPU, where
    a 7B model would take many minutes: there it is only compared with transformers' own list of its weights.
    """
    device = _device(size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what the libraries say while they load; what matters is checked here
        model = _load(folder, device or "meta")
        if device is None:
            return Answer(None, f"skipped, for want of a GPU with {_needed(size) / 1e9:,.0f} GB free")
        return _generate(folder, model, device)


def _load(folder: Path, device: str) -> Any:
    """The model; on the device `meta` names and shapes alone, nothing is read."""
    from transformers import LlavaOnevisionForConditionalGeneration
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    loaded: Any = LlavaOnevisionForConditionalGeneration.from_pretrained(
        str(folder), dtype="auto", device_map=device, local_files_only=True, output_loading_info=True
    )
    model, found = loaded
    faults = [
        f"{kind.replace('_', ' ')}: {listed('tensor', sorted(map(str, names)))}"
        for kind, names in found.items()
        if names
    ]
    if faults:
        raise DataError(f"transformers does not load {folder} as it is. {'; '.join(faults)}")
    return model.eval()


def _generate(folder: Path, model: Any, device: str) -> Answer:
    import torch
    from transformers import LlavaOnevisionImageProcessorPil, Qwen2Tokenizer

    tokenizer = Qwen2Tokenizer.from_pretrained(str(folder), local_files_only=True)
    pictures = LlavaOnevisionImageProcessorPil.from_pretrained(str(folder), local_files_only=True)
    inputs = pictures(picture(), return_tensors="pt").to(device, model.dtype)
    inputs["image_sizes"] = inputs["image_sizes"].long()
    with torch.inference_mode():
        ids = _prompt(tokenizer, model, inputs).to(device)
        made = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            **inputs,
            max_new_tokens=_TOKENS,
            output_logits=True,
            return_dict_in_generate=True,
        )
    if not all(bool(logits.isfinite().all()) for logits in made.logits):
        raise DataError(f"{folder}: the model's answers are not finite numbers.")
    said = made.sequences[0, ids.shape[1] :]
    return Answer(str(tokenizer.decode(said, skip_special_tokens=True)), f"{len(said)} tokens on {device}")


def _prompt(tokenizer: Any, model: Any, inputs: Any) -> torch.Tensor:
    """(1, length) token ids, the placeholder repeated as often as the model makes vectors of the picture."""
    import torch

    turn = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": _QUESTION}]}
    text = tokenizer.apply_chat_template([turn], add_generation_prompt=True, tokenize=False)
    vectors = model.get_image_features(**inputs).pooler_output
    count = sum(len(one) for one in vectors)
    placeholder = model.config.image_token_id
    ids: list[int] = []
    for number in tokenizer(text, add_special_tokens=False)["input_ids"]:
        ids += [number] * (count if number == placeholder else 1)
    return torch.tensor([ids])


def picture() -> Image.Image:
    """A grey ramp with a bright disc, 384 x 384: two tiles."""
    import numpy as np
    from PIL import Image

    down, across = np.mgrid[0:384, 0:384]
    grey = across / 3 + 90 * (np.hypot(down - 200, across - 150) < 80)
    return Image.fromarray(grey.astype(np.uint8)).convert("RGB")


def _device(size: int) -> str | None:
    import torch

    if torch.cuda.is_available() and torch.cuda.mem_get_info()[0] > _needed(size):
        return "cuda"
    return "cpu" if size <= _CPU_BYTES and _free_memory() > _needed(size) else None


def _needed(size: int) -> float:
    """Bytes of memory: the weights, a fifth of them and half a gigabyte for what is computed."""
    return size * 1.2 + 5e8


def _free_memory() -> int:
    """Bytes of main memory that can be had, by /proc/meminfo."""
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0
