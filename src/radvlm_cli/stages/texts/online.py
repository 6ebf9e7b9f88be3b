"""Ask a model about a task's items over the network, many at once: the usual way to write them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator

from radvlm_cli.llm import Answer, Prompt, Request
from radvlm_cli.stages.texts.asking import Options, Statement, ask_about, new_meter
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
from radvlm_cli.stages.texts.open_batches import refuse_what_is_at_work
from radvlm_cli.stages.texts.tasks import Task, Written, converse_with, statements
from radvlm_cli.store.runs import Run


def write_by_model(run: Run, task: Task, writer: Writer, selection: Selection, options: Options) -> Generated:
    """Ask a model about every pending item, many at once; raises what ended the job early, with all answers kept."""
    assert writer.endpoint is not None
    refuse_what_is_at_work(run.store, task.stage, asking=writer.endpoint.host)
    writing = _Writing(run, task, writer, selection)
    generated = Generated(writing.items, new_meter(run, options))
    try:
        assert generated.meter is not None
        ask_about(run, writing, writer.endpoint, options, generated.meter)
    finally:  # store the counts, however the job ended
        run.tally(task.label, generated.counts())
    return generated


class _Writing:
    """One task's items. See asking.Asking."""

    def __init__(self, run: Run, task: Task, writer: Writer, selection: Selection) -> None:
        self.items: Counter[str] = Counter()
        self.title = f"{task.source}: {task.stage} {task.step}"
        self._run = run
        self._task = task
        self._writer = writer
        self._selection = selection
        self._prompts: dict[int, Prompt] = {}

    def count(self) -> int:
        return self._task.count()

    def failed(self) -> int:
        return self.items["quarantined"] + self.items["unanswered"]

    def pending(self) -> Iterator[Pending | None]:
        return pending(self._task, self._writer, self._selection, self.items)

    def steps(self, found: Pending) -> Generator[Request, Answer, Written]:
        if nothing := without_text(self._task, found.item):
            return Written(nothing, None, False)
        written = yield from converse_with(self._task, found.item, self._prompt(found.item.known.attempt))
        return written

    def rows(self, found: Pending, outcome: Written) -> list[Statement]:
        origin = self._writer.origin
        return statements(self._task, found.item, outcome, origin=origin, key=found.key, run=self._run.id)

    def written(self, outcome: Written) -> None:
        count_verdict(self.items, outcome)

    def _prompt(self, attempt: int) -> Prompt:
        if attempt not in self._prompts:
            self._prompts[attempt] = prompt_for(self._task, self._writer, attempt)
        return self._prompts[attempt]
