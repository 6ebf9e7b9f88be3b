"""What `radvlm curate` and `radvlm converse` do alike: from their options to a job, and its result on the screen."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from radvlm_cli.commands import llm_options as llm
from radvlm_cli.commands import options
from radvlm_cli.commands.output import print_json, print_table, say
from radvlm_cli.commands.running import stage_run
from radvlm_cli.config import Settings, existing_settings, zero_retention_confirmed
from radvlm_cli.errors import ConfigError

if TYPE_CHECKING:
    from radvlm_cli.stages.texts.generate import Selection, Writer
    from radvlm_cli.stages.texts.writing import Choice, Job


class Wishes(NamedTuple):
    """The options of both commands, as given."""

    source: list[str]
    split: list[str]
    choice: dict[str, Any]
    pace: dict[str, Any]
    price: str | None
    max_cost: float | None
    poll: float
    forget_batches: bool
    limit: int | None
    no_files: bool
    show: bool
    retry: bool
    accept: list[str]
    edit: str | None
    text: Path | None
    resume: bool
    dry_run: bool
    as_json: bool
    allow_network_store: bool


def writing_command(stage: str, names: tuple[str, ...], help: str) -> Callable[..., None]:
    """The command of a stage that writes texts; both have the same options but for their sources and their help."""

    def command(
        source: list[str],
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
        forget_batches: llm.ForgetBatches = False,
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
        wishes = Wishes(
            source=_check_sources(stage, source, names),
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
            forget_batches=forget_batches,
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
        _carry_out(stage, wishes, existing_settings(data_dir=data_dir, derived_dir=derived_dir, store=store))

    told = f"{', '.join(names)}, or all; may be repeated."
    command.__annotations__["source"] = Annotated[list[str], typer.Option("--source", help=told)]
    command.__doc__ = help
    return command


def _check_sources(stage: str, wanted: list[str], known: tuple[str, ...]) -> list[str]:
    """The sources, `all` spelled out; ConfigError for one that the stage does not know."""
    for name in wanted:
        if name not in (*known, "all"):
            raise ConfigError(
                f"{stage} has no source {name!r}; it has {', '.join(known)}, and all.", f"--source {known[0]}"
            )
    return [name for name in known if name in wanted or "all" in wanted]


def _carry_out(stage: str, wishes: Wishes, settings: Settings) -> None:
    """Show, review, estimate or write, as wished."""
    if wishes.show:
        _show(stage, wishes, settings)
    elif wishes.accept or wishes.edit:
        _review(stage, wishes, settings)
    else:
        _write(stage, wishes, settings)


def _show(stage: str, wishes: Wishes, settings: Settings) -> None:
    from radvlm_cli.stages.texts.quarantine import list_quarantined
    from radvlm_cli.store.engine import open_store

    with open_store(settings.store, create=False, allow_network=wishes.allow_network_store) as store:
        rows = list_quarantined(store, stage, wishes.source)
    if wishes.as_json:
        print_json(rows)
        return
    for row in rows:
        print(f"{row['source']} {row['item']} ({row['step']}, by {row['origin']}): {row['words'] or row['reason']}")
        print(f"    {row['candidate'] or '(no text)'}\n")
    say(
        f"{len(rows):,} quarantined."
        + (f" radvlm {stage} --source ... --accept ID, --edit ID, or --retry failed" if rows else "")
    )


def _review(stage: str, wishes: Wishes, settings: Settings) -> None:
    from radvlm_cli.stages.texts.quarantine import accept, candidate_of, edit

    arguments = {"source": wishes.source, "accept": wishes.accept, "edit": wishes.edit}
    with stage_run(stage, arguments, settings, resume=False, allow_network=wishes.allow_network_store) as run:
        for item in wishes.accept:
            accept(run, stage, wishes.source, item)
            say(f"{item}: accepted.")
        if wishes.edit:
            before = candidate_of(run.store, stage, wishes.source, wishes.edit)
            text = _read(wishes.text) if wishes.text else _edited(before)
            edit(run, stage, wishes.source, wishes.edit, text)
            say(f"{wishes.edit}: edited.")


def _edited(before: str) -> str:
    """The text as the user leaves it in $EDITOR."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    with TemporaryDirectory() as folder:  # 0700: nobody else reads along
        path = Path(folder) / "text.txt"
        path.write_text(before, encoding="utf-8")
        if subprocess.run([*shlex.split(editor), str(path)], check=False).returncode != 0:
            raise ConfigError(f"{editor} did not end well; nothing is changed.", "--text FILE takes it from a file")
        return _read(path)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {type(error).__name__}.", "--text FILE") from error


