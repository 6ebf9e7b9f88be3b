"""Language model calls, batches and quarantine; who wrote a text and whether a person looked at it."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


VIEWS = {
    "llm_spending": "SELECT prompt.name AS prompt, prompt.model, llm_call.provider, llm_call.tier, llm_call.status, count(*) AS calls, sum(input_tokens) AS input_tokens, sum(cached_tokens) AS cached_tokens, sum(output_tokens) AS output_tokens, sum(cost) AS cost, avg(latency_ms) AS latency_ms, sum(attempts) AS attempts FROM llm_call JOIN prompt ON prompt.id = llm_call.prompt_id GROUP BY prompt.name, prompt.model, llm_call.provider, llm_call.tier, llm_call.status",
    "quarantined": "SELECT quarantine.stage, quarantine.subject AS source, quarantine.step, quarantine.item, outcome.reason, quarantine.origin, quarantine.attempt, quarantine.call_id, quarantine.candidate, quarantine.words FROM quarantine LEFT JOIN outcome ON outcome.stage = quarantine.stage AND outcome.subject = quarantine.subject AND outcome.step = quarantine.step AND outcome.item = quarantine.item",
    "pair_provenance": "SELECT dataset.name AS dataset, pair.pair_id, component.name AS component, component.task, image.source AS image_source, image.image_id AS image, image.patient_id, image.study_id, image.path, pair.report_id, curated_text.origin AS text_origin, curated_text.call_id AS text_call, text_file.path AS text_file, CASE grounding.kind WHEN 'region' THEN (SELECT key FROM (SELECT key, row_number() OVER (ORDER BY key) - 1 AS place FROM json_each(grounding.boxes)) WHERE place = pair.grounding) ELSE grounding.label END AS label, grounding.phrase, CASE grounding.kind WHEN 'region' THEN (SELECT value FROM (SELECT value, row_number() OVER (ORDER BY key) - 1 AS place FROM json_each(grounding.boxes)) WHERE place = pair.grounding) ELSE grounding.boxes END AS boxes, conversation.origin AS conversation_origin, conversation.call_id AS conversation_call, conversation_file.path AS conversation_file, image.run_id FROM pair JOIN dataset ON dataset.id = pair.dataset_id JOIN component ON component.dataset_id = pair.dataset_id AND component.position = pair.component JOIN image ON image.id = pair.image_id LEFT JOIN curated_text ON curated_text.id = pair.curated_text_id LEFT JOIN artifact AS text_file ON text_file.id = curated_text.artifact_id LEFT JOIN grounding ON grounding.source = component.source AND grounding.image_id = pair.image_id AND grounding.ordinal = iif(component.task = 'region-grounding', 0, pair.grounding) LEFT JOIN conversation ON conversation.id = pair.conversation_id LEFT JOIN artifact AS conversation_file ON conversation_file.id = conversation.artifact_id",
}


def upgrade() -> None:
    op.create_table(
        "batch",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("intent", sa.String(), nullable=False),
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("requests", sa.Integer(), nullable=False),
        sa.Column("tokens", sa.Integer(), nullable=False),
        sa.Column("input_file", sa.String(), nullable=True),
        sa.Column("remote_id", sa.String(), nullable=True),
        sa.Column("remote_status", sa.String(), nullable=True),
        sa.Column("output_file", sa.String(), nullable=True),
        sa.Column("error_file", sa.String(), nullable=True),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("created_at", sa.String(), nullable=False),
        sa.Column("updated_at", sa.String(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "status IN ('intended','uploaded','submitted','ended','collected','deleted','abandoned')",
            name=op.f("ck_batch_status"),
        ),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_batch_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batch")),
        sa.UniqueConstraint("intent", name=op.f("uq_batch_intent")),
    )
    op.create_table(
        "prompt",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("parameters", sa.String(), nullable=False),
        sa.Column("answer_schema", sa.String(), nullable=True),
        sa.Column("messages", sa.LargeBinary(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_prompt_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_prompt")),
        sa.UniqueConstraint("hash", name=op.f("uq_prompt_hash")),
    )
    op.create_table(
        "batch_line",
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("batch_id", sa.Integer(), nullable=False),
        sa.Column("prompt_id", sa.Integer(), nullable=False),
        sa.Column("asked", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["batch_id"], ["batch.id"], name=op.f("fk_batch_line_batch_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["prompt_id"], ["prompt.id"], name=op.f("fk_batch_line_prompt_id")),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_batch_line")),
    )
    op.create_index("ix_batch_line_batch_id", "batch_line", ["batch_id"])

    op.create_table(
        "llm_call",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("prompt_id", sa.Integer(), nullable=False),
        sa.Column("asked", sa.LargeBinary(), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=True),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=True),
        sa.Column("fingerprint", sa.String(), nullable=True),
        sa.Column("request_id", sa.String(), nullable=True),
        sa.Column("finish_reason", sa.String(), nullable=True),
        sa.Column("http_status", sa.Integer(), nullable=True),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("input_tokens", sa.Integer(), nullable=True),
        sa.Column("cached_tokens", sa.Integer(), nullable=True),
        sa.Column("output_tokens", sa.Integer(), nullable=True),
        sa.Column("reasoning_tokens", sa.Integer(), nullable=True),
        sa.Column("cost", sa.Float(), nullable=True),
        sa.Column("tier", sa.String(), nullable=False),
        sa.Column("latency_ms", sa.Integer(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("batch_id", sa.Integer(), nullable=True),
        sa.Column("answered_at", sa.String(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "status IN ('ok','truncated','filtered','refused','rejected','failed')", name=op.f("ck_llm_call_status")
        ),
        sa.ForeignKeyConstraint(["batch_id"], ["batch.id"], name=op.f("fk_llm_call_batch_id")),
        sa.ForeignKeyConstraint(["prompt_id"], ["prompt.id"], name=op.f("fk_llm_call_prompt_id")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_llm_call_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_llm_call")),
        sa.UniqueConstraint("key", name=op.f("uq_llm_call_key")),
    )
    op.create_index("ix_llm_call_run_id", "llm_call", ["run_id"])

    op.create_table(
        "quarantine",
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("step", sa.String(), nullable=False),
        sa.Column("item", sa.String(), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("candidate", sa.String(), nullable=True),
        sa.Column("words", sa.String(), nullable=True),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("call_id", sa.Integer(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["call_id"], ["llm_call.id"], name=op.f("fk_quarantine_call_id")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_quarantine_run_id")),
        sa.PrimaryKeyConstraint("stage", "subject", "step", "item", name=op.f("pk_quarantine")),
        sqlite_with_rowid=False,
    )
    for table in ("curated_text", "conversation"):
        # Not by Alembic's batch mode, which would copy half a million rows: SQLite can add columns that may be NULL.
        op.execute(f"ALTER TABLE {table} ADD COLUMN key BLOB")
        op.execute(
            f"ALTER TABLE {table} ADD COLUMN call_id INTEGER CONSTRAINT fk_{table}_call_id REFERENCES llm_call (id)"
        )
        op.execute(f"ALTER TABLE {table} ADD COLUMN reviewed VARCHAR")
    op.execute("DROP VIEW pair_provenance")
    for name, select in VIEWS.items():
        op.execute(f"CREATE VIEW {name} AS {select}")
