"""Questions that are ready to ask. Their columns `prediction` and `run` become links; see cells.py."""

from __future__ import annotations

from typing import NamedTuple

from radvlm_cli.metrics.boxes import BoxMatching, LabelledBoxes
from radvlm_cli.metrics.judge import ConversationJudge
from radvlm_cli.metrics.labels import LabelScores
from radvlm_cli.metrics.rouge import Rouge

_ROWS = 500
"""Of the worst answers; more of them nobody reads."""


class SavedQuery(NamedTuple):
    """One of Datasette's canned queries."""

    name: str
    title: str
    what: str
    sql: str


def saved_queries() -> list[SavedQuery]:
    """All of them, in the order of the stages."""
    return [*_OF_STAGES, *_OF_ANSWERS, *_worst()]


_SPENT = (
    "count(*) AS calls, sum(llm_call.input_tokens) AS input_tokens, sum(llm_call.cached_tokens) AS cached_tokens, "
    "sum(llm_call.output_tokens) AS output_tokens, round(sum(llm_call.cost), 4) AS dollars"
)
_OF_STAGES = (
    SavedQuery(
        "problems",
        "What was skipped or failed, and why",
        "By stage, source and reason, most frequent first. The items themselves are in the table outcome.",
        "SELECT stage, subject, step, status, reason, items FROM problem ORDER BY items DESC, stage, subject, reason",
    ),
    SavedQuery(
        "runs",
        "Runs, newest first",
        "Every command that wrote to the store: how it ended, how long it took.",
        "SELECT id AS run, command, status, started_at, "
        "round((julianday(coalesce(ended_at, heartbeat_at)) - julianday(started_at)) * 1440, 1) AS minutes, resumed, "
        "host, version, message FROM run ORDER BY id DESC",
    ),
    SavedQuery(
        "spending",
        "Spending by prompt and model",
        "Calls to language models: how they ended, tokens, dollars where a price is known.",
        "SELECT prompt.name AS prompt, prompt.model, llm_call.provider, llm_call.tier, llm_call.status, "
        f"{_SPENT} FROM llm_call INDEXED BY ix_llm_call_report JOIN prompt ON prompt.id = llm_call.prompt_id "
        "GROUP BY llm_call.prompt_id, llm_call.status, llm_call.provider, llm_call.tier "
        "ORDER BY dollars DESC, calls DESC",
    ),
    SavedQuery(
        "spending_of_run",
        "Spending of a run, by model",
        "What one run of curate, converse or eval asked and paid. Empty: the newest that asked anything.",
        "SELECT llm_call.run_id AS run, prompt.name AS prompt, prompt.model, llm_call.tier, llm_call.status, "
        f"{_SPENT} FROM llm_call JOIN prompt ON prompt.id = llm_call.prompt_id "
        "WHERE llm_call.run_id = coalesce(nullif(:run, ''), (SELECT max(run_id) FROM llm_call)) "
        "GROUP BY prompt.name, prompt.model, llm_call.tier, llm_call.status ORDER BY dollars DESC, calls DESC",
    ),
    SavedQuery(
        "quarantine",
        "Why generated texts are in quarantine",
        "Texts that did not pass the checks and wait for a person, by reason; one of each as an example.",
        "SELECT stage, source, step, reason, count(*) AS texts, min(item) AS for_example, "
        "max(attempt) AS most_attempts FROM quarantined GROUP BY stage, source, step, reason ORDER BY texts DESC",
    ),
    SavedQuery(
        "components",
        "Datasets: expected beside found",
        "Every component of every complete dataset, with what was left out.",
        "SELECT dataset.name AS dataset, component.name AS component, task, source, repeat, expected, found, "
        "found - expected AS difference, unusable, leaked, removed, component.pairs, remark FROM component "
        "JOIN dataset ON dataset.id = component.dataset_id WHERE dataset.status = 'complete' "
        "ORDER BY dataset.id DESC, component.position",
    ),
    SavedQuery(
        "leakage",
        "What the leakage check removed",
        "Training records that share image, study or patient with an evaluation set, by component.",
        "SELECT dataset.name AS dataset, component.name AS component, leak.level, leak.evaluation AS shared_with, "
        "count(*) AS images, min(leak.shared) AS for_example, component.removed AS removed_from_component FROM leak "
        "JOIN dataset ON dataset.id = leak.dataset_id JOIN component ON component.dataset_id = leak.dataset_id "
        "AND component.position = leak.component "
        "GROUP BY leak.dataset_id, leak.component, leak.level, leak.evaluation ORDER BY images DESC",
    ),
    SavedQuery(
        "training_curve",
        "Training curve of a run",
        "One row per optimizer step. Empty: the newest training run.",
        "SELECT run_id AS run, step, loss, learning_rate, gradient_norm, tokens_per_s, samples_per_s, memory_gib, at "
        "FROM training_step WHERE run_id = coalesce(nullif(:run, ''), (SELECT max(run_id) FROM training)) "
        "ORDER BY step",
    ),
    SavedQuery(
        "checkpoints",
        "Checkpoints",
        "Of all training runs, newest first.",
        "SELECT run_id AS run, step, consumed_samples, status, round(bytes / 1e9, 2) AS gigabytes, saved_at, path "
        "FROM checkpoint ORDER BY saved_at DESC",
    ),
)
_ANSWERED = (
    "evaluation.id || '/' || prediction.position AS prediction, evaluation.model, test_set.name AS test_set, "
    "test_sample.sample_id, coalesce(parsed.status, prediction.status) AS status"
)
_FROM = (
    "FROM prediction JOIN evaluation ON evaluation.id = prediction.evaluation_id "
    "JOIN test_set ON test_set.id = evaluation.test_set_id "
    "JOIN test_sample ON test_sample.test_set_id = test_set.id AND test_sample.position = prediction.position "
    "LEFT JOIN parsed ON parsed.evaluation_id = prediction.evaluation_id AND parsed.position = prediction.position"
)
_OF_ANSWERS = (
    SavedQuery(
        "results",
        "Metrics of every evaluation",
        "Over all samples, with 95 % intervals. Whether a difference is real says radvlm report compare.",
        "SELECT evaluation_id, model, test_set, task, metric, value, low, high, n, clusters AS patients, coverage, "
        "remark FROM evaluation_result WHERE part = '' ORDER BY evaluation_id DESC, metric",
    ),
    SavedQuery(
        "failures",
        "Answers by status",
        "How the answers of each evaluation came out. All but ok count as wrong.",
        "SELECT evaluation.id AS evaluation_id, evaluation.model, test_set.name AS test_set, parsed.status, "
        "count(*) AS answers, round(100.0 * count(*) / test_set.samples, 1) AS percent FROM parsed "
        "JOIN evaluation ON evaluation.id = parsed.evaluation_id JOIN test_set ON test_set.id = evaluation.test_set_id "
        "GROUP BY parsed.evaluation_id, parsed.status ORDER BY evaluation.id DESC, answers DESC",
    ),
    SavedQuery(
        "errors",
        "Errors in place of answers",
        "Samples whose last try ended with an error, by reason; they are asked again by the next run.",
        "SELECT evaluation.id AS evaluation_id, evaluation.model, prediction.error, count(*) AS answers, "
        "min(evaluation.id || '/' || prediction.position) AS prediction FROM prediction "
        "JOIN evaluation ON evaluation.id = prediction.evaluation_id WHERE prediction.status = 'error' "
        "GROUP BY evaluation.id, prediction.error ORDER BY answers DESC",
    ),
    SavedQuery(
        "answers",
        "Answers of an evaluation",
        "In the order of the test set; with a status only those: ok, empty, unparsable, truncated, refused, error.",
        f"SELECT {_ANSWERED}, test_sample.subject, substr(prediction.text, 1, 200) AS text, prediction.error {_FROM} "
        "WHERE prediction.evaluation_id = coalesce(nullif(:evaluation, ''), (SELECT max(id) FROM evaluation)) "
        "AND (:status = '' OR coalesce(parsed.status, prediction.status) = :status) ORDER BY prediction.position",
    ),
)


