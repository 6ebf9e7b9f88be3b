"""What a training run will take, before it is started: by arithmetic (dry run), or by three steps (preflight)."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from radvlm_cli.errors import TrainingError
from radvlm_cli.progress import Progress, StopSignal
from radvlm_cli.stages.training.inputs import check_model
from radvlm_cli.training import estimate
from radvlm_cli.training.launch import Launched, Ranks, command
from radvlm_cli.training.manifest import SPOOL, make_manifest, write_manifest
from radvlm_cli.training.program import ask
from radvlm_cli.training.progress import duration, large
from radvlm_cli.training.recipe import Values, overlaid

STRATEGIES = ("ddp", "zero2", "zero3", "zero3-offload")
PREFLIGHT_STEPS = 3
_ENDLESS = 1000
"""Steps that a preflight would make if nobody ended it."""
_LOOK_EVERY_S = 0.5


class Plan(NamedTuple):
    """What a run will take."""

    strategy: str
    ranks: int
    parameters: int
    trainable: int
    pairs: int
    """In the dataset."""
    trained_on: int
    dropped: dict[str, int]
    """Pairs that are left out, by reason."""
    tokens: int
    """Of one epoch."""
    longest: int
    steps: int
    flops: float
    """Of the whole run."""
    on_cpu: bool
    hours: dict[str, float]
    """On so many H100, by MFU."""
    memory_gib: dict[str, float]
    """Per GPU, by strategy."""
    host_memory_gib: float
    """Per node, where the strategy offloads."""
    checkpoint_gb: float
    disk_gb: float
    """Two checkpoints and one being written."""
    free_gb: float


def plan(settings: Values, ranks: Ranks, output: Path) -> Plan:
    """Count the dataset and compute; the counts are kept in RUNS/cache, where training will find them."""
    with _scratch(output) as folder:
        counts = ask(write_manifest(folder, make_manifest(settings, run_id=0, folder=folder)))
    config = check_model(Path(settings["model"]["path"]))
    parameters = estimate.parameters(config)
    steps = estimate.steps(settings, counts["trained_on"])
    batch = settings["optimization"].get("global_batch", 256)
    flops = estimate.training_flops(counts, settings) * steps * batch / max(1, counts["trained_on"])
    world = ranks.world
    by_strategy = {name: _memory(config, settings, name, world, counts) for name in STRATEGIES}
    strategy = settings["parallel"].get("strategy", "zero2")
    size = estimate.checkpoint_bytes(config, settings) / 1e9
    return Plan(
        strategy=strategy,
        ranks=world,
        parameters=parameters.total,
        trainable=estimate.trainable(parameters, config, settings),
        **{name: counts[name] for name in ("pairs", "trained_on", "dropped", "tokens", "longest")},
        steps=steps,
        flops=flops,
        on_cpu=ranks.gpus == 0,
        hours={f"{mfu:.0%}": round(estimate.hours(flops, world, mfu), 2) for mfu in estimate.MFU},
        memory_gib={name: round(memory.gpu, 1) for name, memory in by_strategy.items()},
        host_memory_gib=round(by_strategy[strategy].host * ranks.per_node, 1),
        checkpoint_gb=round(size, 1),
        disk_gb=round(3 * size, 1),
        free_gb=round(shutil.disk_usage(output).free / 1e9, 1),
    )


def _memory(config: Values, settings: Values, strategy: str, world: int, counts: Values) -> estimate.Memory:
    other = overlaid(settings, {"parallel": {"strategy": strategy}})
    return estimate.memory(config, other, world=world, longest=counts["longest"], most_tiles=counts["most_tiles"])


def plan_rows(plan: Plan) -> list[dict[str, str]]:
    """A plan as a table of two columns."""
    mean = plan.tokens / max(1, plan.trained_on)
    left_out = "".join(f"; {count:,} left out: {reason}" for reason, count in plan.dropped.items())
    memory = ", ".join(f"{name} {gib:.0f}" for name, gib in plan.memory_gib.items())
    hours = ", ".join(f"{duration(value * 3600)} at {mfu}" for mfu, value in plan.hours.items())
    time = {f"time on {plan.ranks} H100": f"{hours} MFU"}
    place = "process" if plan.on_cpu else "GPU"
    if plan.on_cpu:
        time = {"time": "--preflight measures it: how fast a CPU is cannot be told"}
    host = f"; {plan.host_memory_gib:,.0f} GiB of main memory per node" if plan.host_memory_gib else ""
    pairs = {
        "parameters": f"{large(plan.parameters)}, of which {large(plan.trainable)} train",
        "pairs": f"{plan.trained_on:,}{left_out}",
        "tokens": f"{large(plan.tokens)} per epoch: {mean:,.0f} on average, {plan.longest:,} at most",
        "steps": f"{plan.steps:,}",
        "operations": f"{plan.flops:.2g} FLOPs",
        **time,
        f"memory per {place}, {plan.strategy}": f"{plan.memory_gib[plan.strategy]:.0f} GiB{host}",
        "by strategy": f"GiB: {memory}",
        "disk": f"{plan.checkpoint_gb:,.1f} GB a checkpoint, {plan.disk_gb:,.1f} GB at most; "
        f"{plan.free_gb:,.0f} GB free",
    }
    return [{"what": what, "estimate": value} for what, value in pairs.items()]


def preflight(settings: Values, ranks: Ranks, output: Path, *, progress: Progress, stop: StopSignal) -> dict[str, Any]:
    """Make three steps on real data in a folder that is removed again; return what was measured.

    Raises TrainingError with the program's own words where it does not get that far.
    """
    short = {
        "optimization": {"max_steps": _ENDLESS},
        "checkpoints": {"every_steps": None, "every_minutes": 1e6},
        "data": {"held_out": {"table": None}},
        "report_to": [],
    }
    progress.start("preflight", total=PREFLIGHT_STEPS)
    with _scratch(output) as folder:
        write_manifest(folder, make_manifest(overlaid(settings, short), run_id=0, folder=folder))
        launched = Launched(folder, command(folder, ranks), on_cpu=ranks.gpus == 0)
        try:
            events = _steps_of(folder, launched, progress, stop)
        finally:
            launched.kill()
        steps = [event for event in events if event["kind"] == "step"]
        if len(steps) < PREFLIGHT_STEPS:
            _raise_failure(events, launched)
    started = next(event for event in events if event["kind"] == "started")
    # The first step warms up kernels and caches.
    warm = steps[1:PREFLIGHT_STEPS]
    mean = {name: sum(step[name] for step in warm) / len(warm) for name in ("step_s", "tokens_per_s", "samples_per_s")}
    mfu = [step["mfu"] for step in warm if step.get("mfu") is not None]
    total = estimate.steps(settings, settings["data"]["pairs"])
    return {
        "device": started["device"],
        "ranks": started["world_size"],
        "memory_gib": round(max(step["memory_gib"] for step in steps), 2),
        **{name: round(value, 3) for name, value in mean.items()},
        "mfu": round(sum(mfu) / len(mfu), 3) if mfu else None,
        "data_wait_s": round(sum(step["data_wait_s"] for step in warm) / len(warm), 3),
        "steps": total,
        "hours": round(total * mean["step_s"] / 3600, 2),
    }


def _steps_of(folder: Path, launched: Launched, progress: Progress, stop: StopSignal) -> list[dict[str, Any]]:
    """The events until enough steps are made, or the program is over."""
    seen = 0
    while True:
        over = launched.ended
        events = _events(folder)
        steps = sum(event["kind"] == "step" for event in events)
        progress.advance(min(steps, PREFLIGHT_STEPS) - seen)
        seen = min(steps, PREFLIGHT_STEPS)
        if over or seen == PREFLIGHT_STEPS:
            return events
        stop.check()
        time.sleep(_LOOK_EVERY_S)


def _events(folder: Path) -> list[dict[str, Any]]:
    spool = folder / SPOOL
    if not spool.exists():
        return []
    whole = spool.read_bytes().rpartition(b"\n")[0]
    return [json.loads(line) for line in whole.splitlines() if line.strip()]


def _raise_failure(events: list[dict[str, Any]], launched: Launched) -> None:
    ended = next((event for event in reversed(events) if event["kind"] == "ended"), None)
    if ended is not None and ended["status"] == "failed":
        raise TrainingError(ended["message"], ended.get("hint"))
    if ended is not None:
        raise TrainingError(
            f"The run is over in fewer than {PREFLIGHT_STEPS} steps: too short for a preflight.", "Just train."
        )
    raise TrainingError(f"The training program ended without a word:\n{launched.last_words()}")


@contextmanager
def _scratch(output: Path) -> Iterator[Path]:
    """A folder beside the runs that does not outlive the body."""
    output.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".preflight-", dir=output))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
