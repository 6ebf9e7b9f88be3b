"""Let a language model grade the conversations of an evaluation. No call is paid for twice.

The judge reads reference and answers, which are credentialed text: a server of one's own is meant, and anybody else
needs the same consent as for `curate`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from functools import cache
from typing import Any, NamedTuple

from radvlm_cli.documents import readable
from radvlm_cli.errors import ConfigError, DataError
from radvlm_cli.hashing import canonical_json
from radvlm_cli.llm import Answer, Prompt, Request
from radvlm_cli.llm.prompting import ask, ask_again, load_prompt
from radvlm_cli.llm.tokens import count_tokens, message_tokens
from radvlm_cli.metrics.family import Status
from radvlm_cli.metrics.judge import PROMPT, SCHEMA, Judged, Round, Scores, parse_scores, tell
from radvlm_cli.records import Box
from radvlm_cli.stages.evaluation.consent import require_consent_of
from radvlm_cli.stages.texts.asking import Options, Statement, ask_about, call_counts, new_meter
from radvlm_cli.stages.texts.generate import Writer
from radvlm_cli.stages.texts.writing import Choice, choose_writer
from radvlm_cli.store.engine import Store
from radvlm_cli.store.judgements import JUDGEMENT_SQL, Evaluated, Talk, evaluated, judge_replies, talks
from radvlm_cli.store.runs import Run

_RETRY_TEMPERATURE = 0.7
_REASON_TOKENS = 60
_STATUSES: dict[str, Status] = {
    "truncated": "truncated",
    "filtered": "refused",
    "refused": "refused",
    "rejected": "error",
    "failed": "error",
}
"""Of an answer that is no grade -> of the judgement."""
_AGAIN = "Grade the whole conversation again, every round once, with shorter reasons. Answer with the JSON object only."
_COUNTED = {"ok": "graded", "empty": "nothing to grade", "error": "unanswered"}
_FAILURES = ("unparsable", "truncated", "refused", "unanswered", "failed before")


class JudgeOptions(NamedTuple):
    """How to grade an evaluation."""

    writer: Writer
    """The judge, from `choose_judge`."""
    calls: Options = Options()
    retry_failed: bool = False
    """Ask anew, with another seed, about conversations that the judge failed at; else they stay failed."""
    limit: int | None = None
    """Take up at most so many."""
    extract: Callable[[str, bool], str] = lambda text, _cut_off: text
    """What takes the answer out of a model's raw text, e.g. what follows its thoughts (see models.answer_of)."""


def choose_judge(store: Store, evaluation_id: int, choice: Choice) -> Writer:
    """Who grades an evaluation.

    ConfigError if that is not said, if it is no evaluation of conversations, or if its text may not be sent there.
    """
    about = _conversations(store, evaluation_id)
    if choice.provider == "rules" or not (choice.provider or choice.base_url or choice.azure_model):
        raise ConfigError(
            "No judge is chosen.",
            "--base-url http://localhost:8000/v1 (a server of your own), --azure-model DEPLOYMENT, "
            "or --provider openai --model NAME",
        )
    writer = choose_writer("judge", choice, [])
    assert writer.endpoint is not None
    require_consent_of(writer.endpoint, [about.source], zero_retention=choice.zero_retention)
    return writer


def judge_name(writer: Writer) -> str:
    """How a judge is called in the store: prompt, model, and a hash of all that decides its answers."""
    prompt = _prompt(writer)
    return f"{PROMPT}/{prompt.model}/{prompt.hash.hex()[:12]}"


def judge(run: Run, evaluation_id: int, options: JudgeOptions) -> dict[str, int]:
    """Grade the conversations of an evaluation that have not been graded; return how many came out how.

    An answer that is not of the form is sent back once with what is wrong. Raises what ended the job early, with all
    that was answered kept: the next run goes on from there.
    """
    _conversations(run.store, evaluation_id)
    assert options.writer.endpoint is not None
    grading = _Grading(run.store, evaluation_id, options)
    meter = new_meter(run, options.calls)
    try:
        ask_about(run, grading, options.writer.endpoint, options.calls, meter)
    finally:
        counts = grading.counts() | call_counts(meter)
        run.tally(f"judge of evaluation {evaluation_id}", counts)
    run.failed_items += grading.failed()
    return counts