class _Worst(NamedTuple):
    """By which of a sample's numbers the answers of a task are ranked."""

    of: str
    tasks: tuple[str, ...]
    family: str
    called: str
    value: str
    """SQL over `numbers`."""
    defined: str
    """SQL: whether the sample has one."""
    order: str
    what: str


def _worst() -> list[SavedQuery]:
    """The answers of an evaluation by a number that its metrics are sums of, lowest first (highest, of mistakes)."""
    box, found, rouge, judge = BoxMatching.columns, LabelledBoxes.columns, Rouge.columns, ConversationJudge.columns
    both = f"({_number(found, 'predicted')} + {_number(found, 'true')})"
    labels = len(LabelScores().labels)  # true positives of each label, then false positives, then false negatives
    mistakes = f"(SELECT sum(value) FROM json_each(numbers) WHERE key BETWEEN {labels} AND {3 * labels - 1})"
    listed = (
        _Worst(
            *("boxes", ("region", "abnormality", "phrase"), "= 'boxes'", "iou", _number(box, "iou_of_unions")),
            *(f"{_number(box, 'samples_with_truth')} > 0", "ASC", "overlap of all predicted with all true boxes"),
        ),
        _Worst(
            *("detection", ("detection",), "= 'labelled_boxes'", "f1", f"2 * {_number(found, 'matches')} / {both}"),
            *(f"{both} > 0", "ASC", "F1 of boxes with the right label at IoU 0.5"),
        ),
        _Worst(
            *("findings", ("classification",), "= 'labels'", "mistakes", mistakes),
            *("1", "DESC", "findings missed and findings invented"),
        ),
        _Worst(
            *("reports", ("report",), "= 'rouge'", "rouge_l", _number(rouge, "rouge_l")),
            *("1", "ASC", "ROUGE-L: words, not findings, so look before you conclude"),
        ),
        _Worst(
            # One family for each judge: judge/NAME.
            *("conversations", ("conversation",), "BETWEEN 'judge' AND 'judge0'", "grade", _number(judge, "overall")),
            *(f"{_number(judge, 'scored')} > 0", "ASC", "overall grade of a judging model"),
        ),
    )
    return [_worst_query(each) for each in listed]


