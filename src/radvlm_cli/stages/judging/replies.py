"""Replies of a judge that somebody else asked, from a file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from radvlm_cli.errors import DataError
from radvlm_cli.store.bulk import execute_many
from radvlm_cli.store.judgements import JUDGEMENT_SQL
from radvlm_cli.store.runs import Run
from radvlm_cli.store.scores import Answered

_FORM = 'a JSON object {"SAMPLE": "what the judge answered", ...}; samples are in the view prediction_view'


def take_replies(run: Run, evaluation_id: int, kind: str, path: Path, samples: Iterable[Answered]) -> int:
    """Keep the replies of a JSON file, by sample, as judgements of `kind/HASH`; return how many.

    In place of what was kept of that kind before. DataError where the file cannot be read or names none of the samples.
    """
    try:
        content = path.read_bytes()
        replies = json.loads(content)
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read as JSON ({type(error).__name__}).", _FORM) from error
    if not isinstance(replies, dict) or not all(isinstance(reply, str) for reply in replies.values()):
        raise DataError(f"{path} does not hold a text per sample.", _FORM)
    judge = f"{kind}/{hashlib.sha256(content).hexdigest()[:12]}"
    rows = [
        (evaluation_id, judge, sample.position, "ok", replies[sample.sample_id], None, "null")
        for sample in samples
        if sample.sample_id in replies
    ]
    if not rows:
        raise DataError(f"{path} names none of the samples of evaluation {evaluation_id}.", _FORM)
    with run.store.write() as connection:
        connection.exec_driver_sql(
            "DELETE FROM judgement WHERE evaluation_id = ? AND judge LIKE ?", (evaluation_id, f"{kind}/%")
        )
        execute_many(connection, JUDGEMENT_SQL, rows)
    return len(rows)
