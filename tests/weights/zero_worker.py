"""One rank of a tiny DeepSpeed run over the golden model: two steps, then a checkpoint. Run by test_zero.py.

torchrun ... zero_worker.py STAGE HUB_FOLDER OUTPUT
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import deepspeed
import torch
from safetensors.torch import save_file
from transformers import LlavaOnevisionForConditionalGeneration


def main(stage: int, source: str, output: Path) -> None:
    """Train two steps; save shards, and the weights of the bfloat16 model beside them as what they should give."""
    deepspeed.init_distributed("gloo")
    model: Any = LlavaOnevisionForConditionalGeneration.from_pretrained(source, dtype="bfloat16")
    model.model.vision_tower.post_layernorm.requires_grad_(False)
    settings = {
        "train_micro_batch_size_per_gpu": 1,
        "bf16": {"enabled": True},
        "zero_optimization": {"stage": stage},
        "optimizer": {"type": "AdamW", "params": {"lr": 1e-2, "torch_adam": True}},
        "zero_allow_untested_optimizer": True,
    }
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    engine, *_ = deepspeed.initialize(model=model, model_parameters=trained, config=settings)
    ids = torch.tensor([[421, 64, 198, *[423] * 1485, 77, 300, 422, 198]])
    pixels = torch.rand(1, 2, 3, 384, 384, generator=torch.Generator().manual_seed(1)).to(torch.bfloat16)
    for _ in range(2):
        logits = engine(
            input_ids=ids, pixel_values=pixels, image_sizes=torch.tensor([[384, 384]]), use_cache=False
        ).logits
        loss = torch.nn.functional.cross_entropy(logits[0, -4:-1].float(), ids[0, -3:])
        engine.backward(loss)
        engine.step()
    engine.save_checkpoint(str(output))
    with deepspeed.zero.GatheredParameters(list(engine.module.parameters())):
        if torch.distributed.get_rank() == 0:
            gathered = {name: value.detach().clone() for name, value in engine.module.named_parameters()}
            save_file(gathered, output.with_suffix(".safetensors"))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
