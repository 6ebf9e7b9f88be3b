"""The engine's surroundings without network, disk and waiting: a chat that follows a script, a ledger in memory."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from radvlm_cli.llm import Answer, Message, Prompt, Request, Usage
from radvlm_cli.llm.engine import Engine
from radvlm_cli.llm.limiter import Limiter, Rates
from radvlm_cli.llm.meter import Meter
from radvlm_cli.llm.pricing import Price
from radvlm_cli.llm.replies import Reply, Retry
from radvlm_cli.progress import StopSignal
from tests.fakes.clock import now, skipping

PROMPT = Prompt("test", "m", {"max_tokens": 100}, (Message(role="system", content="Curate."),))
OK = Answer("ok", "clear", Usage(10, None, 5), http_status=200)
DOWN = Retry("unavailable", "HTTP 503", None, 503)
THROTTLED = Retry("throttled", "HTTP 429", 1.0, 429)
LATENCY_S = 1.0


def request(text: str = "report") -> Request:
    return Request(PROMPT, (Message(role="user", content=text),))


class Script:
    """Stands in for Chat: says its replies one after another (the last one for ever), each after a second."""

    def __init__(self, replies: Iterable[Reply], rates: Rates | None = None) -> None:
        self.endpoint = type("Endpoint", (), {"host": "node7:8000"})()
        self.asked: list[tuple[str, float]] = []
        self.cancelled = 0
        self.replies = list(replies)
        self._rates = rates

    async def post(self, request: Request) -> tuple[Reply, float, Rates | None]:
        self.asked.append((request.messages[0]["content"], now()))
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        try:
            await asyncio.sleep(LATENCY_S)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return reply, LATENCY_S, self._rates

    @property
    def times(self) -> list[float]:
        return [round(at, 3) for _text, at in self.asked]


class Memory:
    """Stands in for the store."""

    def __init__(self, *, broken: Exception | None = None) -> None:
        self.rows: dict[bytes, Answer] = {}
        self.recorded: Counter[str] = Counter()
        self._broken = broken

    def find(self, request: Request) -> Answer | None:
        answer = self.rows.get(request.key)
        return None if answer is None or answer.status == "failed" else answer

    async def record(self, request: Request, answer: Answer) -> None:
        await asyncio.sleep(0.1)
        if self._broken is not None:
            raise self._broken
        self.rows[request.key] = answer
        self.recorded[request.messages[0]["content"]] += 1


class World:
    """An engine with everything around it; made inside a running loop."""

    def __init__(
        self,
        *replies: Reply,
        price: Price | None = None,
        cap: float | None = None,
        most: int = 64,
        rates: Rates | None = None,
        broken: Exception | None = None,
    ) -> None:
        self.chat, self.ledger = Script(replies or (OK,), rates), Memory(broken=broken)
        self.meter, self.stop = Meter(price, cap=cap), StopSignal()
        self.limiter = Limiter(most=most, clock=now)
        self.engine = Engine(self.chat, self.ledger, self.limiter, self.meter, self.stop, clock=now)  # type: ignore[arg-type]

    async def ask(self, *texts: str) -> list[Any]:
        """Ask all at once; answers and exceptions in order."""
        return await asyncio.gather(*(self.engine.ask(request(text)) for text in texts), return_exceptions=True)


def in_world(body: Callable[[World], Coroutine[Any, Any, Any]], *replies: Reply, **options: Any) -> tuple[Any, World]:
    """Run a scenario in a world of its own; its result, and the world after it."""

    async def run() -> tuple[Any, World]:
        world = World(*replies, **options)
        return await body(world), world

    return skipping(run())


def ask_one(*replies: Reply, **options: Any) -> tuple[Any, World]:
    async def one(world: World) -> Any:
        return (await world.ask("report"))[0]

    return in_world(one, *replies, **options)
