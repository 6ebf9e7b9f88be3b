"""The tables of prepare and build."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

VIEWS = {
    "image_label": "SELECT image.id AS image_id, image.source, image.image_id AS name, image.split, json_each.key AS finding, json_each.value AS value FROM image, json_each(image.labels)",
    "grounded_image": "SELECT grounding.source, image.source AS image_source, image.image_id AS name, image.patient_id, image.study_id, image.split AS image_split, grounding.split, grounding.ordinal, grounding.kind, grounding.label, grounding.phrase, grounding.boxes, image.path, image.width, image.height FROM grounding JOIN image ON image.id = grounding.image_id",
    "region": "SELECT grounding.source, image.source AS image_source, image.image_id AS name, image.split AS image_split, grounding.split, json_each.key AS region, json_each.value AS boxes FROM grounding JOIN image ON image.id = grounding.image_id, json_each(grounding.boxes) WHERE grounding.kind = 'region'",
    "problem": "SELECT stage, subject, step, status, reason, count(*) AS items FROM outcome GROUP BY stage, subject, step, status, reason",
    "dataset_component": "SELECT dataset.name AS dataset, component.name, component.task, component.source, component.repeat, component.expected, component.found, component.unusable, component.leaked, component.removed, component.pairs, component.remark FROM component JOIN dataset ON dataset.id = component.dataset_id WHERE dataset.status = 'complete'",
    "pair_provenance": "SELECT dataset.name AS dataset, pair.pair_id, component.name AS component, component.task, image.source AS image_source, image.image_id AS image, image.patient_id, image.study_id, image.path, pair.report_id, curated_text.origin AS text_origin, text_file.path AS text_file, CASE grounding.kind WHEN 'region' THEN (SELECT key FROM (SELECT key, row_number() OVER (ORDER BY key) - 1 AS place FROM json_each(grounding.boxes)) WHERE place = pair.grounding) ELSE grounding.label END AS label, grounding.phrase, CASE grounding.kind WHEN 'region' THEN (SELECT value FROM (SELECT value, row_number() OVER (ORDER BY key) - 1 AS place FROM json_each(grounding.boxes)) WHERE place = pair.grounding) ELSE grounding.boxes END AS boxes, conversation.origin AS conversation_origin, conversation_file.path AS conversation_file, image.run_id FROM pair JOIN dataset ON dataset.id = pair.dataset_id JOIN component ON component.dataset_id = pair.dataset_id AND component.position = pair.component JOIN image ON image.id = pair.image_id LEFT JOIN curated_text ON curated_text.id = pair.curated_text_id LEFT JOIN artifact AS text_file ON text_file.id = curated_text.artifact_id LEFT JOIN grounding ON grounding.source = component.source AND grounding.image_id = pair.image_id AND grounding.ordinal = iif(component.task = 'region-grounding', 0, pair.grounding) LEFT JOIN conversation ON conversation.id = pair.conversation_id LEFT JOIN artifact AS conversation_file ON conversation_file.id = conversation.artifact_id",
}


def upgrade() -> None:
    op.create_table(
        "run",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("command", sa.String(), nullable=False),
        sa.Column("arguments", sa.String(), nullable=False),
        sa.Column("config_hash", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("python", sa.String(), nullable=False),
        sa.Column("git_commit", sa.String(), nullable=True),
        sa.Column("git_dirty", sa.Integer(), nullable=True),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.String(), nullable=False),
        sa.Column("heartbeat_at", sa.String(), nullable=False),
        sa.Column("ended_at", sa.String(), nullable=True),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("message", sa.String(), nullable=True),
        sa.Column("resumed", sa.Integer(), nullable=False),
        sa.CheckConstraint("status IN ('running','done','partial','failed','interrupted')", name=op.f("ck_run_status")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run")),
    )
    with op.batch_alter_table("run", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_run_command_started_at"), ["command", "started_at"], unique=False)

    op.create_table(
        "artifact",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("root", sa.String(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=True),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.Column("mtime_ns", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.CheckConstraint("origin IN ('written','adopted')", name=op.f("ck_artifact_origin")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_artifact_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_artifact")),
        sa.UniqueConstraint("root", "path", name=op.f("uq_artifact_root_path")),
    )
    op.create_table(
        "dataset",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(), nullable=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("output", sa.String(), nullable=False),
        sa.Column("recipe", sa.String(), nullable=False),
        sa.Column("options", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=True),
        sa.Column("pairs", sa.Integer(), nullable=True),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.CheckConstraint("status IN ('building','complete')", name=op.f("ck_dataset_status")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_dataset_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dataset")),
    )
    with op.batch_alter_table("dataset", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_dataset_name"), ["name"], unique=False)

    op.create_table(
        "event",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("file", sa.String(), nullable=False),
        sa.Column("offset", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("body", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_event_run_id")),
        sa.PrimaryKeyConstraint("run_id", "file", "offset", name=op.f("pk_event")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "image",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("image_id", sa.String(), nullable=False),
        sa.Column("patient_id", sa.String(), nullable=True),
        sa.Column("study_id", sa.String(), nullable=True),
        sa.Column("split", sa.String(), nullable=True),
        sa.Column("view", sa.String(), nullable=True),
        sa.Column("root", sa.String(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=True),
        sa.Column("height", sa.Integer(), nullable=True),
        sa.Column("sex", sa.String(), nullable=True),
        sa.Column("age", sa.Integer(), nullable=True),
        sa.Column("labels", sa.String(), nullable=True),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_image_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_image")),
        sa.UniqueConstraint("source", "image_id", name=op.f("uq_image_source_image_id")),
    )
    op.create_table(
        "outcome",
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("step", sa.String(), nullable=False),
        sa.Column("item", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.CheckConstraint("status IN ('skipped','failed')", name=op.f("ck_outcome_status")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_outcome_run_id")),
        sa.PrimaryKeyConstraint("stage", "subject", "step", "item", name=op.f("pk_outcome")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "report",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("study_id", sa.String(), nullable=False),
        sa.Column("patient_id", sa.String(), nullable=True),
        sa.Column("split", sa.String(), nullable=True),
        sa.Column("language", sa.String(), nullable=False),
        sa.Column("findings", sa.String(), nullable=True),
        sa.Column("impression", sa.String(), nullable=True),
        sa.Column("last_paragraph", sa.String(), nullable=True),
        sa.Column("comparison", sa.String(), nullable=True),
        sa.Column("history", sa.String(), nullable=True),
        sa.Column("text", sa.String(), nullable=True),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_report_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_report")),
        sa.UniqueConstraint("source", "study_id", name=op.f("uq_report_source_study_id")),
    )
    op.create_table(
        "spool",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("file", sa.String(), nullable=False),
        sa.Column("offset", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_spool_run_id")),
        sa.PrimaryKeyConstraint("run_id", "file", name=op.f("pk_spool")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "step",
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("step", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_step_run_id")),
        sa.PrimaryKeyConstraint("subject", "step", name=op.f("pk_step")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "tally",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_tally_run_id")),
        sa.PrimaryKeyConstraint("run_id", "subject", "name", name=op.f("pk_tally")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "component",
        sa.Column("dataset_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("task", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("splits", sa.String(), nullable=False),
        sa.Column("repeat", sa.Integer(), nullable=False),
        sa.Column("record_limit", sa.Integer(), nullable=True),
        sa.Column("expected", sa.Integer(), nullable=True),
        sa.Column("found", sa.Integer(), nullable=False),
        sa.Column("unusable", sa.Integer(), nullable=False),
        sa.Column("leaked", sa.Integer(), nullable=False),
        sa.Column("removed", sa.Integer(), nullable=False),
        sa.Column("pairs", sa.Integer(), nullable=False),
        sa.Column("remark", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["dataset.id"], name=op.f("fk_component_dataset_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("dataset_id", "position", name=op.f("pk_component")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "conversation",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("split", sa.String(), nullable=True),
        sa.Column("turns", sa.String(), nullable=False),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("artifact_id", sa.Integer(), nullable=True),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.CheckConstraint("kind IN ('standard','grounded')", name=op.f("ck_conversation_kind")),
        sa.ForeignKeyConstraint(
            ["artifact_id"], ["artifact.id"], name=op.f("fk_conversation_artifact_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name=op.f("fk_conversation_image_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_conversation_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_conversation")),
        sa.UniqueConstraint("source", "image_id", "kind", name=op.f("uq_conversation_source_image_id_kind")),
    )
    op.create_table(
        "curated_text",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("study_id", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("artifact_id", sa.Integer(), nullable=True),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["artifact_id"], ["artifact.id"], name=op.f("fk_curated_text_artifact_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_curated_text_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_curated_text")),
        sa.UniqueConstraint("source", "study_id", name=op.f("uq_curated_text_source_study_id")),
    )
    op.create_table(
        "grounding",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("split", sa.String(), nullable=True),
        sa.Column("label", sa.String(), nullable=True),
        sa.Column("phrase", sa.String(), nullable=True),
        sa.Column("boxes", sa.String(), nullable=False),
        sa.Column("detail", sa.String(), nullable=True),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name=op.f("fk_grounding_image_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_grounding_run_id")),
        sa.PrimaryKeyConstraint("source", "image_id", "ordinal", name=op.f("pk_grounding")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "leak",
        sa.Column("dataset_id", sa.Integer(), nullable=False),
        sa.Column("component", sa.Integer(), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=False),
        sa.Column("level", sa.String(), nullable=False),
        sa.Column("shared", sa.String(), nullable=False),
        sa.Column("evaluation", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["dataset_id"], ["dataset.id"], name=op.f("fk_leak_dataset_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("dataset_id", "component", "image_id", name=op.f("pk_leak")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "pair",
        sa.Column("dataset_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("pair_id", sa.String(), nullable=False),
        sa.Column("component", sa.Integer(), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=False),
        sa.Column("report_id", sa.Integer(), nullable=True),
        sa.Column("curated_text_id", sa.Integer(), nullable=True),
        sa.Column("grounding", sa.Integer(), nullable=True),
        sa.Column("conversation_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["dataset_id"], ["dataset.id"], name=op.f("fk_pair_dataset_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("dataset_id", "position", name=op.f("pk_pair")),
        sqlite_with_rowid=False,
    )
    for name, select in VIEWS.items():
        op.execute(f"CREATE VIEW {name} AS {select}")
