"""The training program without a model: the real manifest, spool, lock, stops and checkpoints around a loss of 1/step.

How it misbehaves is told by files in the run's parent folder: `step_s` (seconds per step), `fail` (an error to report),
`crash` (exit without a word at that step), `stop_at_once` (a reason to stop before the first step), `marked` (so
many look-alikes of special tokens a step, with a pair that is left out).
"""

import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from finetuning import checkpoints
from finetuning.continuity import Facts
from finetuning.events import SpoolWriter, now
from finetuning.manifest import Manifest, read_manifest
from finetuning.stopping import StopWatch, die_with_parent, run_lock


def told(manifest: Manifest, name: str) -> str | None:
    path = manifest.run.folder.parent / name
    return path.read_text().strip() if path.exists() else None


def facts(manifest: Manifest, step: int, world: int) -> Facts:
    batch = manifest.optimization.global_batch
    return Facts(
        step=step,
        consumed_samples=step * batch,
        epoch=0.0,
        world_size=world,
        micro_batch=manifest.optimization.micro_batch,
        accumulation=1,
        global_batch=batch,
        seed=0,
        data_sha256=manifest.data.sha256,
        model="stand-in",
        strategy=manifest.parallel.strategy,
    )


def save(manifest: Manifest, spool: SpoolWriter, step: int, world: int) -> None:
    folder = manifest.run.folder
    path = checkpoints.save(
        folder / "checkpoints",
        step,
        lambda staging: (staging / "weights").write_text(f"{step}") and None,
        facts=facts(manifest, step, world),
        rank=0,
        world=1,
        barrier=lambda: None,
        keep=manifest.checkpoints.keep,
    )
    where = path.relative_to(folder).as_posix()
    spool.append("checkpoint", step=step, consumed_samples=step, path=where, bytes=1, seconds=0.0, at=now())


def train(manifest: Manifest, spool: SpoolWriter, world: int) -> str | None:
    folder, steps = manifest.run.folder, manifest.optimization.max_steps or 10
    checkpoints.clean_staging(folder / "checkpoints")
    found = checkpoints.newest(folder / "checkpoints")
    step = found.facts.step if found else 0
    resumed = step if found else None
    spool.append(
        "started", world_size=world, steps=steps, parameters=9, trainable=9, device="cpu", resumed_from=resumed
    )
    crash, every = int(told(manifest, "crash") or 0), manifest.checkpoints.every_steps or steps
    margin_s = manifest.stop.margin_s
    with StopWatch(folder, rank=0, agree=lambda told: told, margin_s=margin_s) as watch:
        while step < steps:
            time.sleep(float(told(manifest, "step_s") or 0.02))
            step += 1
            if step == crash:
                os._exit(7)
            rates = {"language": 1e-5, "vision": 2e-6}
            read = {"step_s": 0.1, "tokens_per_s": 5.0, "samples_per_s": 2.0, "memory_gib": 3.5, "data_wait_s": 0.0}
            if marked := int(told(manifest, "marked") or 0):
                spool.append("dropped", pair_id=f"pair-{step % 2}", reason="the image file is missing")
            read["literals"] = marked * step
            spool.append("step", step=step, loss=1 / step, learning_rates=rates, mfu=None, at=now(), **read)
            reason = watch.requested(step)
            if reason is not None or step == steps or step % every == 0:
                save(manifest, spool, step, world)
            if reason is not None and step < steps:
                return reason
    return None


def main() -> int:
    manifest, rank, world = read_manifest(Path(sys.argv[1])), int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    die_with_parent()
    (manifest.run.folder / f"pid-{rank}").write_text(str(os.getpid()))
    if rank != 0:
        return 0
    with run_lock(manifest.run.folder):
        spool = SpoolWriter(manifest.run.folder, rank)
        problem = told(manifest, "fail")
        if problem is not None:
            spool.append("ended", status="failed", message=problem, hint="Mend it.", at=now())
            return 3
        reason = told(manifest, "stop_at_once") or train(manifest, spool, world)
        if reason is not None:
            spool.append("stopping", reason=reason, step=0)
        else:
            (manifest.run.folder / "final").mkdir(exist_ok=True)
        spool.append("ended", status="stopped" if reason else "done", message=reason, hint=None, at=now())
        spool.close()
    return 130 if reason else 0


if __name__ == "__main__":
    sys.exit(main())
