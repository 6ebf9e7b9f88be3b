"""What models that run on this machine have in common: what they compute with, and giving the memory back."""

from __future__ import annotations

import gc
import sys
from typing import Any


def described(model: Any) -> dict[str, str]:
    """What of a loaded model of transformers decides an answer besides its weights, for Adapter.identity."""
    import torch
    import transformers

    return {
        "backend": f"transformers {transformers.__version__}, torch {torch.__version__}",
        "dtype": str(model.dtype).removeprefix("torch."),
        "attention": model.config._attn_implementation,
    }


def free_memory() -> None:
    """Give what nothing refers to any more back to the GPU, if one is in use."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        gc.collect()
        torch.cuda.empty_cache()
