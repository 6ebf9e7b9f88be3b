"""Views with stable names, to build on rather than on the tables."""

from __future__ import annotations

VIEWS: dict[str, tuple[str, str]] = {
    "image_label": (
        "One row per image and finding that is mentioned.",
        "SELECT image.id AS image_id, image.source, image.image_id AS name, image.split, "
        "json_each.key AS finding, json_each.value AS value FROM image, json_each(image.labels)",
    ),
    "grounded_image": (
        "Groundings with the image that they lie on.",
        "SELECT grounding.source, image.source AS image_source, image.image_id AS name, image.patient_id, "
        "image.study_id, image.split AS image_split, grounding.split, grounding.ordinal, grounding.kind, "
        "grounding.label, grounding.phrase, grounding.boxes, image.path, image.width, image.height "
        "FROM grounding JOIN image ON image.id = grounding.image_id",
    ),
    "region": (
        "One row per image and anatomical region.",
        "SELECT grounding.source, image.source AS image_source, image.image_id AS name, image.split AS image_split, "
        "grounding.split, json_each.key AS region, json_each.value AS boxes "
        "FROM grounding JOIN image ON image.id = grounding.image_id, json_each(grounding.boxes) "
        "WHERE grounding.kind = 'region'",
    ),
    "llm_spending": (
        "Calls, tokens and dollars by stage's prompt, model and status.",
        "SELECT prompt.name AS prompt, prompt.model, llm_call.provider, llm_call.tier, llm_call.status, "
        "count(*) AS calls, sum(input_tokens) AS input_tokens, sum(cached_tokens) AS cached_tokens, "
        "sum(output_tokens) AS output_tokens, sum(cost) AS cost, avg(latency_ms) AS latency_ms, "
        "sum(attempts) AS attempts FROM llm_call JOIN prompt ON prompt.id = llm_call.prompt_id "
        "GROUP BY prompt.name, prompt.model, llm_call.provider, llm_call.tier, llm_call.status",
    ),
    "quarantined": (
        "Generated texts that wait for a person, with the reason.",
        "SELECT quarantine.stage, quarantine.subject AS source, quarantine.step, quarantine.item, outcome.reason, "
        "quarantine.origin, quarantine.attempt, quarantine.call_id, quarantine.candidate, quarantine.words "
        "FROM quarantine LEFT JOIN outcome ON outcome.stage = quarantine.stage "
        "AND outcome.subject = quarantine.subject AND outcome.step = quarantine.step "
        "AND outcome.item = quarantine.item",
    ),
    "problem": (
        "How many items are skipped or failed, by reason.",
        "SELECT stage, subject, step, status, reason, count(*) AS items FROM outcome "
        "GROUP BY stage, subject, step, status, reason",
    ),
    "dataset_component": (
        "The components of complete datasets, expected beside found.",
        "SELECT dataset.name AS dataset, component.name, component.task, component.source, component.repeat, "
        "component.expected, component.found, component.unusable, component.leaked, component.removed, "
        "component.pairs, component.remark "
        "FROM component JOIN dataset ON dataset.id = component.dataset_id WHERE dataset.status = 'complete'",
    ),
    "pair_provenance": (
        "From a pair's id to the records and files that it came from.",
        "SELECT dataset.name AS dataset, pair.pair_id, component.name AS component, component.task, "
        "image.source AS image_source, image.image_id AS image, image.patient_id, image.study_id, image.path, "
        "pair.report_id, curated_text.origin AS text_origin, curated_text.call_id AS text_call, "
        "text_file.path AS text_file, "
        "CASE grounding.kind WHEN 'region' THEN (SELECT key FROM (SELECT key, row_number() OVER (ORDER BY key) - 1 "
        "AS place FROM json_each(grounding.boxes)) WHERE place = pair.grounding) ELSE grounding.label END AS label, "
        "grounding.phrase, "
        "CASE grounding.kind WHEN 'region' THEN (SELECT value FROM (SELECT value, row_number() OVER (ORDER BY key) - 1 "
        "AS place FROM json_each(grounding.boxes)) WHERE place = pair.grounding) ELSE grounding.boxes END AS boxes, "
        "conversation.origin AS conversation_origin, conversation.call_id AS conversation_call, "
        "conversation_file.path AS conversation_file, image.run_id "
        "FROM pair JOIN dataset ON dataset.id = pair.dataset_id "
        "JOIN component ON component.dataset_id = pair.dataset_id AND component.position = pair.component "
        "JOIN image ON image.id = pair.image_id "
        "LEFT JOIN curated_text ON curated_text.id = pair.curated_text_id "
        "LEFT JOIN artifact AS text_file ON text_file.id = curated_text.artifact_id "
        "LEFT JOIN grounding ON grounding.source = component.source AND grounding.image_id = pair.image_id "
        "AND grounding.ordinal = iif(component.task = 'region-grounding', 0, pair.grounding) "
        "LEFT JOIN conversation ON conversation.id = pair.conversation_id "
        "LEFT JOIN artifact AS conversation_file ON conversation_file.id = conversation.artifact_id",
    ),
    "training_step": (
        "One row per run and optimizer step; steps that a resume did again count once, as they were done last.",
        "SELECT event.run_id, json_extract(event.body, '$.step') AS step, json_extract(event.body, "
        "'$.consumed_samples') AS consumed_samples, json_extract(event.body, '$.loss') AS loss, "
        "json_extract(event.body, '$.learning_rates.language') AS learning_rate, json_extract(event.body, "
        "'$.learning_rates.vision') AS vision_learning_rate, json_extract(event.body, '$.gradient_norm') AS "
        "gradient_norm, json_extract(event.body, '$.tokens') AS tokens, json_extract(event.body, '$.samples') AS "
        "samples, json_extract(event.body, '$.step_s') AS step_s, json_extract(event.body, '$.tokens_per_s') AS "
        "tokens_per_s, json_extract(event.body, '$.samples_per_s') AS samples_per_s, json_extract(event.body, "
        "'$.mfu') AS mfu, json_extract(event.body, '$.memory_gib') AS memory_gib, json_extract(event.body, "
        "'$.data_wait_s') AS data_wait_s, json_extract(event.body, '$.at') AS at FROM event WHERE event.kind = "
        "'step' "
        "AND NOT EXISTS (SELECT 1 FROM event AS later INDEXED BY ix_event_run_id_kind_file_offset "
        "WHERE later.run_id = event.run_id AND later.kind = 'started' "
        "AND later.file = event.file AND later.offset > event.offset "
        "AND coalesce(json_extract(later.body, '$.resumed_from'), 0) < json_extract(event.body, '$.step'))",
    ),
    "training_evaluation": (
        "Loss on held-out pairs, per run, step and task.",
        "SELECT event.run_id, json_extract(event.body, '$.step') AS step, json_each.key AS task, "
        "json_extract(json_each.value, '$.loss') AS loss, json_extract(json_each.value, '$.samples') AS samples, "
        "json_extract(json_each.value, '$.tokens') AS tokens, json_extract(event.body, '$.at') AS at FROM event, "
        "json_each(event.body, '$.losses') WHERE event.kind = 'evaluation' "
        "AND NOT EXISTS (SELECT 1 FROM event AS later INDEXED BY ix_event_run_id_kind_file_offset "
        "WHERE later.run_id = event.run_id AND later.kind = 'started' "
        "AND later.file = event.file AND later.offset > event.offset "
        "AND coalesce(json_extract(later.body, '$.resumed_from'), 0) < json_extract(event.body, '$.step'))",
    ),
    "dropped_pair": (
        "Pairs that a training run left out, and why.",
        "SELECT event.run_id, json_extract(event.body, '$.pair_id') AS pair_id, json_extract(event.body, "
        "'$.reason') AS reason FROM event WHERE event.kind = 'dropped' GROUP BY 1, 2",
    ),
    "evaluation_result": (
        "Every metric of every evaluation, with its interval.",
        "SELECT evaluation.id AS evaluation_id, evaluation.model, test_set.name AS test_set, test_set.task, "
        "test_set.source, evaluation.status, score.metric, score.part, score.value, score.low, score.high, score.n, "
        "score.clusters, score.coverage, score.remark, test_set.expected FROM score "
        "JOIN evaluation ON evaluation.id = score.evaluation_id JOIN test_set ON test_set.id = evaluation.test_set_id",
    ),
    "prediction_view": (
        "Predictions beside what was asked, what is right, and what the parsers read.",
        "SELECT evaluation.id AS evaluation_id, evaluation.model, test_set.name AS test_set, test_set.task, "
        "test_sample.position, test_sample.sample_id, test_sample.patient_id, test_sample.study_id, test_sample.sex, "
        "test_sample.age, test_sample.view, test_sample.path, test_sample.subject, test_sample.reference, "
        "prediction.prompt, prediction.status, prediction.text, prediction.error, prediction.tokens_in, "
        "prediction.tokens_out, prediction.latency_ms, prediction.worker, prediction.attempt, prediction.at, "
        "parsed.parser, parsed.status AS parsed_status, parsed.content FROM prediction "
        "JOIN evaluation ON evaluation.id = prediction.evaluation_id "
        "JOIN test_set ON test_set.id = evaluation.test_set_id "
        "JOIN test_sample ON test_sample.test_set_id = test_set.id AND test_sample.position = prediction.position "
        "LEFT JOIN parsed ON parsed.evaluation_id = prediction.evaluation_id AND parsed.position = prediction.position",
    ),
}
"""Views with stable names: name -> (what it shows, SELECT). A migration creates each as it stood at the time."""
