"""The fake server as a process of its own, for tests that kill its clients and for benchmarks."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[2]


@contextmanager
def server_process(*options: str) -> Iterator[str]:
    """Start `python -m tests.fakes.openai_server OPTIONS`; its address. It is killed at the end."""
    command = [sys.executable, "-m", "tests.fakes.openai_server", *options]
    with subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            assert url, "the server did not start"
            yield url
        finally:
            process.kill()


def stats(url: str) -> dict[str, Any]:
    """What the server at `url` counted."""
    with urllib.request.urlopen(f"{url}/_stats") as response:
        return dict(json.load(response))


def control(url: str, **changes: Any) -> None:
    """Change the behaviour of the server at `url`: `down`, `status`, `fault_rate`, `batch_end`."""
    request = urllib.request.Request(f"{url}/_control", data=json.dumps(changes).encode(), method="POST")
    with urllib.request.urlopen(request):
        pass


def read_log(path: Path) -> list[dict[str, Any]]:
    """The events that a server logged."""
    return [json.loads(line) for line in path.read_text().splitlines()]
