"""What language models were asked, what it cost, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from radvlm_cli.reporting.llm import (
    OpenBatch,
    Quarantined,
    Spending,
    batches_table,
    quarantine_table,
    spending_table,
)
from radvlm_cli.reporting.tables import View
from radvlm_cli.stages.reports.overview import short_time
from radvlm_cli.store.snapshot import Snapshot

SPENDING_SQL = (
    "SELECT prompt_id, provider, tier, status, count(*), sum(attempts), sum(input_tokens), sum(cached_tokens), "
    "sum(output_tokens), sum(reasoning_tokens), sum(cost), sum(cost IS NULL), sum(latency_ms), count(latency_ms) "
    "FROM llm_call INDEXED BY ix_llm_call_report GROUP BY prompt_id, status, provider, tier"
)


def llm_view(store: Snapshot) -> View:
    """The view `llm`."""
    tables = (
        spending_table(spending(store)),
        quarantine_table(quarantined(store)),
        batches_table(open_batches(store)),
    )
    return View("llm", "Calls to language models", tables)


def spending(store: Snapshot) -> list[Spending]:
    """Calls by prompt, model, provider and tier, dearest first."""
    names = {row_id: (name, model) for row_id, name, model in store.rows("SELECT id, name, model FROM prompt")}
    groups: dict[tuple[str, ...], list[tuple[Any, ...]]] = {}
    for prompt_id, provider, tier, *row in store.rows(SPENDING_SQL):
        groups.setdefault((*names[prompt_id], provider, tier), []).append(tuple(row))
    found = [_spending(key, rows) for key, rows in groups.items()]
    return sorted(found, key=lambda row: (-(row.dollars or 0), -row.calls, row.prompt, row.model))


def _spending(key: tuple[str, ...], rows: list[tuple[Any, ...]]) -> Spending:
    """Add up the rows of one group: status, calls, attempts, four kinds of tokens, cost, unpriced, latency (sum, n)."""
    ended: dict[str, int] = {}
    for status, calls, *_rest in rows:
        ended[status] = ended.get(status, 0) + calls
    calls, attempts, tokens_in, cached, out, reasoning = (_total(row[place] for row in rows) for place in range(1, 7))
    costs = [row[7] for row in rows if row[7] is not None]
    latency, measured = sum(row[9] or 0 for row in rows), _total(row[10] for row in rows)
    others = ", ".join(f"{number:,} {status}" for status, number in sorted(ended.items()) if status != "ok")
    prompt, model, provider, tier = key
    return Spending(
        prompt=prompt,
        model=model,
        provider=provider,
        tier=tier,
        calls=calls,
        ok=ended.get("ok", 0),
        other=others or None,
        attempts=attempts,
        input_tokens=tokens_in,
        cached_tokens=cached,
        output_tokens=out,
        reasoning_tokens=reasoning,
        dollars=sum(costs) if costs else None,
        unpriced=_total(row[8] for row in rows),
        latency_s=latency / measured / 1000 if measured else None,
    )


def _total(values: Iterable[int | None]) -> int:
    return sum(value or 0 for value in values)


def quarantined(store: Snapshot) -> list[Quarantined]:
    """Texts that wait for a person, by reason."""
    rows = store.rows(
        "SELECT stage, source, step, reason, count(*) FROM quarantined GROUP BY stage, source, step, reason "
        "ORDER BY count(*) DESC, stage, source, reason"
    )
    return [Quarantined._make(row) for row in rows]


def open_batches(store: Snapshot) -> list[OpenBatch]:
    """Batches that are on their way."""
    rows = store.rows(
        "SELECT id, stage, model, status, requests, created_at FROM batch "
        "WHERE status NOT IN ('collected','deleted','abandoned') ORDER BY id"
    )
    return [OpenBatch._make((*row[:5], short_time(row[5]))) for row in rows]
