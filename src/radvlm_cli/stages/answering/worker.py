"""The worker of an evaluation: load the model once, answer a share of the samples, write each answer down at once.

    python -m radvlm_cli.stages.answering.worker MANIFEST RANK        one worker
    python -m radvlm_cli.stages.answering.worker MANIFEST --node N    all workers of node N (default: SLURM_NODEID)

It appends lines to a spool of its own and opens no store. What it has in hand is named in RANK.hand, so that a death
tells what it died on. The kernel ends it when the process that started it dies.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

from radvlm_cli.adapters import card
from radvlm_cli.adapters.batching import Batch, Budget, answer_all, is_out_of_memory
from radvlm_cli.adapters.loading import load_model, loading_of
from radvlm_cli.adapters.protocol import Adapter, Reply, Request
from radvlm_cli.errors import RadvlmError
from radvlm_cli.records import Turn
from radvlm_cli.stages.answering.job import STOP_FILE, Ask, Job, check_adapter, read_asks, read_job
from radvlm_cli.stages.answering.workers import start_workers
from radvlm_cli.store.spool_writer import SpoolWriter, now

BEAT_S = 30.0
AT_ONCE = 64
"""Conversations under way at the same time: each is written down when it is whole."""
_GIVE_UP_AFTER = 10
"""Samples that one after another made the adapter raise: then the fault is not theirs."""


class Stopped(Exception):
    """The run is to end after what is in hand."""


class Watched:
    """An adapter with an eye on it: says what it has in hand, stops when asked to, and outlives a sample's error."""

    def __init__(self, adapter: Adapter, folder: Path, rank: int) -> None:
        self._adapter, self._folder = adapter, folder
        self.identity, self.batches = adapter.identity, adapter.batches
        self.cost, self.close = adapter.cost, adapter.close
        self._hand = folder / f"{rank}.hand"
        self._raised = 0
        self.busy_since: float | None = None
        self.took_ms: dict[str, int] = {}
        """Request's key -> its share of the time of its batches."""

    def answer(self, requests: Sequence[Request], most: int) -> list[Reply]:
        """See Adapter. Stopped, where that was asked for. An error that is no lack of memory becomes the reply of the
        sample that raises it alone; the tenth in a row is raised."""
        if (self._folder / STOP_FILE).exists():
            raise Stopped
        self._hand.write_text(json.dumps([request.key for request in requests]), encoding="utf-8")
        self.busy_since = begun = time.monotonic()
        try:
            replies = self._adapter.answer(requests, most)
        except Exception as error:
            self._hand.unlink()
            if is_out_of_memory(error) or _is_beyond_repair(error):
                raise
            if len(requests) > 1:
                return [reply for request in requests for reply in self.answer([request], most)]
            return [self._error(error)]
        finally:
            self.busy_since = None
        self._hand.unlink()
        self._raised = 0
        share = round(1000 * (time.monotonic() - begun) / len(requests))
        for request in requests:
            self.took_ms[request.key] = self.took_ms.get(request.key, 0) + share
        return replies

    def _error(self, error: Exception) -> Reply:
        self._raised += 1
        traceback.print_exception(error)
        if self._raised >= _GIVE_UP_AFTER:
            raise error
        # Only the type: the words may be a patient's.
        return Reply("", error=f"{type(error).__name__} while answering")


def _is_beyond_repair(error: Exception) -> bool:
    """Whether the process cannot go on: after an error of the GPU every further call fails too."""
    return isinstance(error, RuntimeError) and ("CUDA error" in str(error) or "device-side assert" in str(error))


