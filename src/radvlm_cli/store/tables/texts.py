"""What language models are asked by curate and converse, and what they write."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, UniqueConstraint
from sqlmodel import Field, SQLModel

from radvlm_cli.store.tables.columns import WITHOUT_ROWID, column


class Prompt(SQLModel, table=True):
    """The part of a request to a language model that many calls share."""

    id: int | None = Field(default=None, primary_key=True)
    hash: bytes = column("SHA-256 of what decides the answer: model, parameters, schema, messages.")
    name: str = column("For people, e.g. `curate-dictated`.")
    model: str = column("Model or deployment, as the user named it.")
    parameters: str = column("JSON object: max_tokens, temperature, ...")
    answer_schema: str | None = column("JSON schema that the answer was asked to follow.", default=None)
    messages: bytes = column("JSON list of {role, content}, zlib.")
    run_id: int = column("The run that first used it.", foreign_key="run.id")
    __table_args__ = (UniqueConstraint("hash"),)


class Batch(SQLModel, table=True):
    """One job of a provider's Batch API, written before anything is sent."""

    id: int | None = Field(default=None, primary_key=True)
    intent: str = column("Our own id, sent as metadata, by which an unknown submission is found again.")
    stage: str = column("curate or converse.")
    host: str = column("The provider's host.")
    model: str = column("Model or deployment.")
    status: str = column("intended, uploaded, submitted, ended, collected, deleted or abandoned.")
    requests: int = column("Lines sent.")
    tokens: int = column("Input tokens, estimated.")
    input_file: str | None = column("The provider's id of the uploaded file.", default=None)
    remote_id: str | None = column("The provider's id of the batch.", default=None)
    remote_status: str | None = column("As the provider last reported it.", default=None)
    output_file: str | None = column("The provider's id of the file of answers.", default=None)
    error_file: str | None = column("The provider's id of the file of errors.", default=None)
    error: str | None = column("Codes, if the provider refused the batch.", default=None)
    created_at: str = column("When it was intended.")
    updated_at: str = column("When its status last changed.")
    run_id: int = column("The run that intended it.", foreign_key="run.id")
    __table_args__ = (
        UniqueConstraint("intent"),
        CheckConstraint(
            "status IN ('intended','uploaded','submitted','ended','collected','deleted','abandoned')", name="status"
        ),
    )


class BatchLine(SQLModel, table=True):
    """A call that was sent in a batch and has no answer yet."""

    __tablename__ = "batch_line"
    key: bytes = Field(primary_key=True, description="Key of the call; its `custom_id` is the key in hex.")
    batch_id: int = column("The batch.")
    prompt_id: int = column("The prompt.", foreign_key="prompt.id")
    asked: bytes = column("JSON list of the messages after the prompt's own, zlib.")
    __table_args__ = (
        ForeignKeyConstraint(["batch_id"], ["batch.id"], ondelete="CASCADE"),
        Index(None, "batch_id"),
    )


class LlmCall(SQLModel, table=True):
    """One call to a language model and how it ended: asked once, never paid again."""

    __tablename__ = "llm_call"
    id: int | None = Field(default=None, primary_key=True)
    key: bytes = column("SHA-256 of what decides the answer: the prompt's hash and the messages after it.")
    prompt_id: int = column("The prompt.", foreign_key="prompt.id")
    asked: bytes = column("JSON list of the messages after the prompt's own, zlib.")
    answer: bytes | None = column("The reply's text, zlib.", default=None)
    status: str = column(
        "ok, truncated (max_tokens), filtered (content filter), refused (by the model), rejected (400), "
        "or failed (no answer; asked again by the next run)."
    )
    provider: str = column("azure, openai or endpoint.")
    host: str = column("Host that was asked.")
    model: str | None = column("Model as the endpoint reported it.", default=None)
    fingerprint: str | None = column("system_fingerprint as reported.", default=None)
    request_id: str | None = column("The endpoint's id of the answer.", default=None)
    finish_reason: str | None = column("As reported.", default=None)
    http_status: int | None = column("HTTP status of the last attempt.", default=None)
    error: str | None = column("Code and kind of the error.", default=None)
    input_tokens: int | None = column("As the endpoint counted.", default=None)
    cached_tokens: int | None = column("Of the input, from the provider's prompt cache.", default=None)
    output_tokens: int | None = column("As the endpoint counted.", default=None)
    reasoning_tokens: int | None = column("Of the output.", default=None)
    cost: float | None = column(
        "US dollars by the price table, estimated where no usage was told; NULL where no price is known.", default=None
    )
    tier: str = column("standard or batch.")
    latency_ms: int | None = column("Of the attempt that was answered.", default=None)
    attempts: int = column("HTTP requests made.")
    batch_id: int | None = column("The batch that it was sent in.", default=None, foreign_key="batch.id")
    answered_at: str = column("When it ended.")
    run_id: int = column("The run that made it.", foreign_key="run.id")
    __table_args__ = (
        UniqueConstraint("key"),
        CheckConstraint("status IN ('ok','truncated','filtered','refused','rejected','failed')", name="status"),
        Index(None, "run_id"),
        Index(
            "ix_llm_call_report",
            *("prompt_id", "status", "provider", "tier", "attempts", "input_tokens", "cached_tokens", "output_tokens"),
            *("reasoning_tokens", "cost", "latency_ms"),
        ),
    )


