"""What judging models said of predictions: which samples there are to judge, what is known of each, and the replies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Protocol, TypeVar

from radvlm_cli.errors import ConfigError
from radvlm_cli.records import JudgeReply
from radvlm_cli.store.bulk import batched, execute_many
from radvlm_cli.store.calls import unpack
from radvlm_cli.store.engine import Store
from radvlm_cli.store.runs import Run
from radvlm_cli.store.spool import Into

_PAGE = 500
"""Samples per read: a read that lasted as long as a job would keep the write-ahead log from being folded back."""

JUDGEMENT_SQL = (
    "INSERT OR REPLACE INTO judgement (evaluation_id, judge, position, status, text, call_id, numbers) "
    "VALUES (?,?,?,?,?,(SELECT id FROM llm_call WHERE key = ?),?)"
)
"""Keeps a judgement; the sixth value is the key of the call that it comes from, NULL where there was none."""


_WORKER_SQL = (
    "INSERT INTO judgement (evaluation_id, judge, position, status, text, numbers) SELECT ?, ?, ?, ?, ?, '[]' "
    "WHERE EXISTS (SELECT 1 FROM evaluation WHERE id = ?) ON CONFLICT (evaluation_id, judge, position) DO NOTHING"
)
_STATUSES = ("ok", "empty", "truncated", "error")


def _judgement(_run_id: int, body: dict[str, Any]) -> tuple[Any, ...]:
    values = [body[name] for name in ("evaluation_id", "judge", "position", "status", "text")]
    if body["status"] not in _STATUSES:
        raise ValueError("no judgement as workers write them")
    return (*values, body["evaluation_id"])


JUDGEMENTS = Into(_WORKER_SQL, _judgement)
"""How the lines of workers become judgements (for spool.take_in)."""


class Placed(Protocol):
    """A sample of an evaluation."""

    @property
    def evaluation_id(self) -> int: ...

    @property
    def position(self) -> int: ...


P = TypeVar("P", bound=Placed)


def keep_judgements(run: Run, judge: str, rows: Iterable[tuple[int, int, str, str]]) -> None:
    """Write judgements that come from no worker: evaluation, position, status, text."""
    for batch in batched((number, judge, place, status, text, number) for number, place, status, text in rows):
        with run.store.write() as connection:
            execute_many(connection, _WORKER_SQL, batch)


def forget_judgements(run: Run, judge: str, places: Iterable[tuple[int, int]]) -> None:
    """Remove what a judge said of samples (evaluation, position), so that it is asked again."""
    sql = "DELETE FROM judgement WHERE evaluation_id = ? AND judge = ? AND position = ?"
    for batch in batched((evaluation, judge, position) for evaluation, position in places):
        with run.store.write() as connection:
            execute_many(connection, sql, batch)


def unjudged(store: Store, asked: Iterable[P], judge: str) -> list[P]:
    """Those that the judge has said nothing about, not even that it failed."""
    asked = list(asked)
    done: set[tuple[int, int]] = set()
    for evaluation in {each.evaluation_id for each in asked}:
        sql = "SELECT position FROM judgement WHERE evaluation_id = ? AND judge = ?"
        done |= {(evaluation, position) for (position,) in store.rows(sql, (evaluation, judge))}
    return [each for each in asked if (each.evaluation_id, each.position) not in done]


class Evaluated(NamedTuple):
    """An evaluation and what it is of."""

    id: int
    model: str
    test_set: str
    task: str
    source: str
    samples: int


class Talk(NamedTuple):
    """A sample of an evaluation whose judgement may be wanted."""

    position: int
    turns: str
    """JSON list of the human's turns."""
    reference: str
    """JSON object, as in `test_sample`."""
    status: str | None
    """Of the prediction; None: there is none yet."""
    text: str | None
    judged: str | None
    """Status of the judgement, if there is one."""
    asked: str | None
    """JSON list of the messages that led to it; None where no call did."""
    seed: int | None
    """Among the parameters of that call."""


def evaluated(store: Store, evaluation_id: int) -> Evaluated:
    """An evaluation; ConfigError where the store has none of that number."""
    sql = (
        "SELECT e.id, e.model, t.name, t.task, t.source, t.samples FROM evaluation e "
        "JOIN test_set t ON t.id = e.test_set_id WHERE e.id = ?"
    )
    row = next(store.rows(sql, (evaluation_id,)), None)
    if row is None:
        raise ConfigError(f"There is no evaluation {evaluation_id} in the store.", "radvlm eval --help")
    return Evaluated._make(row)


def talks(store: Store, evaluation_id: int, judge: str) -> Iterator[Talk]:
    """The samples of an evaluation with their predictions and what `judge` said of them, in order, in pages."""
    sql = (
        "SELECT s.position, s.turns, s.reference, p.status, p.text, j.status, c.asked, "
        "json_extract(r.parameters, '$.seed') FROM evaluation e "
        "JOIN test_sample s ON s.test_set_id = e.test_set_id "
        "LEFT JOIN prediction p ON p.evaluation_id = e.id AND p.position = s.position "
        "LEFT JOIN judgement j ON j.evaluation_id = e.id AND j.judge = ? AND j.position = s.position "
        "LEFT JOIN llm_call c ON c.id = j.call_id LEFT JOIN prompt r ON r.id = c.prompt_id "
        "WHERE e.id = ? AND s.position > ? ORDER BY s.position LIMIT ?"
    )
    last = -1
    while rows := list(store.rows(sql, (judge, evaluation_id, last, _PAGE))):
        for *values, asked, seed in rows:
            yield Talk._make((*values, None if asked is None else unpack(asked), seed))
        last = rows[-1][0]


def judges(store: Store, evaluation_id: int) -> list[str]:
    """Who has judged an evaluation, by name."""
    sql = "SELECT DISTINCT judge FROM judgement WHERE evaluation_id = ? ORDER BY judge"
    return [judge for (judge,) in store.rows(sql, (evaluation_id,))]


def judge_replies(store: Store, evaluation_id: int, judge: str) -> dict[int, JudgeReply]:
    """What a judge said, by position; positions that it was not asked about are left out."""
    sql = "SELECT position, status, text FROM judgement WHERE evaluation_id = ? AND judge = ?"
    return {position: JudgeReply(status, text) for position, status, text in store.rows(sql, (evaluation_id, judge))}