class Worker:
    """Answers its share."""

    def __init__(self, job: Job, folder: Path, rank: int, spool: SpoolWriter, adapter: Adapter) -> None:
        self.job, self.spool = job, spool
        self.adapter = Watched(adapter, folder, rank)
        self._name = f"{socket.gethostname()}:{rank}"

    def work(self, asks: Iterable[Ask]) -> None:
        """Ask test set by test set; what is to be asked alone comes last. Stopped, where that was asked for."""
        ordered = sorted(asks, key=lambda ask: (ask.alone, ask.evaluation_id, ask.most))
        for (alone, _evaluation, most), group in groupby(ordered, lambda ask: (ask.alone, ask.evaluation_id, ask.most)):
            self._ask(list(group), most, 1 if alone else self.job.batch)

    def _ask(self, asks: Sequence[Ask], most: int, batch: Batch) -> None:
        single = {ask.key: ask for ask in asks if len(ask.questions) == 1}
        requests = [_request(ask, []) for ask in single.values()]
        for request, reply in answer_all(self.adapter, requests, most, batch):
            self._write(single[request.key], [reply])
        self._converse([ask for ask in asks if len(ask.questions) > 1], most, batch)

    def _converse(self, asks: Sequence[Ask], most: int, batch: Batch) -> None:
        """Round by round, over all that are under way; where one is over the next begins."""
        waiting, budget = iter(asks), Budget(batch if self.adapter.batches else 1)
        under_way: dict[str, tuple[Ask, list[Reply]]] = {}
        while True:
            while len(under_way) < AT_ONCE and (begun := next(waiting, None)) is not None:
                under_way[begun.key] = (begun, [])
            if not under_way:
                return
            requests = [_request(ask, replies) for ask, replies in under_way.values()]
            for request, reply in answer_all(self.adapter, requests, most, batch, budget=budget):
                ask, replies = under_way[request.key]
                replies.append(reply)
                if reply.error is not None or len(replies) == len(ask.questions):
                    self._write(ask, replies)
                    del under_way[request.key]

    def _write(self, ask: Ask, replies: Sequence[Reply]) -> None:
        """Append the answer, or what the judge said; the answers of a conversation are a JSON list."""
        took = self.adapter.took_ms.pop(ask.key, None)
        if self.job.judge is not None:
            said = {"judge": self.job.judge, "text": _writable(replies[0].text or replies[0].error or "")}
            where = {"evaluation_id": ask.evaluation_id, "position": ask.position}
            self.spool.append("judgement", **where, **said, status=status_of(replies))
            return
        several = len(ask.questions) > 1 or ask.task == "conversation"
        texts = [_writable(reply.text) for reply in replies]
        seen = replies[-1].seen or (None, None)
        self.spool.append(
            "answer",
            evaluation_id=ask.evaluation_id,
            position=ask.position,
            status=status_of(replies),
            text=json.dumps(texts, ensure_ascii=False) if several else texts[0],
            prompt=json.dumps(list(ask.questions), ensure_ascii=False) if several else ask.questions[0],
            seen_width=seen[0],
            seen_height=seen[1],
            tokens_in=_sum(reply.tokens_in for reply in replies),
            tokens_out=_sum(reply.tokens_out for reply in replies),
            latency_ms=took,
            worker=self._name,
            attempt=ask.attempt,
            error=replies[-1].error and _writable(replies[-1].error),
            at=now(),
        )


def status_of(replies: Sequence[Reply]) -> str:
    """How an answer, of one or several rounds, came out: the worst of its rounds; empty if all are."""
    if any(reply.refused for reply in replies):
        return "refused"  # whoever asked again would be refused again
    if any(reply.error is not None for reply in replies):
        return "error"
    if any(reply.truncated for reply in replies):
        return "truncated"
    return "ok" if any(reply.text.strip() for reply in replies) else "empty"


def _request(ask: Ask, replies: Sequence[Reply]) -> Request:
    """The next round: the model's own answers so far are part of what it is told."""
    turns = [Turn("human", ask.questions[0])]
    for reply, question in zip(replies, ask.questions[1:], strict=False):
        turns += [Turn("gpt", reply.text), Turn("human", question)]
    return Request(ask.key, Path(ask.image), tuple(turns), ask.task)


def _writable(text: str) -> str:
    """Without halves of surrogate pairs, which no file or database takes."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _sum(numbers: Iterable[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None


@contextmanager
def _beating(spool: SpoolWriter, worker: Worker) -> Iterator[None]:
    """Say every half minute that the worker is there, and how long it has been at what it has in hand."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(BEAT_S):
            since = worker.adapter.busy_since
            spool.append("alive", busy_s=0 if since is None else round(time.monotonic() - since))

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def run_worker(manifest: Path, rank: int) -> int:
    """Do a worker's share; returns the exit code: 0 done or stopped, 3 an error that the user can mend."""
    job, folder = read_job(manifest), manifest.parent
    spool = SpoolWriter(folder, f"rank{rank}")
    code = 0
    try:
        adapter = _load(job, spool)
        worker = Worker(job, folder, rank, spool, adapter)
        with _beating(spool, worker):
            worker.work(read_asks(folder, job, rank))
        adapter.close()
        spool.append("ended", status="done")
    except Stopped:
        spool.append("ended", status="stopped")
    except RadvlmError as error:
        spool.append("ended", status="failed", message=_writable(error.message), hint=error.hint)
        print(f"Error: {error.message}", file=sys.stderr)
        code = error.exit_code
    finally:
        spool.close()
    return code


def _load(job: Job, spool: SpoolWriter) -> Adapter:
    begun = time.monotonic()
    adapter = load_model(card(job.model), loading_of(job.loading))
    if job.adapter is not None:
        check_adapter(job.adapter, json.loads(json.dumps(dict(adapter.identity))))
    spool.append("loaded", adapter=dict(adapter.identity), seconds=round(time.monotonic() - begun, 1), **_machine())
    return adapter


def _machine() -> dict[str, Any]:
    """Where this runs; not what decides an answer."""
    torch = sys.modules.get("torch")
    gpu = torch.cuda.get_device_name(0) if torch is not None and torch.cuda.is_available() else None
    return {"host": socket.gethostname(), "gpu": gpu, "pid": os.getpid()}


def run_node(manifest: Path, node: int) -> int:
    """Run all workers of a node and wait for them; returns the worst exit code."""
    workers = start_workers(manifest, read_job(manifest), node)
    return max(abs(worker.process.wait()) for worker in workers)


def main(arguments: Sequence[str]) -> int:
    """See the module."""
    manifest = Path(arguments[0]).absolute()
    if arguments[1] == "--node":
        return run_node(manifest, int(arguments[2] if len(arguments) > 2 else os.environ.get("SLURM_NODEID", "0")))
    return run_worker(manifest, int(arguments[1]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