class CuratedText(SQLModel, table=True):
    """A report text fit for training: nothing that refers to a study the model cannot see."""

    __tablename__ = "curated_text"
    id: int | None = Field(default=None, primary_key=True)
    source: str = column("Source of the report.")
    study_id: str = column("The dataset's own id.")
    text: str = column("The text.")
    origin: str = column("adopted (read from filtered_reports/), or who wrote it: azure, openai, endpoint or rules.")
    key: bytes | None = column("Hash of what decided the text: report, prompt, checks.", default=None)
    call_id: int | None = column("The call whose answer it is.", default=None, foreign_key="llm_call.id")
    reviewed: str | None = column("accepted or edited, if a person did so; then it is never replaced.", default=None)
    artifact_id: int | None = column(
        "The file it was adopted from or written to.", default=None, foreign_key="artifact.id", ondelete="SET NULL"
    )
    run_id: int = column("The run that last changed the row.", foreign_key="run.id")
    __table_args__ = (UniqueConstraint("source", "study_id"),)


class Conversation(SQLModel, table=True):
    """A multi-turn dialogue about one image."""

    id: int | None = Field(default=None, primary_key=True)
    source: str = column("Source of the dialogue: mimic (standard), mscxr or padchest-gr (grounded).")
    image_id: int = column("The image that it is about.", foreign_key="image.id", ondelete="CASCADE")
    kind: str = column("standard or grounded.")
    split: str | None = column("Split folder that it was written to.", default=None)
    turns: str = column("JSON list of [role, text]; roles human and gpt in turn, human first.")
    origin: str = column("adopted (read from conversations/), or who wrote it: azure, openai, endpoint or rules.")
    key: bytes | None = column("Hash of what decided the dialogue: context, prompt, checks.", default=None)
    call_id: int | None = column("The call whose answer it is.", default=None, foreign_key="llm_call.id")
    reviewed: str | None = column("accepted or edited, if a person did so; then it is never replaced.", default=None)
    artifact_id: int | None = column(
        "The file it was adopted from or written to.", default=None, foreign_key="artifact.id", ondelete="SET NULL"
    )
    run_id: int = column("The run that last changed the row.", foreign_key="run.id")
    __table_args__ = (
        UniqueConstraint("source", "image_id", "kind"),
        CheckConstraint("kind IN ('standard','grounded')", name="kind"),
    )


class Quarantine(SQLModel, table=True):
    """A generated text that did not pass the checks, kept for a person; why is in `outcome` under the same key."""

    stage: str = Field(primary_key=True, description="curate or converse.")
    subject: str = Field(primary_key=True, description="Source.")
    step: str = Field(primary_key=True, description="texts, standard or grounded.")
    item: str = Field(primary_key=True, description="The dataset's own id of the study or image.")
    key: bytes = column("Hash of what decided the text, as in curated_text and conversation.")
    candidate: str | None = column("The text, or the JSON of the turns; NULL where the answer held none.", default=None)
    words: str | None = column("The words at fault.", default=None)
    origin: str = column("The provider that wrote it.")
    call_id: int | None = column("The call whose answer it is.", default=None, foreign_key="llm_call.id")
    attempt: int = column("How often `--retry failed` asked anew.")
    run_id: int = column("The run that put it here.", foreign_key="run.id")
    __table_args__ = (WITHOUT_ROWID,)