class GradingPlan(NamedTuple):
    """What `judge` would do with an evaluation."""

    test_set: str
    judge: str
    conversations: int
    to_grade: int
    """Those with something to grade that has no grade yet: a call each, two where the first answer is of no use."""
    input_tokens: int
    output_tokens: int
    """By a guess of a short reason for each round."""
    cost: float | None
    """Dollars, a call each; None: the price is not known."""


def plan_grading(store: Store, evaluation_id: int, options: JudgeOptions) -> GradingPlan:
    """Say what `judge` would do; nothing is sent and nothing is written."""
    grading = _Grading(store, evaluation_id, options)
    waiting = [found for found in grading.pending() if found is not None and found.message]
    fixed = message_tokens(_prompt(options.writer).messages)
    told = sum(fixed + count_tokens(found.message) for found in waiting)
    said = sum(_REASON_TOKENS * (found.rounds + 1) for found in waiting)
    price = options.calls.price
    cost = None if price is None else (told * price.input + said * price.output) / 1e6
    about = grading.about
    return GradingPlan(about.test_set, grading.name, about.samples, len(waiting), told, said, cost)


def judged_conversations(store: Store, evaluation_id: int, judge: str) -> list[Judged | None]:
    """What a judge said of each conversation of an evaluation, in order, for metrics.judge.ConversationJudge."""
    replies = judge_replies(store, evaluation_id, judge)
    return [
        Judged(replies[talk.position], len(json.loads(talk.turns))) if talk.position in replies else None
        for talk in talks(store, evaluation_id, judge)
    ]


class _Found(NamedTuple):
    """A conversation to grade."""

    position: int
    rounds: int
    message: str
    """What the judge is told; '' where there is nothing to grade."""
    attempt: int


class _Outcome(NamedTuple):
    status: Status
    text: str
    call: bytes | None
    """Key of the call whose answer was read last."""
    scores: Scores | None = None
    complaint: str | None = None
    """What is wrong, for an answer that may come out better another time."""


class _Grading:
    """The conversations of one evaluation. See asking.Asking."""

    def __init__(self, store: Store, evaluation_id: int, options: JudgeOptions) -> None:
        self.items: Counter[str] = Counter()
        self._store = store
        self.about = evaluated(store, evaluation_id)
        self._options = options
        self.name = judge_name(options.writer)
        self.title = f"{self.about.test_set}: judge {self.about.model}"

    def count(self) -> int:
        return self.about.samples

    def failed(self) -> int:
        return sum(self.items[name] for name in _FAILURES)

    def counts(self) -> dict[str, int]:
        """Conversations by how they stand now."""
        names = ("items", "done before", "graded", "nothing to grade", *_FAILURES, "not answered yet", "left for later")
        return {name: self.items[name] for name in names}

    def pending(self) -> Iterator[_Found | None]:
        taken = 0
        for talk in talks(self._store, self.about.id, self.name):
            self.items["items"] += 1
            found = self._found(talk) if talk.status is not None else None
            stands = "not answered yet" if found is None else self._stands(talk, found)
            if found is not None and stands is None:
                if self._options.limit is None or taken < self._options.limit:
                    taken += 1
                    yield found
                    continue
                stands = "left for later"
            self.items[stands or ""] += 1
            yield None

    def _found(self, talk: Talk) -> _Found:
        rounds = _rounds(talk, self._options.extract)
        message = tell(rounds, _located(talk)) if any(one.answer.strip() for one in rounds) else ""
        found = _Found(talk.position, len(rounds), message, 0)
        again = self._options.retry_failed and talk.judged not in (None, "ok", "empty", "error")
        # An attempt that was cut short is gone on with: its answer may have been paid for.
        return found._replace(attempt=(talk.seed or 0) + 1) if again and _is_of(talk, found) else found

    def _stands(self, talk: Talk, found: _Found) -> str | None:
        """What is to be said of a conversation that is not taken up; None: it is."""
        if talk.judged in (None, "error") or not _is_of(talk, found):
            return None
        if talk.judged in ("ok", "empty"):
            return "done before"
        return None if self._options.retry_failed else "failed before"

    def steps(self, found: _Found) -> Generator[Request, Answer, _Outcome]:
        if not found.message:
            return _Outcome("empty", "", None)
        request = ask(self._prompt(found.attempt), found.message)
        answer = yield request
        outcome = _read(answer, request.key, found.rounds)
        if outcome.complaint is None:
            return outcome
        again = ask_again(request, answer.text or "", outcome.complaint)
        answer = yield again
        return _read(answer, again.key, found.rounds)

    def rows(self, found: _Found, outcome: _Outcome) -> list[Statement]:
        scores = outcome.scores
        numbers = [] if scores is None else [scores.overall, *scores.rounds]
        kept = (self.about.id, self.name, found.position, outcome.status, outcome.text, outcome.call)
        return [(JUDGEMENT_SQL, (*kept, canonical_json(numbers)))]

    def written(self, outcome: _Outcome) -> None:
        self.items[_COUNTED.get(outcome.status, outcome.status)] += 1

    def _prompt(self, attempt: int) -> Prompt:
        return _prompt(self._options.writer, attempt)


