"""A model behind a server that speaks OpenAI's chat completions.

Pictures are sent as PNG, already in the size that the profile tells: a model whose boxes are in pixels of what it saw
gets a picture that the server has no reason to resize. The key comes from RADVLM_API_KEY and goes nowhere else. Error
texts are made of status and codes alone: a server's message may quote what it was asked.
"""

from __future__ import annotations

import base64
import io
import os
import random
import re
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import openai
from PIL import Image

from radvlm_cli.adapters.endpoint_manner import Manner
from radvlm_cli.adapters.pictures import PictureError, described_reading, open_picture, picture_size
from radvlm_cli.adapters.profile import Profile
from radvlm_cli.adapters.protocol import Reply, Request
from radvlm_cli.errors import ConfigError

KEY = "RADVLM_API_KEY"
_CODE = re.compile(r"[A-Za-z0-9_.\-]{1,60}")
_PIXELS_PER_TOKEN = 784
_CHARACTERS_PER_TOKEN = 3
_LONGEST_WAIT_S = 120.0
_PROBE = [{"role": "user", "content": "Say yes."}]
_PROBE_TOKENS = 16
_VERSIONS = (
    ("vllm", "version", "version"),
    ("sglang", "get_server_info", "version"),
    ("llama.cpp", "props", "build_info"),
)
"""Server, and where it tells its version: path beside /v1, name in the JSON."""


def connect(base_url: str, model: str, profile: Profile, profile_name: str, manner: Manner) -> EndpointAdapter:
    """The adapter for a server, after a first answer from it. ConfigError where that does not come."""
    client = openai.OpenAI(
        base_url=base_url,
        api_key=os.environ.get(KEY) or "none",
        organization="",  # not from the environment: whose account that is is not this server's business
        project="",
        timeout=manner.timeout_s,
        max_retries=0,
    )
    return EndpointAdapter(client, model, profile, profile_name, manner)


class _Lost(Exception):
    """No answer after all tries."""


class _Rejected(Exception):
    """The server does not take this request, and would not the next time."""

    def __init__(self, told: str, *, filtered: bool, unknown: str | None) -> None:
        super().__init__(told)
        self.filtered = filtered
        self.unknown = unknown
        """The setting that it does not know, or not the value of."""


class EndpointAdapter:
    """A server that answers."""

    batches = True

    def __init__(self, client: openai.OpenAI, model: str, profile: Profile, profile_name: str, manner: Manner) -> None:
        self._client = client
        self._model = model
        self._profile = profile
        self._manner = manner
        self._pool = ThreadPoolExecutor(manner.concurrency, thread_name_prefix="endpoint")
        self._closing = threading.Event()
        self._lost_in_a_row = 0
        self._limit = "max_tokens"
        self._settings: dict[str, Any] = {"temperature": 0, "seed": manner.seed}
        answer = self._probe()
        self._reported = str(answer.model)
        self.identity: Mapping[str, Any] = {
            "backend": "chat completions",
            **described_reading(),
            "server": _server_of(client),
            "asked": model,
            "model": self._reported,
            "fingerprint": answer.system_fingerprint,
            "settings": dict(self._settings),
            "profile": profile_name,
            "system": profile.system,
            "pixels": profile.pixels.model_dump() if profile.pixels else None,
        }

    def cost(self, request: Request) -> int:
        """See Adapter."""
        width, height = self._size(picture_size(request.image))
        characters = sum(len(turn.text) for turn in request.turns)
        return width * height // _PIXELS_PER_TOKEN + characters // _CHARACTERS_PER_TOKEN

    def answer(self, requests: Sequence[Request], most: int) -> list[Reply]:
        """See Adapter. ConfigError where the server refuses the key, lacks the model, has another one by now, or has
        not answered a whole round of requests."""
        return list(self._pool.map(partial(self._reply, most=most), requests))

    def close(self) -> None:
        """See Adapter."""
        self._closing.set()
        self._pool.shutdown(cancel_futures=True)
        self._client.close()

    def _size(self, size: tuple[int, int]) -> tuple[int, int]:
        return self._profile.pixels.fit(size) if self._profile.pixels else size

    def _probe(self) -> Any:
        """A first answer: whether the server is there, lets us in, has the model, and knows our settings."""
        while True:
            try:
                return self._create(_PROBE, _PROBE_TOKENS)
            except _Rejected as error:
                if error.unknown == self._limit == "max_tokens":
                    self._limit = "max_completion_tokens"
                elif error.unknown in self._settings:
                    del self._settings[error.unknown]
                else:
                    raise ConfigError(f"{self._address} does not take a first question: {error}.") from error
            except _Lost as error:
                raise ConfigError(f"{self._address} does not answer: {error}.", "Is the server up?") from error

    @property
    def _address(self) -> str:
        return f"{self._model} at {self._client.base_url.host}"

    def _reply(self, request: Request, most: int) -> Reply:
        try:
            image = open_picture(request.image).convert("RGB")
        except PictureError as error:
            return Reply("", error=str(error))
        seen = self._size(image.size)
        if seen != image.size:
            image = image.resize(seen, Image.Resampling.BICUBIC)
        try:
            answer = self._create(_messages(request, _data_uri(image), self._profile.system), most)
        except _Rejected as error:
            return Reply("", error=str(error), refused=error.filtered)
        except _Lost as error:
            self._count_lost()
            return Reply("", error=str(error))
        self._lost_in_a_row = 0
        if str(answer.model) != self._reported:
            raise ConfigError(
                f"{self._address} was {self._reported} and is {answer.model} by now: their answers do not mix.",
                "Start again with the model that is served",
            )
        return _read(answer, seen)

    def _count_lost(self) -> None:
        """Give up where the server has gone for good: a run must not spend days on finding that out by the request."""
        self._lost_in_a_row += 1
        if self._lost_in_a_row >= max(8, 2 * self._manner.concurrency):
            raise ConfigError(
                f"{self._address} has not answered {self._lost_in_a_row} requests in a row.",
                "Start the server again, then the same command: it goes on from here",
            )

    def _create(self, said: Sequence[Any], most: int) -> Any:
        """The completion. _Rejected, _Lost; ConfigError where no request can succeed."""
        told, after_s = "closed", None
        for number in range(self._manner.tries):
            if number and self._closing.wait(self._pause(number, after_s)):
                break
            after_s = None
            try:
                settings: dict[str, Any] = {**self._settings, self._limit: most}
                completion: Any = self._client.chat.completions.create(
                    model=self._model, messages=list(said), stream=False, **settings
                )
                if getattr(completion, "choices", None):
                    return completion
                told = "no choices in the reply"
            except openai.APIStatusError as error:
                told, after_s = self._sort(error), _retry_after(error)
            except openai.APIError as error:
                told = type(error).__name__
            except ValueError:
                told = "the reply is no JSON"
        raise _Lost(f"no answer after {self._manner.tries} tries ({told})")

    def _pause(self, number: int, after_s: float | None) -> float:
        """Seconds before a further try: what the server asks for; or ever longer, and not all at once."""
        if after_s is not None:
            return min(after_s, _LONGEST_WAIT_S)
        longer: float = self._manner.wait_s * 2.0 ** (number - 1)
        return min(longer, _LONGEST_WAIT_S) * random.uniform(0.5, 1.0)

    def _sort(self, error: openai.APIStatusError) -> str:
        """What to say of an error that is worth another try; else raise what it is."""
        code = next((str(each) for each in (error.code, error.type) if each and _CODE.fullmatch(str(each))), "")
        told = f"HTTP {error.status_code} {code}".strip()
        if error.status_code in (408, 409) or error.status_code >= 500:
            return told
        if error.status_code == 429 and code != "insufficient_quota":
            return told
        if error.status_code in (400, 413, 422):
            filtered = "content_filter" in (code, str(error.code))
            raise _Rejected(told, filtered=filtered, unknown=_unknown_setting(error)) from None
        hint = f"export {KEY}=..." if error.status_code in (401, 403) else "curl URL/models tells the names it serves"
        raise ConfigError(f"{self._address} refuses all requests: {told}.", hint) from None


