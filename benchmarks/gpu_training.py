"""Training on one GPU: our program against the stock Trainer with its own processor and loss, in one call.

    python benchmarks/gpu_training.py FOLDER [--shapes 0.5b 7b-lora] [--steps 25] [--attention sdpa]

Makes random models in the shape of the 0.5B (all weights train) and the 7B (LoRA), and full-resolution pictures; then
each side trains on the same pairs in a process of its own, with the same global batch, precision and recomputation.
Prints tokens per second (median of the steps after the first five, least and most), their ratio, and the MFU. What is
in FOLDER already is not made again. `--shapes tiny` runs it all on a CPU, to see that it works.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
WARM_UP = 5
"""Steps that are not counted."""
PICTURES = 32
LORA = {"rank": 64, "alpha": 128.0, "dropout": 0.05}
LINEAR = r".*language_model.*\.(q|k|v|o|gate|up|down)_proj"


class Shape(NamedTuple):
    """A model to train, and how."""

    text: dict[str, Any]
    vision: dict[str, Any] | None = None
    """None: so400m."""
    lora: bool = False
    global_batch: int = 8
    picture: tuple[int, int] = (2544, 3056)
    pinpoints: int = 6


def _qwen2(
    hidden: int, inner: int, layers: int, heads: int, groups: int, vocabulary: int, *, tied: bool
) -> dict[str, Any]:
    return {
        "model_type": "qwen2",
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": groups,
        "vocab_size": vocabulary,
        "max_position_embeddings": 32768,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
        "tie_word_embeddings": tied,
    }


_TINY_VISION = {
    "model_type": "siglip_vision_model",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": 384,
    "patch_size": 14,
    "vision_use_head": False,
}
SHAPES = {
    "0.5b": Shape(_qwen2(896, 4864, 24, 14, 2, 152000, tied=True)),
    "7b-lora": Shape(_qwen2(3584, 18944, 28, 28, 4, 152064, tied=False), lora=True),
    "tiny": Shape(_qwen2(64, 128, 2, 4, 2, 1024, tied=False), _TINY_VISION, False, 2, (390, 320), 1),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shapes", nargs="+", default=["0.5b", "7b-lora"], choices=list(SHAPES))
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--attention", default="sdpa", choices=["sdpa", "eager", "flash_attention_2"])
    parser.add_argument("--stock", help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.stock:
        train_stock(told.folder, SHAPES[told.stock], told.steps, told.attention)
        return
    for name in told.shapes:
        folder = told.folder / name
        make(folder, SHAPES[name])
        own = train_ours(folder, SHAPES[name], told.steps, told.attention)
        command = [sys.executable, str(HERE / "gpu_training.py"), str(folder), "--stock", name]
        command += ["--steps", str(told.steps), "--attention", told.attention]
        stock = json.loads(
            subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1]
        )
        report(name, own, stock)


def report(name: str, own: dict[str, Any], stock: dict[str, Any]) -> None:
    """Print both sides and their ratio."""
    paces = {}
    for side, told in (("ours", own), ("stock", stock)):
        steps = sorted(tokens / seconds for tokens, seconds in told["steps"][WARM_UP:])
        paces[side] = median(steps)
        print(
            f"{name:8} {side:6} {paces[side]:9,.0f} tokens/s ({steps[0]:,.0f} to {steps[-1]:,.0f}), {len(steps)} steps"
        )
    mfu = own["mfu"]
    by_stock = "" if mfu is None else f", MFU {mfu:.1%} against {mfu * paces['stock'] / paces['ours']:.1%}"
    print(f"{name:8} ours / stock: {paces['ours'] / paces['stock']:.2f}x{by_stock}, device {own['device']}", flush=True)


def make(folder: Path, shape: Shape) -> None:
    """A model with random weights, pictures, and the table of pairs about them."""
    import torch
    from data_loader import TURNS, draw, train_tokenizer
    from transformers import LlavaOnevisionConfig, LlavaOnevisionForConditionalGeneration

    from tests.finetuning.datasets import Given, write_table

    if (folder / "train.parquet").exists():
        return
    model, pictures = folder / "model", folder / "pictures"
    for path in (model, pictures):
        path.mkdir(parents=True, exist_ok=True)
    tokenizer = train_tokenizer()
    tokenizer.save(str(model / "tokenizer.json"))
    about = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    (model / "tokenizer_config.json").write_text(json.dumps(about), encoding="utf-8")
    so400m = HERE.parent / "src" / "radvlm_cli" / "weights" / "siglip-so400m-patch14-384.json"
    tiles = range(1, shape.pinpoints + 1)
    config = LlavaOnevisionConfig(
        vision_config=shape.vision or json.loads(so400m.read_text(encoding="utf-8")),
        text_config=shape.text,
        image_token_index=tokenizer.token_to_id("<image>"),
        video_token_index=tokenizer.token_to_id("<video>"),
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        vision_aspect_ratio="anyres_max_9",
        image_grid_pinpoints=[[384 * h, 384 * w] for h in tiles for w in tiles],
        tie_word_embeddings=shape.text["tie_word_embeddings"],
    )
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        weights = LlavaOnevisionForConditionalGeneration(config)
    torch.set_default_dtype(torch.float32)
    weights.save_pretrained(model, save_original_format=False)
    del weights
    files = draw(pictures, PICTURES, *shape.picture)
    turns = (TURNS[0].text.removeprefix("<image>\n"), TURNS[1].text)
    write_table(folder / "train.parquet", [Given(str(file.absolute()), turns, task="report") for file in files])


def train_ours(folder: Path, shape: Shape, steps: int, attention: str) -> dict[str, Any]:
    """Our program, as `radvlm train` starts it."""
    run, table = folder.absolute() / f"run-{time.time_ns()}", folder.absolute() / "train.parquet"
    run.mkdir()
    manifest = {
        "format": 1,
        "run": {"id": 1, "folder": str(run)},
        "model": {"path": str(folder.absolute() / "model"), "dtype": _dtype(), "attention": attention},
        "data": {
            "table": str(table),
            "sha256": hashlib.sha256(table.read_bytes()).hexdigest(),
            "pairs": PICTURES,
            "cache": str(folder.absolute() / "cache"),
            "workers": 4,
        },
        "optimization": {"global_batch": shape.global_batch, "max_steps": steps},
        "parallel": {"strategy": "ddp", "activation_checkpointing": 1},
        "adapter": {"kind": "lora", "projector": False, **LORA} if shape.lora else None,
        "checkpoints": {"every_minutes": 600},
    }
    (run / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    program = str(HERE.parent / "finetuning" / "train.py")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=1", program]
    subprocess.run([*command, str(run / "manifest.json")], check=True, stdout=sys.stderr)
    lines = (run / "rank0.spool.jsonl").read_text(encoding="utf-8").split("\n")
    events = [json.loads(line) for line in lines if line]
    made = [event for event in events if event["kind"] == "step"]
    mfus = [event["mfu"] for event in made[WARM_UP:] if event["mfu"] is not None]
    return {
        "steps": [(event["tokens"], event["step_s"]) for event in made],
        "mfu": median(mfus) if mfus else None,
        "device": next(event["device"] for event in events if event["kind"] == "started"),
    }


def train_stock(folder: Path, shape: Shape, steps: int, attention: str) -> None:
    """The stock Trainer, with the processor and the loss that it comes with; prints its steps as JSON."""
    import torch
    from data_loader import StockProcessor, stock
    from transformers import (
        LlavaOnevisionForConditionalGeneration,
        PreTrainedTokenizerFast,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )
    from transformers.models.llava_onevision.image_processing_pil_llava_onevision import LlavaOnevisionImageProcessorPil

    model: Any = LlavaOnevisionForConditionalGeneration.from_pretrained(
        folder / "model", dtype=getattr(torch, _dtype()) if shape.lora else torch.float32, attn_implementation=attention
    )
    if shape.lora:
        from peft import LoraConfig, get_peft_model

        config = LoraConfig(
            r=LORA["rank"], lora_alpha=LORA["alpha"], lora_dropout=LORA["dropout"], target_modules=LINEAR
        )
        model = get_peft_model(model, config)
        model.enable_input_require_grads()
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "model" / "tokenizer.json"))
    tiles = range(1, shape.pinpoints + 1)
    pinpoints = [[384 * h, 384 * w] for h in tiles for w in tiles]
    pictures = LlavaOnevisionImageProcessorPil(
        image_mean=[0.5] * 3, image_std=[0.5] * 3, image_grid_pinpoints=pinpoints, size={"height": 384, "width": 384}
    )
    load = stock(StockProcessor(pictures, tokenizer))
    paths = sorted((folder / "pictures").iterdir())
    image_token = tokenizer.convert_tokens_to_ids("<image>")

    class Pairs(torch.utils.data.Dataset[dict[str, torch.Tensor]]):
        """The pictures, as often as they are needed."""

        def __len__(self) -> int:
            return steps * shape.global_batch

        def __getitem__(self, number: int) -> dict[str, torch.Tensor]:
            sample = load(paths[number % len(paths)])
            labels = sample["input_ids"].clone()
            labels[labels == image_token] = -100
            return {**sample, "labels": labels}

    ends = [time.perf_counter()]

    class Clock(TrainerCallback):
        """When each step ended."""

        def on_step_end(self, *_: Any, **__: Any) -> None:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            ends.append(time.perf_counter())

    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(folder / "stock"),
            per_device_train_batch_size=1,
            gradient_accumulation_steps=shape.global_batch,
            max_steps=steps,
            learning_rate=1e-5,
            bf16=torch.cuda.is_available(),
            use_cpu=not torch.cuda.is_available(),
            gradient_checkpointing=True,
            gradient_checkpointing_kwargs={"use_reentrant": False},
            dataloader_num_workers=4,
            remove_unused_columns=False,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
        ),
        train_dataset=Pairs(),
        data_collator=lambda samples: samples[0],
        callbacks=[Clock()],
    )
    tokens = shape.global_batch * int(load(paths[0])["input_ids"].shape[-1])
    ends[0] = time.perf_counter()
    trainer.train()
    print(json.dumps({"steps": [(tokens, b - a) for a, b in itertools.pairwise(ends)]}))


def _dtype() -> str:
    import torch

    return "bfloat16" if torch.cuda.is_available() else "float32"


if __name__ == "__main__":
    main()
