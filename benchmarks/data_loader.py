"""How many samples per second and core does the data path of training give, beside the stock processor of transformers?

    python benchmarks/data_loader.py [--samples 8] [--rounds 5] [--width 2544] [--height 3056]

Both read the same grey JPEG files (synthetic, MIMIC-CXR's commonest size) and a conversation with a report, on one
core: CPU time, in turns, round after round. Ours gives 8-bit tiles that the device normalises; the third figure is
ours with the normalisation on the CPU, too, which gives bit for bit what the processor gives; both are checked first.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from PIL import Image
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import LlavaOnevisionImageProcessorPil
from transformers.models.llava_onevision.processing_llava_onevision import LlavaOnevisionProcessor

sys.path.insert(0, str(Path(__file__).parent.parent))

from finetuning.anyres import Anyres, normalise
from finetuning.chat import SYSTEM, Chat, Turn
from finetuning.collate import Collate
from finetuning.samples import Sample, Samples
from finetuning.table import Row

REPORT = (
    "The cardiomediastinal silhouette is within normal limits. There is a small left pleural effusion with adjacent "
    "atelectasis. No pneumothorax. The osseous structures are unremarkable. "
) * 3
TURNS = (Turn("human", "<image>\nWrite a report for this radiograph."), Turn("gpt", REPORT.strip()))


class StockProcessor(LlavaOnevisionProcessor):
    """The processor of transformers without its video part, which needs torchvision."""

    def __init__(self, image_processor: Any, tokenizer: Any) -> None:
        self.image_processor, self.tokenizer, self.video_processor = image_processor, tokenizer, None
        self.num_image_tokens, self.vision_aspect_ratio = 27 * 27, "anyres_max_9"
        self.vision_feature_select_strategy = "full"
        self.chat_template = None
        self.image_token, self.image_token_id = "<image>", tokenizer.convert_tokens_to_ids("<image>")
        self.video_token, self.video_token_id = "<video>", tokenizer.convert_tokens_to_ids("<video>")


def train_tokenizer() -> Tokenizer:
    """A byte-level tokenizer as Qwen2's, trained on the report."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=600, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([REPORT, SYSTEM, TURNS[0].text], trainer)
    special = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>", "<video>")
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return tokenizer


def draw(folder: Path, count: int, width: int, height: int) -> list[Path]:
    """Grey JPEG files: smooth shapes and detector noise."""
    paths = []
    for number in range(count):
        random = np.random.default_rng(number)
        coarse = Image.fromarray(random.random((12, 12), dtype=np.float32) * 200)
        shade = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))
        noisy = shade + random.normal(20, 5, shade.shape)
        paths.append(folder / f"{number}.jpg")
        Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(paths[-1], quality=92)
    return paths


def stock(processor: StockProcessor) -> Callable[[Path], dict[str, torch.Tensor]]:
    """As a script with the stock processor would: picture and templated text in, float32 tensors out."""
    text = (
        f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n{TURNS[0].text}<|im_end|>\n"
        f"<|im_start|>assistant\n{TURNS[1].text}<|im_end|>\n"
    )

    def load(path: Path) -> dict[str, torch.Tensor]:
        with Image.open(path) as picture:
            return dict(processor(images=picture.convert("RGB"), text=text, return_tensors="pt"))

    return load


def ours(chat: Chat, *, normalised: bool) -> Callable[[Path], dict[str, Any]]:
    """A row loaded and put into a batch."""
    samples = Samples(None, chat, Anyres(), max_length=32768)  # type: ignore[arg-type]
    collate = Collate(chat, samples.anyres)

    def load(path: Path) -> dict[str, Any]:
        sample = samples.load(Row("p", str(path), TURNS, "report"))
        assert isinstance(sample, Sample), sample
        batch = collate([sample])
        if normalised:
            batch["pixels"] = normalise(batch["pixels"][:, :1], torch.float32).expand(-1, 3, -1, -1)
        return batch

    return load


def check(theirs: dict[str, Any], own: dict[str, Any]) -> None:
    """Both give the same sample."""
    assert torch.equal(theirs["input_ids"], own["input_ids"])
    assert torch.equal(theirs["pixel_values"][0], own["pixels"])
    assert theirs["image_sizes"].tolist() == own["image_sizes"].tolist()


def seconds_each(load: Callable[[Path], object], paths: list[Path]) -> float:
    """CPU seconds of this process per sample."""
    begun = time.process_time()
    for path in paths:
        load(path)
    return (time.process_time() - begun) / len(paths)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=8, help="pictures per round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--width", type=int, default=2544)
    parser.add_argument("--height", type=int, default=3056)
    options = parser.parse_args()
    torch.set_num_threads(1)
    tokenizer = train_tokenizer()
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    processor = StockProcessor(LlavaOnevisionImageProcessorPil(image_mean=[0.5] * 3, image_std=[0.5] * 3), wrapped)
    chat = Chat(tokenizer)
    paths_of = {
        "stock processor": stock(processor),
        "ours": ours(chat, normalised=False),
        "ours, normalised on the CPU": ours(chat, normalised=True),
    }
    with tempfile.TemporaryDirectory() as folder:
        paths = draw(Path(folder), options.samples, options.width, options.height)
        check(paths_of["stock processor"](paths[0]), paths_of["ours, normalised on the CPU"](paths[0]))
        rounds = [[seconds_each(load, paths) for load in paths_of.values()] for _ in range(options.rounds)]
    print(f"{options.width} x {options.height}, {options.samples} samples a round, {options.rounds} rounds, one core")
    for name, taken in zip(paths_of, zip(*rounds, strict=True), strict=True):
        ratios = [each[0] / own for each, own in zip(rounds, taken, strict=True)]
        print(
            f"{name:28} {1 / median(taken):6.2f} samples/s ({1 / max(taken):.2f} to {1 / min(taken):.2f}), "
            f"{median(taken):.3f} s each, {median(ratios):.2f} x the stock ({min(ratios):.2f} to {max(ratios):.2f})"
        )


if __name__ == "__main__":
    main()