def _unknown_setting(error: openai.APIStatusError) -> str | None:
    """Which of our settings the server complains of."""
    names = ("max_tokens", "temperature", "seed")
    if error.param in names:
        return error.param
    return next((name for name in names if name in error.message), None)


def _retry_after(error: openai.APIStatusError) -> float | None:
    headers = error.response.headers
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            return max(0.0, float(headers[name]) * unit)
        except (KeyError, ValueError):  # absent, or a date: our own pause will do
            continue
    return None


def _messages(request: Request, picture: str, system: str | None) -> list[dict[str, Any]]:
    """The dialogue; the picture stands in the first turn, before its text."""
    said: list[dict[str, Any]] = [] if system is None else [{"role": "system", "content": system}]
    for number, turn in enumerate(request.turns):
        if number == 0:
            shown = {"type": "image_url", "image_url": {"url": picture}}
            said.append({"role": "user", "content": [shown, {"type": "text", "text": turn.text}]})
        else:
            said.append({"role": "user" if turn.role == "human" else "assistant", "content": turn.text})
    return said


def _data_uri(image: Image.Image) -> str:
    stream = io.BytesIO()
    image.save(stream, "PNG", compress_level=1)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def _read(answer: Any, seen: tuple[int, int]) -> Reply:
    """The reply that a completion with choices makes."""
    choice = answer.choices[0]
    if choice.finish_reason == "content_filter":
        return Reply("", error="stopped by a content filter", refused=True)
    if getattr(choice.message, "refusal", None):
        return Reply("", error="the model refuses", refused=True)
    text = (choice.message.content or "").strip()
    told, said = (_count(getattr(answer.usage, name, None)) for name in ("prompt_tokens", "completion_tokens"))
    return Reply(text, choice.finish_reason == "length", told, said, seen)


def _count(told: Any) -> int | None:
    """Tokens, where the server's number is one."""
    return told if isinstance(told, int) and told >= 0 else None


def _server_of(client: openai.OpenAI) -> str | None:
    """Name and version of the server, where it tells."""
    root = str(client.base_url).rstrip("/").removesuffix("/v1")
    for name, path, key in _VERSIONS:
        try:
            document: Any = client.get(f"{root}/{path}", cast_to=object, options={"timeout": 5.0})
        except (openai.APIError, ValueError):
            continue  # another kind of server
        version = document.get(key) if isinstance(document, dict) else None
        if isinstance(version, str):
            return f"{name} {version}"
    return None
