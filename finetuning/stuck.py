"""A rank that hangs must still die of SIGTERM.

When one rank dies, torchrun sends the others SIGTERM, which here asks for a checkpoint after the step. But a rank that
waits for the dead one in a collective never comes to the end of its step, nor even to the handler of the signal; until
torchrun's shutdown time-out it would hold its GPU. So a thread, which the kernel wakes through a pipe, looks on.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable


class StuckGuard:
    """Ends this process `patience()` seconds after a SIGTERM that was not `answered` by then. Main thread only."""

    def __init__(self, patience: Callable[[], float]) -> None:
        self._patience = patience
        self._over = threading.Event()

    def start(self) -> None:
        """Begin to look on."""
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._before = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        self._thread = threading.Thread(target=self._look, name="stuck-guard", daemon=True)
        self._thread.start()
        os.register_at_fork(after_in_child=self._forget)

    def answered(self) -> None:
        """The signal has been heard: all ranks agree to stop, and save."""
        self._over.set()

    def stop(self) -> None:
        """Look no longer."""
        self._over.set()
        signal.set_wakeup_fd(self._before)
        os.close(self._write)
        self._thread.join()
        os.close(self._read)

    def _look(self) -> None:
        while number := os.read(self._read, 1):
            if number[0] == signal.SIGTERM:
                break
        if number and not self._over.wait(self._patience()):
            os.write(2, b"SIGTERM, and no end of the step: another rank has died. Ending without a checkpoint.\n")
            os._exit(128 + signal.SIGTERM)

    def _forget(self) -> None:
        """In a forked child: its signals are not this process's."""
        if not self._over.is_set():
            signal.set_wakeup_fd(-1)
