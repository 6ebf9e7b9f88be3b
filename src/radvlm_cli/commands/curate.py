"""radvlm curate: report texts without references to other studies."""

from __future__ import annotations

from typing import Annotated

import typer

from radvlm_cli.commands import llm_options as llm
from radvlm_cli.commands import options
from radvlm_cli.commands.writing import Wishes, carry_out, check_sources
from radvlm_cli.config import load_settings

SOURCE_NAMES = ("mimic", "chexpert-plus", "openi")


def curate(
    source: Annotated[list[str], typer.Option("--source", help=f"{', '.join(SOURCE_NAMES)}, or all; may be repeated.")],
    split: llm.Splits = None,
    provider: llm.ProviderName = None,
    model: llm.Model = None,
    azure_model: llm.AzureModel = None,
    base_url: llm.BaseUrl = None,
    temperature: llm.Temperature = 0.0,
    max_tokens: llm.MaxTokens = None,
    reasoning_effort: llm.ReasoningEffort = None,
    batch: llm.Batch = False,
    poll: llm.Poll = 60.0,
    concurrency: llm.Concurrency = 512,
    requests_per_minute: llm.RequestsPerMinute = None,
    tokens_per_minute: llm.TokensPerMinute = None,
    timeout: llm.Timeout = 300.0,
    max_cost: llm.MaxCost = None,
    price: llm.PriceOption = None,
    confirm_zero_retention: llm.ZeroRetention = False,
    confirm_batch_retention: llm.BatchRetention = False,
    limit: llm.Limit = None,
    no_files: llm.NoFiles = False,
    show: llm.Show = None,
    retry: llm.Retry = None,
    accept: llm.Accept = None,
    edit: llm.Edit = None,
    text: llm.TextFile = None,
    data_dir: options.DataDir = None,
    derived_dir: options.DerivedDir = None,
    store: options.StorePath = None,
    resume: options.Resume = False,
    dry_run: options.DryRun = False,
    as_json: options.Json = False,
    allow_network_store: options.AllowNetworkStore = False,
) -> None:
    """Take references to other studies out of the reports, by a language model or by rules; check every text.

    No call is ever made twice: run it again after anything, and only what is missing is asked. Texts that do not pass
    the checks are repaired once, then quarantined.

    Examples:

      radvlm curate --source mimic --split train --azure-model DEPLOYMENT --confirm-zero-retention --max-cost 500

      radvlm curate --source all --base-url http://localhost:8000/v1 --resume
    """
    wishes = Wishes(
        source=check_sources("curate", source, SOURCE_NAMES),
        split=[] if not split or llm.Split.all in split else [name.value for name in split],
        choice={
            "provider": provider.value if provider else None,
            "model": model,
            "azure_model": azure_model,
            "base_url": base_url,
            "temperature": temperature,
            "max_tokens": max_tokens,
            "reasoning_effort": reasoning_effort,
            "zero_retention": confirm_zero_retention,
            "batch_retention": confirm_batch_retention,
            "batch": batch,
        },
        pace={
            "concurrency": concurrency,
            "requests_per_minute": requests_per_minute,
            "tokens_per_minute": tokens_per_minute,
            "timeout_s": timeout,
        },
        price=price,
        max_cost=max_cost,
        poll=poll,
        limit=limit,
        no_files=no_files,
        show=show is not None,
        retry=retry is not None,
        accept=accept or [],
        edit=edit,
        text=text,
        resume=resume,
        dry_run=dry_run,
        as_json=as_json,
        allow_network_store=allow_network_store,
    )
    carry_out("curate", wishes, load_settings(data_dir=data_dir, derived_dir=derived_dir, store=store))
