"""The jobs of `curate` and `converse`: choose who writes, ask consent, write, make files, count."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from radvlm_cli.errors import ConfigError, DataError, RadvlmError
from radvlm_cli.llm.consent import require_consent
from radvlm_cli.llm.endpoint import Endpoint, find_endpoint
from radvlm_cli.llm.pricing import Price, find_price
from radvlm_cli.sources import SOURCES
from radvlm_cli.sources.layout import Layout, locate
from radvlm_cli.stages.texts.adopt import adopt_if_changed
from radvlm_cli.stages.texts.asking import Options
from radvlm_cli.stages.texts.converse import PUBLISHED, Dialogues
from radvlm_cli.stages.texts.curate import Curation
from radvlm_cli.stages.texts.generate import Generated, Selection, Writer, write_by_rules
from radvlm_cli.stages.texts.generated_files import published_dialogues, published_texts, write_published
from radvlm_cli.stages.texts.tasks import Task
from radvlm_cli.store.components import image_owner
from radvlm_cli.store.engine import Store
from radvlm_cli.store.runs import Run

MAX_TOKENS = {"curate": 600, "converse": 1800, "judge": 1500}
"""Per answer. Azure charges a call's prompt and max_tokens against the quota when it is admitted."""


class Choice(NamedTuple):
    """Who is to write, as the user said it."""

    provider: str | None
    model: str | None
    azure_model: str | None
    base_url: str | None
    temperature: float
    max_tokens: int | None
    reasoning_effort: str | None
    zero_retention: bool
    batch_retention: bool
    batch: bool


class Job(NamedTuple):
    """A task and how it came out."""

    source: str
    split: str
    generated: Generated
    files: int


def choose_writer(stage: str, choice: Choice, sources: Sequence[str]) -> Writer:
    """Who writes; ConfigError if that is not said, or if credentialed text may not be sent there."""
    if choice.provider == "rules":
        return Writer(None, {})
    endpoint = find_endpoint(
        choice.provider,
        model=choice.model,
        azure_model=choice.azure_model,
        base_url=choice.base_url,
        environ=os.environ,
    )
    infos = [SOURCES[name]().info for name in sources]
    require_consent(
        titles=[info.title for info in infos if info.credentialed],
        endpoint=endpoint,
        batch=choice.batch,
        zero_retention=choice.zero_retention,
        batch_retention=choice.batch_retention,
    )
    if endpoint.model is None:
        endpoint.model = asyncio.run(_served_model(endpoint))
    parameters: dict[str, Any] = {
        "max_tokens": choice.max_tokens or MAX_TOKENS[stage],
        "temperature": choice.temperature,
    }
    if choice.reasoning_effort:
        parameters["reasoning_effort"] = choice.reasoning_effort
    return Writer(endpoint, parameters)


def price_of(writer: Writer, override: str | None, max_cost: float | None) -> Price | None:
    """The price of the writer's model; a budget needs one."""
    if writer.endpoint is None:
        return None
    price = find_price(writer.endpoint.model or "", override=override, local=writer.endpoint.local)
    if price is None and max_cost is not None:
        raise ConfigError(
            f"No price is known for {writer.endpoint.model}, so a budget cannot be kept.", "--price IN,CACHED,OUT"
        )
    return price


def make_tasks(
    stage: str, store: Store, sources: Sequence[str], splits: Sequence[str], limit: int | None
) -> list[Task]:
    """The tasks of a stage, one for each source; DataError if there is nothing to work on."""
    tasks: list[Task] = []
    for source in sources:
        if stage == "curate":
            tasks.append(Curation(store, source, splits))
        else:
            tasks += [Dialogues(store, source, part, limit or default) for part, default in _portions(source, splits)]
    if not any(task.count() for task in tasks):
        what, hint = (
            ("reports", f"radvlm prepare --source {sources[0]}")
            if stage == "curate"
            else ("images with a curated report or a grounding", f"radvlm curate --source {image_owner(sources[0])}")
        )
        raise DataError(f"The store has no {what} of {', '.join(sources)} in these splits.", hint)
    return tasks


def _portions(source: str, splits: Sequence[str]) -> list[tuple[tuple[str, ...], int | None]]:
    """Splits of which the published dataset has only some images are sampled one by one."""
    every = splits or ("train", "validation", "test")
    return [((split,), PUBLISHED.get((source, split))) for split in every]


def write_all(
    run: Run,
    tasks: Sequence[Task],
    writer: Writer,
    selection: Selection,
    options: Options,
    *,
    by_model: Callable[..., Generated] | None,
    data_dir: Path,
    derived_dir: Path,
    files: bool,
) -> list[Job]:
    """Run the tasks one after another; `by_model` is the way to ask (None: the rules)."""
    jobs = []
    for task in tasks:
        layout = locate(SOURCES[image_owner(task.source)]().info, data_dir, derived_dir)
        adopt_if_changed(run, layout)
        if by_model is None:
            generated = write_by_rules(run, task, selection)
        else:
            generated = by_model(run, task, writer, selection, options)
        counts = generated.counts()
        run.failed_items += counts["quarantined"] + counts["unanswered"]
        jobs.append(Job(task.source, task.split, generated, _write_files(run, layout, task) if files else 0))
    return jobs


def _write_files(run: Run, layout: Layout, task: Task) -> int:
    published = published_texts(layout.info.name) if task.stage == "curate" else published_dialogues(task.source)
    return write_published(run, layout, published)


async def _served_model(endpoint: Endpoint) -> str:
    """The one model that a server offers; ConfigError if it offers several, or does not answer."""
    import aiohttp

    try:
        timeout = aiohttp.ClientTimeout(total=30)
        async with (
            aiohttp.ClientSession(headers=endpoint.headers, timeout=timeout, trust_env=not endpoint.local) as session,
            session.get(f"{endpoint.base_url}/models", allow_redirects=False) as response,
        ):
            document = await response.json(content_type=None)
        names = [str(model["id"]) for model in document["data"]]
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError, KeyError, TypeError) as error:
        raise RadvlmError(
            f"{endpoint.host} does not say which models it serves ({type(error).__name__}).",
            "Check that the server runs and --base-url is right, or say --model NAME",
        ) from error
    if len(names) != 1:
        raise ConfigError(f"{endpoint.host} serves {len(names)} models.", f"--model {names[0] if names else 'NAME'}")
    return names[0]
