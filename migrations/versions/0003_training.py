"""Training runs, their checkpoints, and views of their steps, losses and dropped pairs."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


VIEWS = {
    "training_step": "SELECT event.run_id, json_extract(event.body, '$.step') AS step, json_extract(event.body, '$.consumed_samples') AS consumed_samples, json_extract(event.body, '$.loss') AS loss, json_extract(event.body, '$.learning_rates.language') AS learning_rate, json_extract(event.body, '$.learning_rates.vision') AS vision_learning_rate, json_extract(event.body, '$.gradient_norm') AS gradient_norm, json_extract(event.body, '$.tokens') AS tokens, json_extract(event.body, '$.samples') AS samples, json_extract(event.body, '$.step_s') AS step_s, json_extract(event.body, '$.tokens_per_s') AS tokens_per_s, json_extract(event.body, '$.samples_per_s') AS samples_per_s, json_extract(event.body, '$.mfu') AS mfu, json_extract(event.body, '$.memory_gib') AS memory_gib, json_extract(event.body, '$.data_wait_s') AS data_wait_s, json_extract(event.body, '$.at') AS at FROM event WHERE event.kind = 'step' AND NOT EXISTS (SELECT 1 FROM event AS later INDEXED BY ix_event_run_id_kind_file_offset WHERE later.run_id = event.run_id AND later.kind = 'started' AND later.file = event.file AND later.offset > event.offset AND coalesce(json_extract(later.body, '$.resumed_from'), 0) < json_extract(event.body, '$.step'))",
    "training_evaluation": "SELECT event.run_id, json_extract(event.body, '$.step') AS step, json_each.key AS task, json_extract(json_each.value, '$.loss') AS loss, json_extract(json_each.value, '$.samples') AS samples, json_extract(json_each.value, '$.tokens') AS tokens, json_extract(event.body, '$.at') AS at FROM event, json_each(event.body, '$.losses') WHERE event.kind = 'evaluation' AND NOT EXISTS (SELECT 1 FROM event AS later INDEXED BY ix_event_run_id_kind_file_offset WHERE later.run_id = event.run_id AND later.kind = 'started' AND later.file = event.file AND later.offset > event.offset AND coalesce(json_extract(later.body, '$.resumed_from'), 0) < json_extract(event.body, '$.step'))",
    "dropped_pair": "SELECT event.run_id, json_extract(event.body, '$.pair_id') AS pair_id, json_extract(event.body, '$.reason') AS reason FROM event WHERE event.kind = 'dropped' GROUP BY 1, 2",
}


def upgrade() -> None:
    op.create_table(
        "training",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("folder", sa.String(), nullable=False),
        sa.Column("recipe", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("dataset_id", sa.Integer(), nullable=True),
        sa.Column("data_sha256", sa.String(), nullable=False),
        sa.Column("pairs", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["dataset.id"], name=op.f("fk_training_dataset_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_training_run_id")),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_training")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "checkpoint",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("consumed_samples", sa.Integer(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("saved_at", sa.String(), nullable=False),
        sa.CheckConstraint("status IN ('complete','removed')", name=op.f("ck_checkpoint_status")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_checkpoint_run_id")),
        sa.PrimaryKeyConstraint("run_id", "step", name=op.f("pk_checkpoint")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_event_run_id_kind_file_offset", "event", ["run_id", "kind", "file", "offset"])
    for name, select in VIEWS.items():
        op.execute(f"CREATE VIEW {name} AS {select}")
