"""Ask by the provider's Batch API: half the price, within a day, and never submitted twice.

Rounds: what is open is waited for and taken in; every item goes as far as the answers reach; what is missing then goes
up in new batches. Each step is a row, the intent first, so a kill between any two steps costs nothing: a batch that
was submitted without our knowing is found by its metadata in the provider's list.
"""

from __future__ import annotations

import os
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from radvlm_cli.errors import ConfigError
from radvlm_cli.llm import Answer, Prompt, Request
from radvlm_cli.llm.batch import LINES_PER_FILE, Provider, Remote
from radvlm_cli.llm.breaker import EndpointError
from radvlm_cli.llm.chat import Dialect
from radvlm_cli.llm.meter import BudgetError, Meter
from radvlm_cli.llm.replies import Respell
from radvlm_cli.stages.batch_files import Sending
from radvlm_cli.stages.generate import (
    Generated,
    Options,
    Pending,
    Selection,
    Writer,
    count_verdict,
    pending,
    prompt_for,
    register,
    without_text,
)
from radvlm_cli.stages.tasks import Item, Statement, Task, Unanswered, Written, converse_with, statements
from radvlm_cli.store.batches import (
    Line,
    StoredBatch,
    advance,
    intend,
    let_go_unsent,
    open_batches,
    record_answers,
    submitted_elsewhere,
)
from radvlm_cli.store.bulk import execute_grouped
from radvlm_cli.store.calls import Asked, answered_keys, find_answer, spent
from radvlm_cli.store.runs import Run

_ROUNDS = 8
"""First answers, repairs, and lines that the provider failed to answer."""
_SECOND_LOOK_S = 10.0
_TOO_MANY_TOKENS = "token_limit_exceeded"


class BatchWay:
    """Writes a task's items by batches; stands in for online.write_by_model."""

    def __init__(self, poll_s: float, *, lines_per_file: int = LINES_PER_FILE) -> None:
        self._poll_s = poll_s
        self._lines_per_file = lines_per_file

    def __call__(self, run: Run, task: Task, writer: Writer, selection: Selection, options: Options) -> Generated:
        """Go on until every item has its verdict."""
        job = BatchJob(run, task, writer, selection, options, self._poll_s, self._lines_per_file)
        try:
            job.work()
        finally:
            job.close()
            run.tally(task.label, Generated(job.items, job.meter).counts())
        return Generated(job.items, job.meter)


