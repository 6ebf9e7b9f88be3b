"""One bash for the whole walk, as a newcomer has one terminal: what a command sets or changes holds for the next."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Self

_SURPRISES = re.compile(
    r"Traceback \(most recent call last\)|\b\w*Warning: |^warning: |\[WARNING\]", re.MULTILINE | re.I
)


class Said(NamedTuple):
    """What a command did."""

    code: int | None
    """Its exit code; None: it took too long."""
    text: str
    """Both its outputs, mixed."""
    seconds: float


class Shell:
    """A bash that is fed with commands."""

    def __init__(self, folder: Path, environment: Mapping[str, str], scratch: Path) -> None:
        self._file = scratch / "command.sh"
        self._mark = f"walk-{uuid.uuid4().hex}"
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()

    def run(self, command: str, *, patience_s: float) -> Said:
        """Run a command to its end. It reads nothing from a keyboard."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        begun = time.monotonic()
        self._file.write_text(f"{command}\n", encoding="utf-8")
        self._process.stdin.write(f". '{self._file}' </dev/null; printf '\\n{self._mark} %d\\n' $?\n".encode())
        self._process.stdin.flush()
        said = b""
        end = re.compile(rb"\n" + self._mark.encode() + rb" (\d+)\n")
        while not (match := end.search(said)):
            left = begun + patience_s - time.monotonic()
            if left < 0 or self._process.poll() is not None:
                return Said(None, said.decode(errors="replace"), time.monotonic() - begun)
            if select.select([self._process.stdout], [], [], min(left, 1))[0]:
                said += os.read(self._process.stdout.fileno(), 65536)
        return Said(int(match[1]), said[: match.start()].decode(errors="replace"), time.monotonic() - begun)


def surprise_in(text: str) -> str | None:
    """The first line that a newcomer would stumble over: a traceback, a warning."""
    match = _SURPRISES.search(text)
    return None if match is None else text[text.rfind("\n", 0, match.start()) + 1 :].partition("\n")[0]
