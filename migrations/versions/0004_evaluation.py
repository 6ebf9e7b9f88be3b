"""Evaluation: frozen test sets, answers of models, what was read from them, scores and judgements."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


VIEWS = {
    "evaluation_result": "SELECT evaluation.id AS evaluation_id, evaluation.model, test_set.name AS test_set, test_set.task, test_set.source, evaluation.status, score.metric, score.part, score.value, score.low, score.high, score.n, score.clusters, score.coverage, score.remark, test_set.expected FROM score JOIN evaluation ON evaluation.id = score.evaluation_id JOIN test_set ON test_set.id = evaluation.test_set_id",
    "prediction_view": "SELECT evaluation.id AS evaluation_id, evaluation.model, test_set.name AS test_set, test_set.task, test_sample.position, test_sample.sample_id, test_sample.patient_id, test_sample.study_id, test_sample.sex, test_sample.age, test_sample.view, test_sample.path, test_sample.subject, test_sample.reference, prediction.prompt, prediction.status, prediction.text, prediction.error, prediction.tokens_in, prediction.tokens_out, prediction.latency_ms, prediction.worker, prediction.attempt, prediction.at, parsed.parser, parsed.status AS parsed_status, parsed.content FROM prediction JOIN evaluation ON evaluation.id = prediction.evaluation_id JOIN test_set ON test_set.id = evaluation.test_set_id JOIN test_sample ON test_sample.test_set_id = test_set.id AND test_sample.position = prediction.position LEFT JOIN parsed ON parsed.evaluation_id = prediction.evaluation_id AND parsed.position = prediction.position",
}


def upgrade() -> None:
    op.create_table(
        "answering",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("folder", sa.String(), nullable=False),
        sa.Column("evaluations", sa.String(), nullable=False),
        sa.Column("job_id", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_answering_run_id")),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_answering")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "test_set",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("task", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("dataset_id", sa.Integer(), nullable=True),
        sa.Column("options", sa.String(), nullable=False),
        sa.Column("samples", sa.Integer(), nullable=False),
        sa.Column("patients", sa.Integer(), nullable=False),
        sa.Column("expected", sa.Integer(), nullable=True),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "task IN ('report','classification','region','abnormality','phrase','detection','conversation')",
            name=op.f("ck_test_set_task"),
        ),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["dataset.id"], name=op.f("fk_test_set_dataset_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_test_set_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_test_set")),
        sa.UniqueConstraint("key", name=op.f("uq_test_set_key")),
    )
    op.create_index(op.f("ix_test_set_name"), "test_set", ["name"], unique=False)
    op.create_table(
        "evaluation",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("test_set_id", sa.Integer(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("weights", sa.String(), nullable=True),
        sa.Column("identity", sa.String(), nullable=False),
        sa.Column("adapter", sa.String(), nullable=True),
        sa.Column("folder", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.String(), nullable=False),
        sa.CheckConstraint("status IN ('building','complete')", name=op.f("ck_evaluation_status")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_evaluation_run_id")),
        sa.ForeignKeyConstraint(["test_set_id"], ["test_set.id"], name=op.f("fk_evaluation_test_set_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evaluation")),
        sa.UniqueConstraint("key", name=op.f("uq_evaluation_key")),
    )
    op.create_index(op.f("ix_evaluation_test_set_id"), "evaluation", ["test_set_id"], unique=False)
    op.create_table(
        "test_sample",
        sa.Column("test_set_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("sample_id", sa.String(), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=True),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("patient_id", sa.String(), nullable=True),
        sa.Column("study_id", sa.String(), nullable=True),
        sa.Column("sex", sa.String(), nullable=True),
        sa.Column("age", sa.Integer(), nullable=True),
        sa.Column("view", sa.String(), nullable=True),
        sa.Column("width", sa.Integer(), nullable=True),
        sa.Column("height", sa.Integer(), nullable=True),
        sa.Column("subject", sa.String(), nullable=True),
        sa.Column("indication", sa.String(), nullable=True),
        sa.Column("turns", sa.String(), nullable=False),
        sa.Column("reference", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["test_set_id"], ["test_set.id"], name=op.f("fk_test_sample_test_set_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("test_set_id", "position", name=op.f("pk_test_sample")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "judgement",
        sa.Column("evaluation_id", sa.Integer(), nullable=False),
        sa.Column("judge", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("call_id", sa.Integer(), nullable=True),
        sa.Column("numbers", sa.String(), nullable=False),
        sa.CheckConstraint(
            "status IN ('ok','empty','unparsable','truncated','error','refused')", name=op.f("ck_judgement_status")
        ),
        sa.ForeignKeyConstraint(["call_id"], ["llm_call.id"], name=op.f("fk_judgement_call_id")),
        sa.ForeignKeyConstraint(
            ["evaluation_id"], ["evaluation.id"], name=op.f("fk_judgement_evaluation_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("evaluation_id", "judge", "position", name=op.f("pk_judgement")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "parsed",
        sa.Column("evaluation_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("parser", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("content", sa.String(), nullable=False),
        sa.CheckConstraint(
            "status IN ('ok','empty','unparsable','truncated','error','refused')", name=op.f("ck_parsed_status")
        ),
        sa.ForeignKeyConstraint(
            ["evaluation_id"], ["evaluation.id"], name=op.f("fk_parsed_evaluation_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("evaluation_id", "position", "parser", name=op.f("pk_parsed")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "prediction",
        sa.Column("evaluation_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("prompt", sa.String(), nullable=False),
        sa.Column("seen_width", sa.Integer(), nullable=True),
        sa.Column("seen_height", sa.Integer(), nullable=True),
        sa.Column("tokens_in", sa.Integer(), nullable=True),
        sa.Column("tokens_out", sa.Integer(), nullable=True),
        sa.Column("latency_ms", sa.Integer(), nullable=True),
        sa.Column("worker", sa.String(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.CheckConstraint(
            "status IN ('ok','empty','unparsable','truncated','error','refused')", name=op.f("ck_prediction_status")
        ),
        sa.ForeignKeyConstraint(
            ["evaluation_id"], ["evaluation.id"], name=op.f("fk_prediction_evaluation_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_prediction_run_id")),
        sa.PrimaryKeyConstraint("evaluation_id", "position", name=op.f("pk_prediction")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "sample_score",
        sa.Column("evaluation_id", sa.Integer(), nullable=False),
        sa.Column("family", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("numbers", sa.String(), nullable=False),
        sa.CheckConstraint(
            "status IN ('ok','empty','unparsable','truncated','error','refused')", name=op.f("ck_sample_score_status")
        ),
        sa.ForeignKeyConstraint(
            ["evaluation_id"], ["evaluation.id"], name=op.f("fk_sample_score_evaluation_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("evaluation_id", "family", "position", name=op.f("pk_sample_score")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "score",
        sa.Column("evaluation_id", sa.Integer(), nullable=False),
        sa.Column("metric", sa.String(), nullable=False),
        sa.Column("part", sa.String(), nullable=False),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("low", sa.Float(), nullable=True),
        sa.Column("high", sa.Float(), nullable=True),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("clusters", sa.Integer(), nullable=False),
        sa.Column("coverage", sa.Float(), nullable=True),
        sa.Column("family", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("remark", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["evaluation_id"], ["evaluation.id"], name=op.f("fk_score_evaluation_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("evaluation_id", "metric", "part", name=op.f("pk_score")),
        sqlite_with_rowid=False,
    )
    for name, select in VIEWS.items():
        op.execute(f"CREATE VIEW {name} AS {select}")
