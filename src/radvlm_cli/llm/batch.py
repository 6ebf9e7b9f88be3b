"""The provider's side of the Batch API: files up, batch submitted, looked at, answers down, files deleted.

The `openai` client carries it, its own retries on: these few calls are idempotent. All but the submission, which is
made once, and which the caller finds again by its metadata where the reply got lost. Nothing here remembers anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import openai
import orjson

from radvlm_cli.llm import Answer
from radvlm_cli.llm.breaker import EndpointError
from radvlm_cli.llm.endpoint import Endpoint
from radvlm_cli.llm.replies import Respell, read_completion, read_error

INTENT = "radvlm"
"""Name of our id in a batch's metadata."""
LINES_PER_FILE = 50_000
BYTES_PER_FILE = 190_000_000
ENDED = ("completed", "failed", "expired", "cancelled")
_WINDOW: Literal["24h"] = "24h"


class UnsureError(EndpointError):
    """The provider gave no clear reply to a submission: it may have taken it."""


class Remote(NamedTuple):
    """A batch as the provider tells of it."""

    id: str
    status: str
    input_file: str | None
    output_file: str | None
    error_file: str | None
    errors: str | None
    """Codes only."""

    @property
    def ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.status in ENDED


class Provider:
    """Files and batches of one endpoint."""

    def __init__(self, endpoint: Endpoint) -> None:
        if endpoint.provider == "endpoint" and not endpoint.local:
            raise EndpointError(f"--batch works with OpenAI and Azure; {endpoint.host} is neither.", "without --batch")
        self.endpoint = endpoint
        key = endpoint.key or "none"
        if endpoint.api_version is not None:
            self._client: openai.OpenAI = openai.AzureOpenAI(
                api_key=key, api_version=endpoint.api_version, base_url=endpoint.base_url
            )
        else:
            headers = endpoint.headers if endpoint.provider == "azure" else {}
            self._client = openai.OpenAI(api_key=key, base_url=endpoint.base_url, default_headers=headers)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def upload(self, path: Path) -> str:
        """Send a file of requests; its id."""
        with path.open("rb") as stream:
            return str(self._ask(lambda: self._client.files.create(file=stream, purpose="batch")).id)

    def submit(self, input_file: str, intent: str) -> Remote:
        """Start a batch that carries our id; UnsureError where it may have been started all the same."""
        # Azure's dated API names the endpoint without the version.
        path: Any = "/chat/completions" if self.endpoint.api_version is not None else "/v1/chat/completions"
        once = self._client.with_options(max_retries=0)
        try:
            batch = self._ask(
                lambda: once.batches.create(
                    input_file_id=input_file, endpoint=path, completion_window=_WINDOW, metadata={INTENT: intent}
                )
            )
        except EndpointError as error:
            refused = isinstance(error.__cause__, openai.APIStatusError) and not _passing(error.__cause__.status_code)
            if refused:
                raise
            raise UnsureError(error.message, error.hint) from error.__cause__
        return _remote(batch)

    def look(self, batch_id: str) -> Remote:
        """How a batch stands."""
        return _remote(self._ask(lambda: self._client.batches.retrieve(batch_id)))

    def find(self, intents: Sequence[str]) -> dict[str, Remote]:
        """Batches that carry one of our ids, from the provider's whole list."""
        wanted, found = set(intents), {}
        for batch in self._ask(lambda: list(self._client.batches.list(limit=100))):
            intent = (batch.metadata or {}).get(INTENT)
            if intent in wanted:
                found[str(intent)] = _remote(batch)
        return found

    def answers(self, remote: Remote) -> Iterator[tuple[str, Answer | Respell]]:
        """What came back, by custom_id: from the output file and from the error file, in no order."""
        for file_id in (remote.output_file, remote.error_file):
            if file_id is None:
                continue
            content = self._ask(lambda file_id=file_id: self._client.files.content(file_id)).content
            for line in content.splitlines():
                read = _read_line(line)
                if read is not None:
                    yield read

    def files_named(self, names: Sequence[str]) -> list[str]:
        """Ids of files that were uploaded under one of these names."""
        wanted = set(names)
        return [str(file.id) for file in self._ask(lambda: list(self._client.files.list())) if file.filename in wanted]

    def delete(self, file_ids: Sequence[str | None]) -> None:
        """Delete files; one that is gone already is no error."""
        for file_id in file_ids:
            if file_id is None:
                continue
            try:
                self._ask(lambda file_id=file_id: self._client.files.delete(file_id))
            except EndpointError as error:
                if not isinstance(error.__cause__, openai.NotFoundError):
                    raise

    def _ask(self, call: Any) -> Any:
        try:
            return call()
        except openai.APIStatusError as error:
            raise EndpointError(
                f"{self.endpoint.host} refuses the batch (HTTP {error.status_code} {error.code or ''}).".replace(
                    " )", ")"
                ),
                "Check key, deployment (Azure wants one of type global batch) and address, then go on with --resume",
            ) from error
        except openai.APIConnectionError as error:
            raise EndpointError(
                f"{self.endpoint.host} cannot be reached ({type(error).__name__}); nothing is lost.",
                "Go on later with --resume",
            ) from error


def _passing(status: int) -> bool:
    """Whether the same request may succeed later."""
    return status in (408, 409, 429) or status >= 500


def request_line(custom_id: str, body: dict[str, Any]) -> bytes:
    """One line of an input file."""
    line = {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body}
    return orjson.dumps(line) + b"\n"


def _read_line(line: bytes) -> tuple[str, Answer | Respell] | None:
    """One answer; None for a line that tells of none (a server error: to be asked again)."""
    try:
        document = orjson.loads(line)
        custom_id, response = str(document["custom_id"]), document.get("response")
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return None
    if not isinstance(response, dict):
        return None
    status, body = response.get("status_code"), response.get("body")
    if status == 200:
        answer = read_completion(body)
        return None if answer is None else (custom_id, answer._replace(tier="batch"))
    if status in (400, 413, 422):
        outcome = read_error(status, body)
        return custom_id, outcome if isinstance(outcome, Respell) else outcome._replace(tier="batch")
    return None


def _remote(batch: Any) -> Remote:
    errors = getattr(batch.errors, "data", None) or []
    codes = ", ".join(sorted({str(error.code) for error in errors})) or None
    return Remote(batch.id, batch.status, batch.input_file_id, batch.output_file_id, batch.error_file_id, codes)
