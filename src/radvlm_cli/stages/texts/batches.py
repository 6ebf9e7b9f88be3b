"""Ask by the provider's Batch API: half the price, within a day, and never submitted twice.

Rounds: what is open is waited for and taken in; every item goes as far as the answers reach; what is missing then goes
up in new batches. Each step is a row, the intent first, so a kill between any two steps costs nothing: a batch that
was submitted without our knowing is found by its metadata in the provider's list.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from radvlm_cli.llm import Answer, Prompt, Request
from radvlm_cli.llm.batch import BYTES_PER_FILE, LINES_PER_FILE, request_line
from radvlm_cli.llm.chat import Dialect
from radvlm_cli.llm.meter import BudgetError, Meter
from radvlm_cli.llm.replies import Respell
from radvlm_cli.stages.texts.asking import Options, Statement, register
from radvlm_cli.stages.texts.generate import (
    Generated,
    Pending,
    Selection,
    Writer,
    count_verdict,
    pending,
    prompt_for,
    without_text,
)
from radvlm_cli.stages.texts.open_batches import OpenBatches, Replies
from radvlm_cli.stages.texts.tasks import Item, Task, Unanswered, Written, converse_with, statements
from radvlm_cli.store.batches import Line, record_answers
from radvlm_cli.store.bulk import execute_grouped
from radvlm_cli.store.calls import Asked, answered_keys, find_answer, pack, spent
from radvlm_cli.store.runs import Run

_ROUNDS = 8
"""First answers, repairs, and lines that the provider failed to answer."""


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
        self._batches = OpenBatches(run, task.stage, writer.endpoint, self._take_in, poll_s, lines_per_file)
        self.dialect = Dialect(local=writer.endpoint.local)
        self._who = Asked(writer.endpoint.provider, writer.endpoint.host, run.id)
        self._prompts: dict[bytes, int] = {}
        self._answered: set[bytes] = set()
        self._judged: set[str] = set()
        self.out_of_budget: BudgetError | None = None

    def close(self) -> None:
        """Close the connections to the provider."""
        self._batches.close()

    def work(self) -> None:
        """Go from round to round."""
        self._batches.reconcile()
        for number in range(_ROUNDS):
            self._batches.settle()
            if self.out_of_budget is not None:
                self._go_through(Counter(), send=False)
                raise self.out_of_budget
            if not self._go_through(self.items if number == 0 else Counter(), send=True):
                return
        self._batches.settle()
        self._go_through(Counter(), send=False)

    def _take_in(self, batch_id: int, replies: Replies) -> None:
        """Keep the answers of a batch."""
        for answer in record_answers(self._run.store, batch_id, self._who, self._priced(replies)):
            self.meter.count(answer)

    def _priced(self, replies: Replies) -> Iterator[tuple[bytes, Answer]]:
        for custom_id, answer in replies:
            if isinstance(answer, Respell):
                if not self.dialect.respell(answer.parameter, self._sample_body()):
                    refused = Answer("rejected", error=f"HTTP 400 {answer.parameter}", http_status=400, tier="batch")
                    yield bytes.fromhex(custom_id), refused
                continue
            yield bytes.fromhex(custom_id), self.meter.priced(answer)

    def _sample_body(self) -> dict[str, object]:
        return self.dialect.body(Request(prompt_for(self._task, self._writer), ()))

    def _go_through(self, items: Counter[str], *, send: bool) -> bool:
        """Take every pending item as far as the answers reach, and send what is missing; whether anything was."""
        sending = Sending(self, self._batches) if send else None
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


class Sending:
    """Gathers requests into files within the provider's limits."""

    def __init__(self, job: BatchJob, batches: OpenBatches) -> None:
        self._job = job
        self._batches = batches
        self._sent: set[bytes] = set()
        self._lines: list[Line] = []
        self._bodies: list[bytes] = []
        self._bytes = self._tokens = 0

    def add(self, request: Request) -> None:
        """Put a request into the next file; the same one only once."""
        job, key = self._job, request.key
        if key in self._sent or job.out_of_budget is not None:
            return
        tokens = job.meter.input_estimate(request)
        try:
            job.meter.reserve(request, tokens)
        except BudgetError as error:
            job.out_of_budget = error
            return
        body = request_line(key.hex(), job.dialect.body(request))
        if len(self._lines) >= self._batches.lines_per_file or self._bytes + len(body) > BYTES_PER_FILE:
            self._flush()
        self._sent.add(key)
        self._lines.append(Line(key, job.register(request.prompt), pack(request.asked)))
        self._bodies.append(body)
        self._bytes += len(body)
        self._tokens += tokens

    def finish(self) -> bool:
        """Send the last file; whether anything was sent."""
        self._flush()
        self._job.meter.free(self._job.meter.reserved)
        return bool(self._sent)

    def _flush(self) -> None:
        if self._lines:
            self._batches.send(self._lines, self._bodies, self._tokens)
        self._lines, self._bodies, self._bytes, self._tokens = [], [], 0, 0
