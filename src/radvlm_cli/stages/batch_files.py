"""Requests gathered into the files of batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from radvlm_cli.llm import Request
from radvlm_cli.llm.batch import BYTES_PER_FILE, request_line
from radvlm_cli.llm.meter import BudgetError
from radvlm_cli.stages.open_batches import OpenBatches
from radvlm_cli.store.batches import Line
from radvlm_cli.store.calls import pack

if TYPE_CHECKING:
    from radvlm_cli.stages.batches import BatchJob


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