def _write(stage: str, wishes: Wishes, settings: Settings) -> None:
    from radvlm_cli.stages.texts.asking import Options
    from radvlm_cli.stages.texts.generate import Selection
    from radvlm_cli.stages.texts.writing import Choice, choose_writer, price_of

    zero_retention = zero_retention_confirmed(bool(wishes.choice["zero_retention"]))
    choice = Choice(**{**wishes.choice, "zero_retention": zero_retention})
    writer = choose_writer(stage, choice, wishes.source)
    selection = Selection(wishes.retry, wishes.limit if stage == "curate" else None)
    price = price_of(writer, wishes.price, wishes.max_cost)
    if wishes.dry_run:
        _estimate(stage, wishes, settings, writer, selection, price)
        return
    options = Options(**wishes.pace, max_cost=wishes.max_cost, price=price)
    arguments = _arguments(wishes, writer, choice)
    with stage_run(stage, arguments, settings, resume=wishes.resume, allow_network=wishes.allow_network_store) as run:
        jobs = _run(stage, run, wishes, settings, writer, selection, options, choice.batch)
        failed = run.failed_items
    _print(stage, jobs, wishes, settings)
    if failed:
        raise typer.Exit(4)


def _run(
    stage: str,
    run: Any,
    wishes: Wishes,
    settings: Settings,
    writer: Writer,
    selection: Selection,
    options: Any,
    batch: bool,
) -> list[Job]:
    from radvlm_cli.stages.texts.batches import BatchWay
    from radvlm_cli.stages.texts.online import write_by_model
    from radvlm_cli.stages.texts.open_batches import forget_batches
    from radvlm_cli.stages.texts.writing import make_tasks, write_all

    if wishes.forget_batches:
        forget_batches(run, stage)
    way: Any = None
    if writer.endpoint is not None:
        way = BatchWay(wishes.poll) if batch else write_by_model
    return write_all(
        run,
        make_tasks(stage, run.store, wishes.source, wishes.split, wishes.limit),
        writer,
        selection,
        options,
        by_model=way,
        data_dir=settings.data(),
        derived_dir=settings.derived(),
        files=not wishes.no_files,
    )


def _arguments(wishes: Wishes, writer: Writer, choice: Choice) -> dict[str, Any]:
    """What decides a run: pace and budget do not, and a run may go on with others."""
    endpoint = writer.endpoint
    return {
        "source": wishes.source,
        "split": wishes.split,
        "writer": writer.origin,
        "model": endpoint.model if endpoint else None,
        "host": endpoint.host if endpoint else None,
        "parameters": writer.parameters,
        "confirmed_zero_retention": choice.zero_retention,
        "confirmed_batch_retention": choice.batch_retention,
        "batch": choice.batch,
        "limit": wishes.limit,
        "retry": wishes.retry,
        "files": not wishes.no_files,
    }


def _estimate(stage: str, wishes: Wishes, settings: Settings, writer: Writer, selection: Selection, price: Any) -> None:
    from radvlm_cli.llm.pricing import table_date
    from radvlm_cli.stages.texts.estimate import estimate, rows
    from radvlm_cli.stages.texts.writing import make_tasks
    from radvlm_cli.store.engine import open_store

    with open_store(settings.store, create=False, allow_network=wishes.allow_network_store) as store:
        tasks = make_tasks(stage, store, wishes.source, wishes.split, wishes.limit)
        if writer.endpoint is None:
            say("--provider rules makes no calls and costs nothing.")
            found = [{"source": task.source, "split": task.split, "items": task.count(), "calls": 0} for task in tasks]
        else:
            found = rows([estimate(store, task, writer, selection, price) for task in tasks])
    if wishes.as_json:
        print_json(found)
        return
    print_table(found, title=f"radvlm {stage} would ask:")
    if writer.endpoint is not None and price is None:
        say(f"No price is known for {writer.endpoint.model}: --price IN,CACHED,OUT")
    elif writer.endpoint is not None and not writer.endpoint.local:
        say(f"Prices of {table_date()}, without prompt-cache discounts; repairs are counted once there is experience.")


def _print(stage: str, jobs: list[Job], wishes: Wishes, settings: Settings) -> None:
    rows = [_row(job) for job in jobs]
    meters = [job.generated.meter for job in jobs if job.generated.meter is not None]
    spent = sum(meter.spent for meter in meters[-1:])  # each meter begins with what the run had spent before
    if wishes.as_json:
        print_json({"jobs": rows, "dollars": spent if meters else 0.0})
    else:
        print_table(rows, title=f"radvlm {stage}", spare=("throttled", "retries", "calls known"))
        if meters and meters[-1].price is not None:
            left = (
                "" if wishes.max_cost is None else f" of ${wishes.max_cost:,.2f}, ${wishes.max_cost - spent:,.2f} left"
            )
            say(f"Spent ${spent:,.2f}{left}.")
    if any(job.generated.items["quarantined"] for job in jobs):
        sources = " ".join(f"--source {name}" for name in wishes.source)
        place = f"--store {shlex.quote(str(settings.store))}"
        say(f"Some texts did not pass the checks; look at them: radvlm {stage} {sources} {place} --show failed")


def _row(job: Job) -> dict[str, Any]:
    counts = {name: value or None for name, value in job.generated.counts().items()}
    return {"source": job.source, "split": job.split, **counts, "files": job.files or None}