class BatchJob:
    """One task's items on their way through batches."""

    def __init__(
        self,
        run: Run,
        task: Task,
        writer: Writer,
        selection: Selection,
        options: Options,
        poll_s: float,
        lines_per_file: int,
    ) -> None:
        assert writer.endpoint is not None
        self.items: Counter[str] = Counter()
        self.meter = Meter(options.price, batch=True, cap=options.max_cost, spent=spent(run.store, run.id))
        self._run, self._task, self._writer, self._selection = run, task, writer, selection
        self._endpoint = writer.endpoint
        self._poll_s, self.lines_per_file = poll_s, lines_per_file
        self._provider = Provider(writer.endpoint)
        self.dialect = Dialect(local=writer.endpoint.local)
        self._who = Asked(writer.endpoint.provider, writer.endpoint.host, run.id)
        self._prompts: dict[bytes, int] = {}
        self._answered: set[bytes] = set()
        self._judged: set[str] = set()
        self.out_of_budget: BudgetError | None = None

    def close(self) -> None:
        """Close the connections to the provider."""
        self._provider.close()

    def work(self) -> None:
        """Go from round to round."""
        self._look_elsewhere()
        self._reconcile()
        for number in range(_ROUNDS):
            self._settle()
            if self.out_of_budget is not None:
                self._go_through(Counter(), send=False)
                raise self.out_of_budget
            if not self._go_through(self.items if number == 0 else Counter(), send=True):
                return
        self._settle()
        self._go_through(Counter(), send=False)

    # what is under way ------------------------------------------------------------------------------------------

    def _look_elsewhere(self) -> None:
        """Refuse to ask here what another host is at work on; what never went up there may be asked here."""
        stage, host = self._task.stage, self._endpoint.host
        for other, requests in submitted_elsewhere(self._run.store, stage, host):
            raise ConfigError(
                f"{other} is still at work on {requests:,} requests of `{stage}` in batches; asked at {host}, they "
                "would be paid twice.",
                f"Go on with the endpoint of {other} first; or, if it is gone for good, ask without --batch",
            )
        let_go_unsent(self._run.store, stage, host)

    def _reconcile(self) -> None:
        """Find out what became of batches that were cut off before their id was known."""
        store = self._run.store
        unknown = [b for b in open_batches(store, self._task.stage, self._endpoint.host) if b.remote_id is None]
        if not unknown:
            return
        intents = [batch.intent for batch in unknown]
        found = self._provider.find(intents)
        if len(found) < len(unknown):  # a list may lag behind
            time.sleep(min(self._poll_s, _SECOND_LOOK_S))
            found |= self._provider.find(intents)
        for batch in unknown:
            remote = found.get(batch.intent)
            if remote is not None:
                advance(store, batch.id, "submitted", remote_id=remote.id, input_file=remote.input_file)
            else:
                self._provider.delete([*self._provider.files_named([f"{batch.intent}.jsonl"])])
                advance(store, batch.id, "abandoned")
        for batch in unknown:
            self._local_file(batch.intent).unlink(missing_ok=True)

    def _settle(self) -> None:
        """Wait for every open batch, take its answers in, delete its files."""
        store, stage = self._run.store, self._task.stage
        while batches := open_batches(store, stage, self._endpoint.host):
            for batch in batches:
                self._run.stop.check()
                self._look_at(batch)
            waiting = open_batches(store, stage, self._endpoint.host)
            if waiting:
                self._run.progress.status(f"{len(waiting)} batches at {self._endpoint.host}")
                self._wait()

    def _wait(self) -> None:
        until = time.monotonic() + self._poll_s
        while (left := until - time.monotonic()) > 0:
            self._run.stop.check()
            time.sleep(min(left, 0.2))

    def _look_at(self, batch: StoredBatch) -> None:
        store = self._run.store
        assert batch.remote_id is not None
        if batch.status != "collected":
            remote = self._provider.look(batch.remote_id)
            known = {"remote_status": remote.status, "output_file": remote.output_file, "error_file": remote.error_file}
            advance(store, batch.id, "ended" if remote.ended else "submitted", **known, error=remote.errors)
            if not remote.ended:
                return
            self._collect(batch, remote)
            batch = batch._replace(output_file=remote.output_file, error_file=remote.error_file)
        self._provider.delete([batch.input_file, batch.output_file, batch.error_file])
        advance(store, batch.id, "deleted")

    def _collect(self, batch: StoredBatch, remote: Remote) -> None:
        for answer in record_answers(self._run.store, batch.id, self._who, self._priced(remote)):
            self.meter.count(answer, 0.0)
        advance(self._run.store, batch.id, "collected")
        if remote.status == "failed":
            self._provider.delete([batch.input_file, remote.output_file, remote.error_file])
            advance(self._run.store, batch.id, "deleted")
            if remote.errors == _TOO_MANY_TOKENS and self.lines_per_file > 100:
                self.lines_per_file //= 2
                return
            raise EndpointError(
                f"{self._endpoint.host} did not accept the batch ({remote.errors or 'no reason given'}).",
                "Check the deployment's type and quota, then go on with --resume",
            )

    def _priced(self, remote: Remote) -> Iterator[tuple[bytes, Answer]]:
        for custom_id, answer in self._provider.answers(remote):
            if isinstance(answer, Respell):
                if not self.dialect.respell(answer.parameter, self._sample_body()):
                    refused = Answer("rejected", error=f"HTTP 400 {answer.parameter}", http_status=400, tier="batch")
                    yield bytes.fromhex(custom_id), refused
                continue
            yield bytes.fromhex(custom_id), self.meter.priced(answer)

    def _sample_body(self) -> dict[str, object]:
        return self.dialect.body(Request(prompt_for(self._task, self._writer), ()))

    # what is to come --------------------------------------------------------------------------------------------

    def _go_through(self, items: Counter[str], *, send: bool) -> bool:
        """Take every pending item as far as the answers reach, and send what is missing; whether anything was."""
        sending = Sending(self) if send else None
        task, run = self._task, self._run
        run.progress.start(f"{task.source}: {task.stage} {task.step}, in batches", task.count())
        self._answered = answered_keys(run.store, self._prompts.values())
        rows: list[Statement] = []
        for found in pending(task, self._writer, self._selection, items):
            run.progress.advance()
            if found is None or found.item.name in self._judged:
                continue
            written = self._as_far_as_known(found.item, sending)
            if written is None:
                continue
            self._judged.add(found.item.name)
            count_verdict(self.items, written)
            rows += self._statements(found, written)
            if len(rows) >= 1000:
                self._write(rows)
        self._write(rows)
        return sending.finish() if sending is not None else False

    def _statements(self, found: Pending, written: Written) -> list[Statement]:
        origin, run = self._writer.origin, self._run.id
        return statements(self._task, found.item, written, origin=origin, key=found.key, run=run)

    def _write(self, rows: list[Statement]) -> None:
        with self._run.store.write() as connection:
            execute_grouped(connection, rows)
        rows.clear()

    def _as_far_as_known(self, item: Item, sending: Sending | None) -> Written | None:
        """The verdict, if all its answers are there; else the missing request is handed on."""
        if nothing := without_text(self._task, item):
            return Written(nothing, None, False)
        prompt = prompt_for(self._task, self._writer, item.known.attempt)
        self.register(prompt)
        steps = converse_with(self._task, item, prompt)
        request = next(steps)
        while True:
            answer = find_answer(self._run.store, request.key) if request.key in self._answered else None
            if answer is None:
                if sending is None:
                    return (
                        None if self.out_of_budget else Written(Unanswered("not answered in its batches"), None, False)
                    )
                sending.add(request)
                return None
            self.meter.cached += 1
            try:
                request = steps.send(answer)
            except StopIteration as ended:
                written: Written = ended.value
                return written

    def register(self, prompt: Prompt) -> int:
        """The row of a prompt; on the first sight of it, its answered calls are looked up all at once."""
        if prompt.hash not in self._prompts:
            self._prompts[prompt.hash] = register(self._run.store, self._run.id, prompt)
            self._answered |= answered_keys(self._run.store, [self._prompts[prompt.hash]])
        return self._prompts[prompt.hash]

    def _local_file(self, intent: str) -> Path:
        return self._run.store.path.with_name(f"{intent}.jsonl")

    def send(self, lines: list[Line], bodies: list[bytes], tokens: int) -> None:
        """Intent, upload, submission: a row at each step."""
        run, intent = self._run, f"radvlm-{uuid.uuid4().hex}"
        model = self._endpoint.model or ""
        stage, host = self._task.stage, self._endpoint.host
        batch = intend(run.store, lines, intent=intent, stage=stage, host=host, model=model, tokens=tokens, run=run.id)
        path = self._local_file(intent)
        try:
            with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as stream:
                stream.writelines(bodies)
            input_file = self._provider.upload(path)
        finally:
            path.unlink(missing_ok=True)
        advance(run.store, batch.id, "uploaded", input_file=input_file)
        remote = self._provider.submit(input_file, intent)
        advance(run.store, batch.id, "submitted", remote_id=remote.id, remote_status=remote.status)
        run.progress.note(f"Batch {remote.id}: {len(lines):,} requests submitted to {host}.")
