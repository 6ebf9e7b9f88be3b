"""Language model calls over the OpenAI protocol: what is asked, what came back, and what it cost.

Nothing here knows the store: the engine is handed a ledger that remembers calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any, Literal, TypedDict

from radvlm_cli.hashing import canonical_json
from radvlm_cli.records import Answer, Status, Usage

__all__ = ["Answer", "Message", "Prompt", "Request", "Status", "Usage"]


class Message(TypedDict):
    """One message of the protocol."""

    role: Literal["system", "user", "assistant"]
    content: str


class Prompt:
    """The part of a request that many requests share; comes first, so that providers can cache it."""

    def __init__(
        self, name: str, model: str, parameters: Mapping[str, Any], messages: tuple[Message, ...], schema: Any = None
    ) -> None:
        self.name = name
        """For people, e.g. `curate-dictated`."""
        self.model = model
        """Model or deployment, as the user names it."""
        self.parameters = dict(parameters)
        """`max_tokens`, `temperature`, `seed`, ... in one spelling; the endpoint's dialect respells them."""
        self.messages = messages
        self.schema = schema
        """JSON schema of the answer, for endpoints that can hold a model to it."""

    @cached_property
    def hash(self) -> bytes:
        """SHA-256 of what decides the answer: model, parameters, schema, messages."""
        content = [self.model, self.parameters, self.schema, list(self.messages)]
        return sha256(canonical_json(content).encode()).digest()


@dataclass(frozen=True)
class Request:
    """One call to make."""

    prompt: Prompt
    messages: tuple[Message, ...]
    """What follows the prompt's own messages."""

    @cached_property
    def asked(self) -> str:
        """The messages as canonical JSON."""
        return canonical_json(list(self.messages))

    @cached_property
    def key(self) -> bytes:
        """SHA-256 of what decides the answer; never the endpoint, the tier or the item."""
        return sha256(self.prompt.hash + self.asked.encode()).digest()
