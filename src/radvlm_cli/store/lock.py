"""One run of a stage at a time per store: an advisory lock on a file beside it, freed by the kernel on any death."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from radvlm_cli.errors import StoreError


@contextmanager
def stage_lock(store: Path, stage: str, run_id: int | None = None) -> Iterator[None]:
    """Hold the lock of `stage`, or of one run of it; StoreError naming the holder if another process has it."""
    path = store.with_name(f"{store.name}.{stage}{'' if run_id is None else f'-{run_id}'}.lock")
    with path.open("a+", encoding="utf-8") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            holder = stream.read().strip() or "another process"
            if run_id is not None:
                stop = f"Wait for it, or have it stop: radvlm {stage} --stop {run_id}"
                raise StoreError(f"Another `radvlm {stage}` is at work on run {run_id} ({holder}).", stop) from None
            raise StoreError(
                f"Another `radvlm {stage}` is at work on {store} ({holder}).", "Wait for it: radvlm db status"
            ) from None
        stream.truncate(0)
        stream.write(f"process {os.getpid()} on {socket.gethostname()}")
        stream.flush()
        yield
