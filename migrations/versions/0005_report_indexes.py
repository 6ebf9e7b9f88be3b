"""Indexes for `radvlm report`: its counts come from them, not from walking the tables."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


INDEXES = {
    "ix_image_report": ("image", ["source", "split", "status", "view", "sex", "age"]),
    "ix_grounding_kind": ("grounding", ["kind"]),
    "ix_llm_call_report": (
        "llm_call",
        [
            *("prompt_id", "status", "provider", "tier", "attempts", "input_tokens", "cached_tokens", "output_tokens"),
            *("reasoning_tokens", "cost", "latency_ms"),
        ],
    ),
    "ix_prediction_status": ("prediction", ["status", "evaluation_id"]),
    "ix_parsed_status": ("parsed", ["evaluation_id", "status"]),
}


def upgrade() -> None:
    for name, (table, columns) in INDEXES.items():
        op.create_index(name, table, columns)
    op.create_index("ix_image_absent", "image", ["status"], sqlite_where=sa.text("status IN ('missing','failed')"))
