"""The provider's side of the Batch API: files up, batch submitted, looked at, answers down, files deleted.

The `openai` client carries it, with its own retries but for the submission: one whose reply was lost may have been
taken, so the caller looks for it by its metadata before it submits again. Nothing here remembers anything, and no error
of the client's leaves: its text may quote a key or a report.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple

import openai
import orjson

from radvlm_cli.llm import Answer
from radvlm_cli.llm.breaker import EndpointError
from radvlm_cli.llm.endpoint import Endpoint
from radvlm_cli.llm.replies import Respell, identifier, read_completion, read_error

INTENT = "radvlm"
"""Name of our id in a batch's metadata."""
LINES_PER_FILE = 50_000
BYTES_PER_FILE = 190_000_000
ENDED = ("completed", "failed", "expired", "cancelled")
_WINDOW: Literal["24h"] = "24h"


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


class OutageError(EndpointError):
    """The provider is out of reach or out of service for now; what was asked may have been done all the same."""


class NotThereError(EndpointError):
    """The provider knows no such file or batch."""


class Provider:
    """Files and batches of one endpoint."""

    def __init__(self, endpoint: Endpoint) -> None:
        if endpoint.provider == "endpoint" and not endpoint.local:
            raise EndpointError(f"--batch works with OpenAI and Azure; {endpoint.host} is neither.", "without --batch")
        self.endpoint = endpoint
        key = endpoint.key or "none"
        # What is local stays local: through no proxy, and to no other host.
        http = openai.DefaultHttpxClient(trust_env=not endpoint.local, follow_redirects=not endpoint.local)
        if endpoint.api_version is not None:
            self._client: openai.OpenAI = openai.AzureOpenAI(
                api_key=key, api_version=endpoint.api_version, base_url=endpoint.base_url, http_client=http
            )
        else:
            headers = endpoint.headers if endpoint.provider == "azure" else {}
            self._client = openai.OpenAI(
                api_key=key, base_url=endpoint.base_url, default_headers=headers, http_client=http
            )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def upload(self, path: Path) -> str:
        """Send a file of requests; its id."""
        with path.open("rb") as stream:
            return str(self._ask(lambda: self._client.files.create(file=stream, purpose="batch")).id)

    def submit(self, input_file: str, intent: str) -> Remote:
        """Start a batch that carries our id. OutageError does not mean that it was not started."""
        once = self._client.with_options(max_retries=0)
        # Azure's dated API names the endpoint without the version.
        path: Any = "/chat/completions" if self.endpoint.api_version is not None else "/v1/chat/completions"
        return _remote(
            self._ask(
                lambda: once.batches.create(
                    input_file_id=input_file, endpoint=path, completion_window=_WINDOW, metadata={INTENT: intent}
                )
            )
        )

    def look(self, batch_id: str) -> Remote:
        """How a batch stands."""
        return _remote(self._ask(lambda: self._client.batches.retrieve(batch_id)))

    def find(self, intents: Sequence[str]) -> dict[str, Remote]:
        """Batches that carry one of our ids, from the provider's whole list."""
        wanted, found = set(intents), {}
        for batch in self._ask(lambda: _listed(self._client.batches.list(limit=100))):
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
        files = self._ask(lambda: _listed(self._client.files.list()))
        return [str(file.id) for file in files if file.filename in wanted]

    def delete(self, file_ids: Sequence[str | None]) -> None:
        """Delete files; one that is gone already is no error."""
        for file_id in file_ids:
            if file_id is None:
                continue
            with suppress(NotThereError):
                self._ask(lambda file_id=file_id: self._client.files.delete(file_id))

    def _ask(self, call: Any) -> Any:
        host, later = self.endpoint.host, "Go on later with --resume"
        try:
            result = call()
            if isinstance(result, str):  # what the client makes of a page
                raise ValueError("no JSON")
        except openai.NotFoundError:
            raise NotThereError(
                f"{host} knows no such file, batch or address (HTTP 404).", "Check the address"
            ) from None
        except openai.APIStatusError as error:
            told = f"HTTP {error.status_code} {identifier(error.code) or ''}".strip()
            if error.status_code == 429 or error.status_code >= 500:
                raise OutageError(f"{host} is out of service ({told}); nothing is lost.", later) from None
            raise EndpointError(
                f"{host} refuses the batch ({told}).",
                "Check key, deployment (Azure wants one of type global batch) and address, then go on with --resume",
            ) from None
        except openai.APIConnectionError as error:
            raise OutageError(f"{host} cannot be reached ({type(error).__name__}); nothing is lost.", later) from None
        except (openai.APIError, ValueError) as error:
            raise EndpointError(
                f"{host} gave an unexpected reply ({type(error).__name__}); nothing is lost.",
                "Check the address, then go on with --resume",
            ) from None
        return result


def _listed(page: Any) -> list[Any]:
    """Every object of a list, page by page."""
    if isinstance(page, str):
        raise ValueError("no JSON")
    return list(page)


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
    codes = ", ".join(sorted({identifier(error.code) or "unnamed" for error in errors})) or None
    return Remote(batch.id, batch.status, batch.input_file_id, batch.output_file_id, batch.error_file_id, codes)
