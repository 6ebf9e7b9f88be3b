"""The engine against a plain loop over the `openai` client and over a bare HTTP client, in one run; then a rerun.

    python benchmarks/llm_engine.py --calls 20000 --cached 300000

The fake server (tests/fakes) answers after 200 ms in a process of its own. Everything the engine answers is recorded,
checked and written as a curated text; the two loops throw their answers away. CPU seconds are this process's own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import openai

from radvlm_cli.main import run
from tests.fakes.world import make_store, report_text

CONCURRENCY = 256
MODEL = "test-model"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--plain-calls", type=int, default=2_000, help="Of the openai client, which is slow.")
    parser.add_argument("--cached", type=int, default=300_000)
    told = parser.parse_args()
    command = [sys.executable, "-m", "tests.fakes.openai_server", "--latency-ms", "200", "--count", "characters"]
    command += ["--answers", "tests.fakes.answers:unspoiled"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        bare = measure("bare aiohttp", told.calls, lambda: asyncio.run(loop(bare_client, url, told.calls)))
        engine = measure("radvlm curate", told.calls, lambda: curate(url, told.calls))
        plain = measure(
            "openai client", told.plain_calls, lambda: asyncio.run(loop(plain_client, url, told.plain_calls))
        )
        server.kill()
    print(f"engine / openai client: {engine / plain:.2f}x; engine / bare client: {engine / bare:.2f}x")
    rerun(told.cached)


def measure(name: str, calls: int, work: Callable[[], object]) -> float:
    """Run, print, and return calls a second."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    pace = f"{calls / wall:7.0f}/s {1000 * cpu / calls:6.2f} CPU-s per 1,000"
    print(f"{name:16} {calls:7,} calls {pace}, peak {peak:.0f} MiB")
    return calls / wall


def messages(number: int) -> list[dict[str, str]]:
    """As long as a real request."""
    return [{"role": "system", "content": "x" * 2900}, {"role": "user", "content": report_text(number)}]


async def loop(client: Callable[..., Awaitable[Callable[[int], Awaitable[None]]]], url: str, calls: int) -> None:
    """A plain asyncio loop with a semaphore's worth of workers."""
    ask = await client(url)
    numbers = iter(range(calls))

    async def worker() -> None:
        for number in numbers:
            await ask(number)

    await asyncio.gather(*(worker() for _ in range(CONCURRENCY)))
    await ask.close()  # type: ignore[attr-defined]


async def bare_client(url: str) -> Callable[[int], Awaitable[None]]:
    """aiohttp and nothing else."""
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONCURRENCY))

    async def ask(number: int) -> None:
        body = {"model": MODEL, "messages": messages(number)}
        async with session.post(f"{url}/v1/chat/completions", json=body) as response:
            json.loads(await response.read())

    ask.close = session.close  # type: ignore[attr-defined]
    return ask


async def plain_client(url: str) -> Callable[[int], Awaitable[None]]:
    """The openai client as its documentation shows it."""
    client = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none")

    async def ask(number: int) -> None:
        await client.chat.completions.create(model=MODEL, messages=messages(number))  # type: ignore[arg-type]

    ask.close = client.close  # type: ignore[attr-defined]
    return ask


def curate(url: str, calls: int) -> None:
    """`radvlm curate` on as many reports."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        (data / "Open-i").mkdir()
        make_store(data / "radvlm.db", calls)
        place = ["--source", "openi", "--data-dir", folder, "--no-files", "--concurrency", str(CONCURRENCY)]
        code = run(["curate", *place, "--base-url", f"{url}/v1", "--model", MODEL, "--json"])
        assert code in (0, 4), code


def rerun(items: int) -> None:
    """A finished job, run again."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        (data / "Open-i").mkdir()
        make_store(data / "radvlm.db", items)
        command = ["curate", "--source", "openi", "--data-dir", folder, "--no-files", "--provider", "rules", "--json"]
        run(command)
        wall = time.perf_counter()
        subprocess.run([sys.executable, "-m", "radvlm_cli", *command], check=False, stdout=subprocess.DEVNULL)
        print(f"rerun over {items:,} finished items: {time.perf_counter() - wall:.1f} s wall")


if __name__ == "__main__":
    main()
