"""A chat in a pseudo-terminal, as a person has it."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

_PATIENCE_S = 120.0
_START = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); from radvlm_cli.main import main; main()"
"""The program, with the terminal as its own: it is told when that is closed."""


class Terminal:
    """`radvlm` in a pseudo-terminal: type a line, see what it says up to the next prompt."""

    def __init__(self, *arguments: str, folder: Path) -> None:
        ours, theirs = pty.openpty()
        environment = {**os.environ, "TERM": "dumb", "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START, *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )
        os.close(theirs)
        self._terminal = ours
        self._closed = False

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()
        self._close()

    def until(self, words: str = "\n> ") -> str:
        """What is said up to these words."""
        said, end = "", time.monotonic() + _PATIENCE_S
        while words not in said:
            assert time.monotonic() < end, f"waited for {words!r} in {said!r}"
            if select.select([self._terminal], [], [], 0.1)[0]:
                try:
                    part = os.read(self._terminal, 4096)
                except OSError:  # Linux's way to say that the other end is closed
                    raise AssertionError(f"it ended: {said!r}") from None
                said += part.decode().replace("\r\n", "\n")
        return said

    def type(self, line: str, until: str = "\n> ") -> str:
        """Type a line; what is said then."""
        os.write(self._terminal, f"{line}\n".encode())
        return self.until(until)

    def press_ctrl_c(self) -> None:
        """As the terminal sends it, once the program waits for a key.

        Between the prompt and that there are some microseconds in which Python notes a signal and then waits for a key
        all the same (readline's select is not told). A person presses again; a script on a busy machine hangs now and
        then.
        """
        self._wait_for_a_key()
        self._process.send_signal(signal.SIGINT)

    def _wait_for_a_key(self) -> None:
        end = time.monotonic() + _PATIENCE_S
        while not self._sleeps():
            assert time.monotonic() < end, "it never waits for a key"
            time.sleep(0.005)

    def _sleeps(self) -> bool:
        """Whether the program waits for something: the state behind its name in Linux's table of processes."""
        try:
            state = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:  # another system
            time.sleep(0.3)
            return True
        return state == "S"

    def hang_up(self) -> None:
        """As when somebody tells it that the window is closed."""
        self._wait_for_a_key()
        self._process.send_signal(signal.SIGHUP)

    def close_window(self) -> None:
        """Close it: nothing can be read or said any more, and the system sends the signal."""
        self._wait_for_a_key()
        self._close()

    def _close(self) -> None:
        if not self._closed:
            os.close(self._terminal)
        self._closed = True

    def ended(self) -> int:
        """The exit code."""
        return self._process.wait(_PATIENCE_S)

    def end(self, line: str = "/quit") -> int:
        """Type the last line; the exit code."""
        os.write(self._terminal, f"{line}\n".encode())
        return self.ended()
