"""Options of the commands that ask a language model, each written once."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

WHO, HOW, MONEY, CONSENT, BENCH = "Who writes", "Pace", "Money", "Consent", "Quarantine"


class Provider(StrEnum):
    """Who writes the texts."""

    azure = "azure"
    openai = "openai"
    endpoint = "endpoint"
    rules = "rules"


class Split(StrEnum):
    """Of the official release."""

    train = "train"
    validation = "validation"
    test = "test"
    all = "all"


class Failed(StrEnum):
    """Which items to show or retry."""

    failed = "failed"


def _option(*names: str, help: str, panel: str, **more: object) -> typer.models.OptionInfo:
    info: typer.models.OptionInfo = typer.Option(*names, help=help, rich_help_panel=panel, **more)  # type: ignore[arg-type]
    return info


Splits = Annotated[list[Split] | None, typer.Option("--split", help="May be repeated.", show_default="all")]
ProviderName = Annotated[
    Provider | None,
    _option("--provider", help="rules: deterministic, offline. Else told by the options below.", panel=WHO),
]
Model = Annotated[
    str | None, _option("--model", help="Model name (openai, or a --base-url that serves several).", panel=WHO)
]
AzureModel = Annotated[
    str | None,
    _option(
        "--azure-model", help="Deployment; AZURE_OPENAI_API_KEY, _ENDPOINT, AZURE_API_VERSION are read.", panel=WHO
    ),
]
BaseUrl = Annotated[
    str | None, _option("--base-url", help="Any OpenAI-compatible server: vLLM, SGLang, Ollama, llama.cpp.", panel=WHO)
]
Temperature = Annotated[float, _option("--temperature", help="Of the first attempt.", panel=WHO, min=0.0, max=2.0)]
MaxTokens = Annotated[
    int | None, _option("--max-tokens", help="Per answer.", panel=WHO, min=16, show_default="by stage")
]
ReasoningEffort = Annotated[
    str | None, _option("--reasoning-effort", help="For reasoning models: none, minimal, low, ...", panel=WHO)
]
Batch = Annotated[
    bool, _option("--batch", help="By the Batch API (OpenAI, Azure): half the price, within a day.", panel=HOW)
]
Poll = Annotated[float, _option("--poll", help="Seconds between looks at a batch.", panel=HOW, min=0.01)]
ForgetBatches = Annotated[
    bool, _option("--forget-batches", help="Give up open batches; what they hold is asked anew.", panel=HOW)
]
Concurrency = Annotated[int, _option("--concurrency", help="Calls in flight at most.", panel=HOW, min=1, max=20_000)]
RequestsPerMinute = Annotated[
    float | None,
    _option("--requests-per-minute", help="At most.", panel=HOW, min=0.1, show_default="the endpoint's headers"),
]
TokensPerMinute = Annotated[
    float | None,
    _option("--tokens-per-minute", help="At most.", panel=HOW, min=1, show_default="the endpoint's headers"),
]
Timeout = Annotated[float, _option("--timeout", help="Seconds per call.", panel=HOW, min=0.1)]
MaxCost = Annotated[
    float | None, _option("--max-cost", help="Dollars; stop cleanly before more is spent.", panel=MONEY, min=0)
]
PriceOption = Annotated[
    str | None,
    _option("--price", help="IN,CACHED,OUT dollars per million tokens.", panel=MONEY, show_default="the table"),
]
ZeroRetention = Annotated[
    bool,
    _option("--confirm-zero-retention", help="The provider stores and keeps nothing, by agreement.", panel=CONSENT),
]
BatchRetention = Annotated[
    bool,
    _option("--confirm-batch-retention", help="Batch files may rest at the provider, by agreement.", panel=CONSENT),
]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Take up at most so many items.")]
NoFiles = Annotated[bool, typer.Option("--no-files", help="Keep the texts in the store alone.")]
Show = Annotated[Failed | None, _option("--show", help="List what is quarantined, with text and reason.", panel=BENCH)]
Retry = Annotated[Failed | None, _option("--retry", help="Ask anew about quarantined items.", panel=BENCH)]
Accept = Annotated[
    list[str] | None, _option("--accept", help="Id of a quarantined item whose text is good.", panel=BENCH)
]
Edit = Annotated[
    str | None, _option("--edit", help="Id of an item to write yourself ($EDITOR, or --text).", panel=BENCH)
]
TextFile = Annotated[
    Path | None, _option("--text", help="File with the text (curate) or the JSON turns (converse).", panel=BENCH)
]
