"""How the numbers came about: the commands, and the conditions of each evaluation."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from radvlm_cli.reporting.provenance import Conditions, Invocation
from radvlm_cli.stages.reports.overview import short_time
from radvlm_cli.stages.reports.page.privacy import Privacy
from radvlm_cli.stages.reports.selection import Evaluated
from radvlm_cli.store.snapshot import Snapshot

_RUNS = 40
_LONG = 400
"""Characters of a run's arguments that are shown."""
_DIGITS = 16


def invocations(store: Snapshot, evaluations: Sequence[Evaluated], privacy: Privacy) -> list[Invocation]:
    """The newest finished run of each command, and those that began the evaluations shown; at most 40."""
    ids = {one.run_id for one in evaluations}
    newest = {
        row_id
        for (row_id,) in store.rows(
            "SELECT max(id) FROM run WHERE status IN ('done','partial') AND command NOT LIKE 'eval%' GROUP BY command"
        )
    }
    # Every dataset and training that is shown was made by a run of its own.
    made = {row_id for (row_id,) in store.rows("SELECT run_id FROM dataset WHERE status = 'complete'")}
    trained = {row_id for (row_id,) in store.rows("SELECT run_id FROM training")}
    chosen = sorted(newest | ids | made | trained)[-_RUNS:]
    marks = ",".join("?" * len(chosen))
    rows = store.rows(
        "SELECT id, command, status, started_at, coalesce(ended_at, heartbeat_at), version, python, git_commit, "
        f"git_dirty, arguments FROM run WHERE id IN ({marks}) ORDER BY id",
        chosen,
    )
    return [_invocation(row, privacy) for row in rows]


def _invocation(row: tuple[Any, ...], privacy: Privacy) -> Invocation:
    run, command, status, started, ended, version, python, commit, dirty, arguments = row
    took = (datetime.fromisoformat(ended) - datetime.fromisoformat(started)).total_seconds()
    mark = None if commit is None else commit[:12] + ("+" if dirty else "")
    said = privacy.text(_arguments(json.loads(arguments)))
    system = python.partition(" ")[0] if privacy.public else python
    return Invocation(run, command, status, short_time(started) or "", took, version, system, mark, said)


def _arguments(given: dict[str, Any]) -> str:
    """What was chosen: options that are set, shortest first."""
    said = [
        f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in given.items() if value
    ]
    text = "  ".join(sorted(said, key=len))
    return text if len(text) <= _LONG else f"{text[: _LONG - 1]}\u2026"


def conditions(store: Snapshot, evaluations: Iterable[Evaluated], privacy: Privacy) -> list[Conditions]:
    """One for each evaluation."""
    return [_conditions(store, one, privacy) for one in evaluations]


def _conditions(store: Snapshot, one: Evaluated, privacy: Privacy) -> Conditions:
    identity = json.loads(store.value("SELECT identity FROM evaluation WHERE id = ?", (one.id,)))
    parser = store.value("SELECT parser FROM parsed WHERE evaluation_id = ? LIMIT 1", (one.id,))
    question = next(
        store.rows(
            "SELECT p.prompt, s.turns FROM test_sample s LEFT JOIN prediction p ON p.evaluation_id = ? "
            "AND p.position = s.position WHERE s.test_set_id = ? AND s.position = 0",
            (one.id, one.test_set.id),
        ),
        (None, "[]"),
    )
    wording = " / ".join(json.loads(question[1])[:1])
    weights = identity.get("weights") or {}
    precision = (identity.get("dtype"), identity.get("device"), identity.get("attention"))
    return Conditions(
        evaluation=one.id,
        model=one.model,
        test_set=one.test_set.name,
        samples_sha256=one.test_set.sha256[:_DIGITS],
        weights_sha256=_short(weights.get("sha256") if isinstance(weights, dict) else None),
        prompts_sha256=_short(identity.get("prompts")),
        decoding=_pairs(identity.get("decoding")),
        precision=", ".join(str(each) for each in precision if each),
        backend=_pairs(identity.get("backend")),
        protocol=str(identity.get("protocol") or ""),
        parser=parser,
        run=one.run_id,
        example=privacy.question(one.test_set.task, _first(question[0]), wording),
    )


def _short(digest: Any) -> str | None:
    return str(digest)[:_DIGITS] if digest else None


def _pairs(value: Any) -> str:
    """`greedy, most 512`; `torch 2.13, transformers 5.23`."""
    if not isinstance(value, dict):
        return str(value or "")
    return ", ".join(name if each is True else f"{name} {each}" for name, each in value.items() if each)


def _first(prompt: str | None) -> str | None:
    """Of a conversation its first question."""
    if prompt and prompt.startswith("["):
        try:
            turns = json.loads(prompt)
        except ValueError:
            return prompt
        return str(turns[0]) if isinstance(turns, list) and turns else prompt
    return prompt
