"""Batches under way at a provider, each step of them a row: found again, waited for, taken in, cleaned up, sent."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from radvlm_cli.errors import ConfigError
from radvlm_cli.llm import Answer
from radvlm_cli.llm.batch import NotThereError, OutageError, Provider, Remote
from radvlm_cli.llm.breaker import EndpointError
from radvlm_cli.llm.endpoint import Endpoint
from radvlm_cli.llm.replies import Respell
from radvlm_cli.store.batches import (
    Line,
    StoredBatch,
    abandon,
    advance,
    at_work,
    intend,
    let_go_unsent,
    open_batches,
)
from radvlm_cli.store.engine import Store
from radvlm_cli.store.runs import Run

Replies = Iterator[tuple[str, Answer | Respell]]
"""What came back in a batch, by the custom_id of its lines."""
_SECOND_LOOK_S = 10.0
_SUBMISSIONS = 3
_OUTAGES = 20
"""Looks at batches in a row that may fail before the job ends; the batches go on without us."""
_TOO_MANY_TOKENS = "token_limit_exceeded"


def refuse_what_is_at_work(store: Store, stage: str, *, asking: str, but: str | None = None) -> None:
    """ConfigError if batches (of another host than `but`) are at work on requests that would now be paid twice."""
    for host, requests in at_work(store, stage):
        if host != but:
            raise ConfigError(
                f"{host} is still at work on {requests:,} requests of `{stage}` in batches; asked at {asking} now, "
                "they would be paid twice.",
                f"Go on with --batch at {host}; or give those up with --forget-batches",
            )


def forget_batches(run: Run, stage: str) -> None:
    """Give up every open batch of a stage, wherever it is: what it holds will be asked anew."""
    for host, requests in at_work(run.store, stage):
        run.progress.note(f"Given up: {requests:,} requests in batches at {host}. Their files stay there: delete them.")
    abandon(run.store, stage)


class OpenBatches:
    """The batches of one stage at one endpoint."""

    def __init__(
        self,
        run: Run,
        stage: str,
        endpoint: Endpoint,
        take_in: Callable[[int, Replies], None],
        poll_s: float,
        lines_per_file: int,
    ) -> None:
        self.lines_per_file = lines_per_file
        self._run, self._store, self._stage, self._host = run, run.store, stage, endpoint.host
        self._provider = Provider(endpoint)
        self._take_in = take_in
        self._poll_s = poll_s

    def close(self) -> None:
        """Close the connections to the provider."""
        self._provider.close()

    def reconcile(self) -> None:
        """Find out what became of batches that were cut off before their id was known."""
        store, stage, host = self._store, self._stage, self._host
        refuse_what_is_at_work(store, stage, asking=host, but=host)
        let_go_unsent(store, stage, host)
        unknown = [batch for batch in open_batches(store, stage, host) if batch.remote_id is None]
        if not unknown:
            return
        found = self._find([batch.intent for batch in unknown])
        for batch in unknown:
            remote = found.get(batch.intent)
            if remote is not None:
                advance(store, batch.id, "submitted", remote_id=remote.id, input_file=remote.input_file)
            else:
                self._provider.delete([*self._provider.files_named([f"{batch.intent}.jsonl"])])
                advance(store, batch.id, "abandoned")
        for batch in unknown:
            self._local_file(batch.intent).unlink(missing_ok=True)

    def settle(self) -> None:
        """Wait for every open batch, take its answers in, delete its files."""
        store, stage, host = self._store, self._stage, self._host
        outages = 0
        while batches := open_batches(store, stage, host):
            try:
                for batch in batches:
                    self._run.stop.check()
                    self._look_at(batch)
                outages = 0
            except OutageError as error:
                outages += 1
                if outages > _OUTAGES:
                    raise
                self._run.progress.note(f"{error.message} Looking again.")
            if waiting := open_batches(store, stage, host):
                self._run.progress.status(f"{len(waiting)} batches at {host}")
                self._wait()

    def send(self, lines: list[Line], bodies: list[bytes], tokens: int) -> None:
        """Intent, upload, submission: a row at each step."""
        run, store, intent = self._run, self._store, f"radvlm-{uuid.uuid4().hex}"
        model, stage, host = self._provider.endpoint.model or "", self._stage, self._host
        batch = intend(store, lines, intent=intent, stage=stage, host=host, model=model, tokens=tokens, run=run.id)
        path = self._local_file(intent)
        try:
            with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as stream:
                stream.writelines(bodies)
            input_file = self._provider.upload(path)
        finally:
            path.unlink(missing_ok=True)
        advance(store, batch.id, "uploaded", input_file=input_file)
        remote = self._submit(input_file, intent)
        advance(store, batch.id, "submitted", remote_id=remote.id, remote_status=remote.status)
        run.progress.note(f"Batch {remote.id}: {len(lines):,} requests submitted to {host}.")

    def _submit(self, input_file: str, intent: str) -> Remote:
        """Submit once: after an unclear reply look in the provider's list before it is tried again."""
        for _ in range(_SUBMISSIONS - 1):
            try:
                return self._provider.submit(input_file, intent)
            except OutageError:
                if remote := self._find([intent]).get(intent):
                    return remote
        return self._provider.submit(input_file, intent)

    def _find(self, intents: list[str]) -> dict[str, Remote]:
        """The provider's batches with these intents; its list may lag behind: two looks."""
        found = self._provider.find(intents)
        if len(found) < len(intents):
            time.sleep(min(self._poll_s, _SECOND_LOOK_S))
            found |= self._provider.find(intents)
        return found

    def _wait(self) -> None:
        until = time.monotonic() + self._poll_s
        while (left := until - time.monotonic()) > 0:
            self._run.stop.check()
            time.sleep(min(left, 0.2))

    def _look_at(self, batch: StoredBatch) -> None:
        store = self._store
        assert batch.remote_id is not None
        if batch.status != "collected":
            remote = self._look(batch.remote_id)
            known = {"remote_status": remote.status, "output_file": remote.output_file, "error_file": remote.error_file}
            advance(store, batch.id, "ended" if remote.ended else "submitted", **known, error=remote.errors)
            if not remote.ended:
                return
            self._collect(batch, remote)
            batch = batch._replace(output_file=remote.output_file, error_file=remote.error_file)
        self._delete_files(batch)

    def _look(self, remote_id: str) -> Remote:
        try:
            return self._provider.look(remote_id)
        except NotThereError as error:
            hint = "Use the key that it was submitted with; or give its requests up with --forget-batches"
            raise EndpointError(f"{self._host} knows no batch {remote_id} of this key's.", hint) from error

    def _collect(self, batch: StoredBatch, remote: Remote) -> None:
        self._take_in(batch.id, self._provider.answers(remote))
        advance(self._store, batch.id, "collected")
        if remote.status == "failed":
            self._delete_files(batch._replace(output_file=remote.output_file, error_file=remote.error_file))
            if remote.errors == _TOO_MANY_TOKENS and self.lines_per_file > 100:
                self.lines_per_file //= 2
                return
            raise EndpointError(
                f"{self._host} did not accept the batch ({remote.errors or 'no reason given'}).",
                "Check the deployment's type and quota, then go on with --resume",
            )

    def _delete_files(self, batch: StoredBatch) -> None:
        """Leave nothing at the provider, not even a second upload whose first reply got lost."""
        known = {batch.input_file, batch.output_file, batch.error_file}
        self._provider.delete([*known, *{*self._provider.files_named([f"{batch.intent}.jsonl"])} - known])
        advance(self._store, batch.id, "deleted")

    def _local_file(self, intent: str) -> Path:
        return self._store.path.with_name(f"{intent}.jsonl")