@cache
def _prompt_of(model: str, parameters: str) -> Prompt:
    return load_prompt(PROMPT, model, json.loads(parameters), SCHEMA)


def _prompt(writer: Writer, attempt: int = 0) -> Prompt:
    assert writer.endpoint is not None
    assert writer.endpoint.model is not None
    parameters = dict(writer.parameters)
    if attempt:
        parameters |= {"seed": attempt, "temperature": _RETRY_TEMPERATURE}
    return _prompt_of(writer.endpoint.model, canonical_json(parameters))


def _conversations(store: Store, evaluation_id: int) -> Evaluated:
    about = evaluated(store, evaluation_id)
    if about.task != "conversation":
        raise ConfigError(
            f"Evaluation {evaluation_id} is of {about.task}, and a judge grades conversations.",
            "radvlm eval --task conversation --model ...",
        )
    return about


def _rounds(talk: Talk, extract: Callable[[str, bool], str]) -> list[Round]:
    """The rounds of a sample; one that was not answered has the answer ''."""
    questions: list[str] = json.loads(talk.turns)
    right = [text for role, text in json.loads(talk.reference)["turns"] if role == "gpt"]
    if len(right) != len(questions):
        raise DataError(f"Sample {talk.position} has {len(questions)} questions and {len(right)} answers to them.")
    cut_off = talk.status == "truncated"
    answers = [extract(readable(text), cut_off) for text in json.loads(talk.text or "[]")][: len(questions)]
    answers += [""] * (len(questions) - len(answers))
    return [Round(*texts) for texts in zip(questions, right, answers, strict=True)]


def _located(talk: Talk) -> dict[str, list[Box]]:
    found: dict[str, Any] = json.loads(talk.reference).get("boxes") or {}
    return {name: [Box(*box) for box in boxes] for name, boxes in found.items()}


def _is_of(talk: Talk, found: _Found) -> bool:
    """Whether a judgement is of the answers as they are now."""
    if talk.asked is None:
        return not found.message
    return bool(json.loads(talk.asked)[0]["content"] == found.message)


def _read(answer: Answer, call: bytes, rounds: int) -> _Outcome:
    text = readable(answer.text or "")
    if answer.status != "ok":
        again = "The answer was cut off. " if answer.status == "truncated" else None
        return _Outcome(_STATUSES[answer.status], text, call, complaint=again and f"{again}{_AGAIN}")
    try:
        return _Outcome("ok", text, call, parse_scores(text, rounds))
    except DataError as error:
        return _Outcome("unparsable", text, call, complaint=f"This is not right yet: {error.message}. {_AGAIN}")
