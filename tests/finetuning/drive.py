"""Runs the training program on several manifests one after another in one process: importing torch takes seconds.

    [torchrun --nproc-per-node 2] tests/finetuning/drive.py MANIFEST...

A run may go on from a checkpoint of one before it: RUN/continue holds its path, and it is copied to RUN/checkpoints.
The exit code of each rank is written to RUN/exitRANK.
"""

from __future__ import annotations

import gc
import os
import shutil
import sys
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))


def run(manifest: Path) -> None:
    """One run of the program; the group of ranks is kept for the next."""
    from finetuning.program import main

    rank = int(os.environ.get("RANK", 0))
    start = manifest.parent / "continue"
    if start.exists() and rank == 0:
        source = Path(start.read_text())
        shutil.copytree(source, manifest.parent / "checkpoints" / source.name)
        start.unlink()
    try:
        code = main([str(manifest)])
    except Exception:
        traceback.print_exc()
        code = 1
    gc.collect()  # ZeRO-3 counts as on while its arguments live
    gc.freeze()  # what is left are modules, which each later collection would look through again
    (manifest.parent / f"exit{rank}").write_text(str(code))


if __name__ == "__main__":
    for each in sys.argv[1:]:
        run(Path(each))
