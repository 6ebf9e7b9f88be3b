"""Answering in batches against one by one, by the same adapter on the same requests, in turns within one run.

    python benchmarks/answering.py FOLDER                                  # the demo's tiny model, on a CPU
    python benchmarks/answering.py FOLDER --shape 7b --samples 32 --rounds 3   # a 7B of random weights, on a GPU

All models have random weights (what they say plays no part) and answers are cut off at `--most` new tokens. The 7B
sees pictures of 2544 x 3056, which are some 7,200 tokens each; it is made in FOLDER (16 GB) unless it is there. Each
round answers all requests once by every policy, in an order that changes from round to round. Prints, for each policy,
answers per second and the ratio to one by one of the same round: median, least and most of the rounds; and
whether the texts are the same (in float32 they have to be; in bfloat16 ties fall either way). `--shape small` is made
as the 7B is, but so small that a CPU shows whether all of it works.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, cast

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
ALONE = "1"
QUESTIONS = (
    "Write the findings of this chest X-ray.",
    "Where is the right lung?",
    "Which abnormalities are seen in this image?",
    "Please give the coordinates of the opacity in the left lower lobe, if there is one.",
)
SIZES = {
    "tiny": ((320, 390), (390, 320), (512, 512)),
    "small": ((390, 320),),
    "0.5b": ((2544, 3056),),
    "7b": ((2544, 3056),),
}
"""Width and height of the pictures."""
LIKE_TRAINING = {"small": "tiny", "0.5b": "0.5b", "7b": "7b-lora"}
"""Shapes that are made as gpu_training.py makes them, by their names there."""


class Round(NamedTuple):
    """One policy in one round."""

    seconds: float
    cpu: float
    """Seconds of processor time, which other processes on the machine disturb less."""
    texts: tuple[str, ...]


def main() -> None:
    """Measure and print."""
    told = _parse()
    if told.threads:
        import torch

        torch.set_num_threads(told.threads)
    adapter = load(told.folder.absolute(), told.shape, told.attention)
    asked = requests(told.folder.absolute(), told.shape, told.samples)
    policies = [ALONE, *told.batches]
    for policy in policies:  # warm up: kernels, allocator, pictures in the page cache
        run(adapter, asked[: told.warm], told.most, policy)
    rounds: dict[str, list[Round]] = {policy: [] for policy in policies}
    for number in range(told.rounds):
        turn = number % len(policies)
        for policy in policies[turn:] + policies[:turn]:
            rounds[policy].append(run(adapter, asked, told.most, policy))
            print(
                f"round {number + 1}, batch {policy}: {rounds[policy][-1].seconds:.1f} s", file=sys.stderr, flush=True
            )
    about = {name: adapter.identity[name] for name in ("backend", "dtype", "attention")}
    print(json.dumps({"shape": told.shape, "samples": told.samples, "most": told.most, "device": _device(), **about}))
    for policy in policies:
        report(policy, rounds)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shape", choices=list(SIZES), default="tiny")
    parser.add_argument("--samples", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--most", type=int, default=64, help="new tokens of an answer")
    parser.add_argument("--batches", nargs="+", default=["8", "16", "auto"], help="numbers, or auto")
    parser.add_argument("--warm", type=int, default=8, help="requests that are answered before the clock starts")
    parser.add_argument("--threads", type=int, help="of torch, on a CPU")
    parser.add_argument("--attention", choices=["sdpa", "eager", "flash_attention_2"])
    return parser.parse_args()


def report(policy: str, rounds: dict[str, list[Round]]) -> None:
    """Print one policy beside one by one."""
    alone, own = rounds[ALONE], rounds[policy]
    count = len(own[0].texts)
    paces = sorted(count / each.seconds for each in own)
    walls = _spread([one.seconds / each.seconds for one, each in zip(alone, own, strict=True)])
    cpus = _spread([one.cpu / each.cpu for one, each in zip(alone, own, strict=True)])
    same = sum(a == b for a, b in zip(alone[0].texts, own[0].texts, strict=True))
    print(
        f"batch {policy:>4}: {median(paces):8.2f} answers/s ({paces[0]:.2f} to {paces[-1]:.2f}); by the clock {walls}, "
        f"by processor time {cpus}; {same} of {count} texts the same",
        flush=True,
    )


def _spread(ratios: Sequence[float]) -> str:
    return f"{median(ratios):.2f}x ({min(ratios):.2f} to {max(ratios):.2f})"


def run(adapter: Any, asked: Sequence[Any], most: int, policy: str) -> Round:
    """Answer everything once."""
    from radvlm_cli.adapters.batching import answer_all

    started, used = time.perf_counter(), time.process_time()
    replies = {
        request.key: reply
        for request, reply in answer_all(adapter, asked, most, "auto" if policy == "auto" else int(policy))
    }
    seconds = time.perf_counter() - started  # texts are on the CPU by now: nothing runs on
    failed = [reply.error for reply in replies.values() if reply.error]
    if failed or len(replies) != len(asked):
        raise SystemExit(f"batch {policy}: {len(asked) - len(replies)} lost, {len(failed)} failed: {failed[:1]}")
    return Round(seconds, time.process_time() - used, tuple(replies[request.key].text for request in asked))


def load(folder: Path, shape: str, attention: str | None) -> Any:
    """The adapter of a model of random weights, which is made unless it is there."""
    import torch

    from radvlm_cli.adapters import card
    from radvlm_cli.adapters.protocol import Device, Loading

    model = folder / shape / "model"
    if not (model / "config.json").exists():
        _make(folder / shape, shape)
    device = cast(Device, "cuda" if torch.cuda.is_available() else "cpu")
    return card("radvlm").load(Loading((model,), device, attention=attention))


def _make(folder: Path, shape: str) -> None:
    if shape == "tiny":
        from radvlm_cli.demo.tiny_model import write_tiny_model

        folder.mkdir(parents=True, exist_ok=True)
        write_tiny_model(folder / "model", QUESTIONS * 5)
        return
    from gpu_training import SHAPES, make

    make(folder, SHAPES[LIKE_TRAINING[shape]])


def requests(folder: Path, shape: str, count: int) -> list[Any]:
    """A picture and a question each, sizes and lengths mixed."""
    from radvlm_cli.adapters.protocol import Request
    from radvlm_cli.records import Turn

    pictures = list(_pictures(folder / shape / "shown", SIZES[shape]))
    return [
        Request(str(n), pictures[n % len(pictures)], (Turn("human", QUESTIONS[n % len(QUESTIONS)]),), "report")
        for n in range(count)
    ]


def _pictures(folder: Path, sizes: Sequence[tuple[int, int]]) -> Iterator[Path]:
    """Four grey pictures of each size (width, height): noise, enlarged so that it compresses as radiographs do."""
    import numpy as np
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    chance = np.random.default_rng(0)
    for width, height in sizes:
        for number in range(4):
            coarse = Image.fromarray(chance.integers(0, 256, (height // 16, width // 16), dtype=np.uint8))
            path = folder / f"{width}x{height}-{number}.png"
            coarse.resize((width, height), Image.Resampling.BICUBIC).save(path)
            yield path


def _device() -> str:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"


if __name__ == "__main__":
    main()
