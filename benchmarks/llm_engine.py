"""The engine against a plain loop over the `openai` client and over a bare HTTP client, in one run; then reruns.

    python benchmarks/llm_engine.py --calls 20000 --cached 300000

The fake server (tests/fakes) answers after 200 ms in a process of its own. Everything the engine answers is recorded,
checked and written as a curated text; the two loops throw their answers away. CPU seconds are this process's own.
The long job at the end shows whether memory stays flat, and what a rerun costs: of the finished job, and of one whose
texts are gone and are written anew from the calls that the store remembers. Neither may ask the server anything.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import openai

from radvlm_cli.main import run
from tests.fakes.world import make_store, report_text

MODEL = "test-model"
_LOOK_S = 0.5
Client = Callable[[str, int], Awaitable[Callable[[int], Awaitable[None]]]]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--plain-calls", type=int, default=4_000, help="Of the openai client, which is slow.")
    parser.add_argument("--cached", type=int, default=300_000, help="Calls of the long job; 0 leaves it out.")
    parser.add_argument("--concurrency", type=int, default=512, help="Calls in flight, of all three.")
    told = parser.parse_args()
    command = [sys.executable, "-m", "tests.fakes.openai_server", "--latency-ms", "200", "--count", "characters"]
    command += ["--answers", "tests.fakes.answers:unspoiled"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url, most = server.stdout.readline().strip(), told.concurrency
        bare = measure("bare aiohttp", told.calls, lambda: asyncio.run(loop(bare_client, url, told.calls, most)))
        engine = measure("radvlm curate", told.calls, lambda: short_job(url, told.calls, most))
        plain = measure(
            "openai client", told.plain_calls, lambda: asyncio.run(loop(plain_client, url, told.plain_calls, most))
        )
        print(f"engine / openai client: {engine / plain:.2f}x; engine / bare client: {engine / bare:.2f}x")
        if told.cached:
            long_job(url, told.cached, most)
        server.kill()


class Memory:
    """Resident memory of this process over time."""

    def __init__(self) -> None:
        self._seen: list[float] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        page = os.sysconf("SC_PAGE_SIZE")
        while not self._over.wait(_LOOK_S):
            self._seen.append(int(Path("/proc/self/statm").read_text().split()[1]) * page / 2**20)

    def told(self) -> str:
        """MiB at a quarter of the time, at half, and at the end."""
        self._over.set()
        self._thread.join()
        places = [self._seen[int(share * (len(self._seen) - 1))] for share in (0.25, 0.5, 1)] if self._seen else []
        return "RSS after 1/4, 1/2, all: " + ", ".join(f"{place:.0f}" for place in places) + " MiB"


def measure(name: str, calls: int, work: Callable[[], object]) -> float:
    """Run, print, and return calls a second."""
    memory, wall, cpu = Memory(), time.perf_counter(), time.process_time()
    work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    pace = f"{calls / wall:7.0f}/s {1000 * cpu / calls:6.2f} CPU-s per 1,000"
    print(f"{name:16} {calls:7,} calls {pace}, {memory.told()}", flush=True)
    return calls / wall


def messages(number: int) -> list[dict[str, str]]:
    """As long as a real request."""
    return [{"role": "system", "content": "x" * 2900}, {"role": "user", "content": report_text(number)}]


async def loop(client: Client, url: str, calls: int, most: int) -> None:
    """A plain asyncio loop with a semaphore's worth of workers."""
    ask = await client(url, most)
    numbers = iter(range(calls))

    async def worker() -> None:
        for number in numbers:
            await ask(number)

    await asyncio.gather(*(worker() for _ in range(most)))
    await ask.close()  # type: ignore[attr-defined]


async def bare_client(url: str, most: int) -> Callable[[int], Awaitable[None]]:
    """aiohttp and nothing else."""
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=most))

    async def ask(number: int) -> None:
        body = {"model": MODEL, "messages": messages(number)}
        async with session.post(f"{url}/v1/chat/completions", json=body) as response:
            json.loads(await response.read())

    ask.close = session.close  # type: ignore[attr-defined]
    return ask


async def plain_client(url: str, _most: int) -> Callable[[int], Awaitable[None]]:
    """The openai client as its documentation shows it."""
    client = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none")

    async def ask(number: int) -> None:
        await client.chat.completions.create(model=MODEL, messages=messages(number))  # type: ignore[arg-type]

    ask.close = client.close  # type: ignore[attr-defined]
    return ask


def short_job(url: str, calls: int, most: int) -> None:
    """`radvlm curate` on as many reports."""
    with tempfile.TemporaryDirectory() as folder:
        make_world(Path(folder), calls)
        curate(folder, url, most)


def make_world(folder: Path, reports: int) -> None:
    """A store of reports, and the folder that its source wants."""
    (folder / "Open-i").mkdir()
    make_store(folder / "radvlm.db", reports)


def arguments(folder: str, url: str, most: int) -> list[str]:
    """Of the command."""
    place = ["--source", "openi", "--data-dir", folder, "--no-files", "--concurrency", str(most)]
    return ["curate", *place, "--base-url", f"{url}/v1", "--model", MODEL, "--json"]


def curate(folder: str, url: str, most: int) -> None:
    """The command, in this process."""
    code = run(arguments(folder, url, most))
    assert code in (0, 4), code


def long_job(url: str, calls: int, most: int) -> None:
    """A job of real length, and what it costs to run it again."""
    with tempfile.TemporaryDirectory() as folder:
        make_world(Path(folder), calls)
        measure("the long job", calls, lambda: curate(folder, url, most))
        asked = requests_to(url)
        measure_process("rerun of the finished job", arguments(folder, url, most))
        with sqlite3.connect(Path(folder) / "radvlm.db") as store:
            store.execute("DELETE FROM curated_text")
        measure_process("all texts anew, from the calls in the store", arguments(folder, url, most))
        assert requests_to(url) == asked


def measure_process(name: str, command: list[str]) -> None:
    """Time the command as a process of its own, from start to end."""
    wall = time.perf_counter()
    subprocess.run([sys.executable, "-m", "radvlm_cli", *command], check=True, stdout=subprocess.DEVNULL)
    print(f"{name}: {time.perf_counter() - wall:.1f} s wall", flush=True)


def requests_to(url: str) -> int:
    """How many requests the server has seen."""
    with urllib.request.urlopen(f"{url}/_stats") as reply:
        return int(json.load(reply)["requests"])


if __name__ == "__main__":
    main()