def _number(columns: tuple[str, ...], name: str) -> str:
    return f"json_extract(numbers, '$[{columns.index(name)}]')"


def _worst_query(each: _Worst) -> SavedQuery:
    tasks = ", ".join(f"'{task}'" for task in each.tasks)
    newest = (
        "(SELECT max(scored.id) FROM evaluation AS scored JOIN test_set ON test_set.id = scored.test_set_id "
        f"WHERE test_set.task IN ({tasks}))"
    )
    return SavedQuery(
        f"worst_{each.of}",
        f"Worst answers: {each.of}",
        f"By {each.what}; failures are among them. The first {_ROWS}. Empty: the newest of {', '.join(each.tasks)}.",
        "SELECT ranked.evaluation_id || '/' || ranked.position AS prediction, "
        f"round(ranked.value, 3) AS {each.called}, ranked.status, evaluation.model, "
        "test_set.name AS test_set, test_sample.subject, substr(prediction.text, 1, 200) AS text, "
        "substr(test_sample.reference, 1, 200) AS reference FROM "
        f"(SELECT evaluation_id, position, status, {each.value} AS value FROM sample_score WHERE family {each.family} "
        f"AND evaluation_id = coalesce(nullif(:evaluation, ''), {newest}) AND {each.defined} "
        f"ORDER BY value {each.order}, position LIMIT {_ROWS}) AS ranked "
        "JOIN evaluation ON evaluation.id = ranked.evaluation_id JOIN test_set ON test_set.id = evaluation.test_set_id "
        "JOIN test_sample ON test_sample.test_set_id = test_set.id AND test_sample.position = ranked.position "
        "LEFT JOIN prediction ON prediction.evaluation_id = ranked.evaluation_id "
        f"AND prediction.position = ranked.position ORDER BY ranked.value {each.order}, ranked.position",
    )
