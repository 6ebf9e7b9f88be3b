"""radvlm build: the instruction dataset from the store."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from radvlm_cli.commands import options
from radvlm_cli.commands.output import print_json, print_table, say
from radvlm_cli.commands.running import stage_run
from radvlm_cli.config import existing_settings

if TYPE_CHECKING:
    from radvlm_cli.stages.datasets.build import Built


class Protocol(StrEnum):
    """How records are chosen."""

    radvlm = "radvlm"
    paper = "paper"


class Uncertain(StrEnum):
    """What an uncertain finding counts as."""

    positive = "positive"
    negative = "negative"
    ignore = "ignore"


class Leakage(StrEnum):
    """What to do with records that are also in an evaluation set."""

    remove = "remove"
    refuse = "refuse"
    report = "report"


class Format(StrEnum):
    """File formats; Parquet is always written."""

    llava = "llava"
    messages = "messages"


def build(
    output: Annotated[Path, typer.Option("--output", help="Folder for the dataset's files.")],
    recipe: Annotated[
        str, typer.Option("--recipe", help="radvlm (training), evaluation (test sets), or a YAML file.")
    ] = "radvlm",
    data_dir: options.DataDir = None,
    derived_dir: options.DerivedDir = None,
    store: options.StorePath = None,
    seed: Annotated[int | None, typer.Option(help="Instead of the recipe's.")] = None,
    format: Annotated[
        list[Format] | None, typer.Option("--format", help="May be repeated.", show_default="llava")
    ] = None,
    image_root: Annotated[
        Path | None,
        typer.Option("--image-root", help="Write image paths relative to this folder.", show_default="absolute paths"),
    ] = None,
    uncertain: Annotated[
        Uncertain, typer.Option(help="An uncertain finding counts as this; ignore leaves the image out.")
    ] = Uncertain.positive,
    leakage: Annotated[
        Leakage, typer.Option(help="Records sharing a patient, study or image with an evaluation set.")
    ] = Leakage.remove,
    evaluation: Annotated[
        str, typer.Option("--evaluation", help="Recipe of the evaluation sets to check against.")
    ] = "evaluation",
    protocol: Annotated[
        Protocol, typer.Option(help="paper: choose as the published code does, leaks into the test sets included.")
    ] = Protocol.radvlm,
    resume: options.Resume = False,
    dry_run: options.DryRun = False,
    as_json: options.Json = False,
    allow_network_store: options.AllowNetworkStore = False,
) -> None:
    """Build the instruction dataset: LLaVA JSON, Parquet, a dataset card, rows in the store.

    The same store, recipe and options give the same bytes.

    Examples:

      radvlm build --output datasets/train

      radvlm build --recipe evaluation --output datasets/test --format messages
    """
    settings = existing_settings(data_dir=data_dir, derived_dir=derived_dir, store=store)

    from radvlm_cli.recipes import load_recipe
    from radvlm_cli.stages.datasets.build import BuildOptions, count_records
    from radvlm_cli.stages.datasets.build import build as stage

    wanted = load_recipe(recipe)
    held_out = load_recipe(evaluation)
    chosen = BuildOptions(
        seed=wanted.seed if seed is None else seed,
        protocol=protocol.value,
        uncertain=uncertain.value,
        leakage=leakage.value,
        formats=tuple(dict.fromkeys(f.value for f in format or [Format.llava])),
        image_root=None if image_root is None else str(image_root.absolute()),
    )
    if protocol is Protocol.paper:
        say(
            "Protocol paper: Chest ImaGenome's test images are taken from MIMIC-CXR's training split, and leaks are "
            "reported, not removed. Scores on such test sets are not comparable with clean ones."
        )
    if dry_run:
        rows = count_records(settings.store, wanted, chosen)
        title = f"radvlm build --recipe {recipe} would use, before the leakage check:"
        print_json(rows) if as_json else print_table(rows, title=title)
        return
    arguments = {"recipe": recipe, "evaluation": evaluation, "output": str(output.absolute()), **chosen._asdict()}
    with stage_run("build", arguments, settings, resume=resume, allow_network=allow_network_store) as run:
        built = stage(
            run,
            recipe=wanted,
            evaluation=None if wanted.name == held_out.name else held_out,
            output=output.absolute(),
            data_dir=settings.data(),
            derived_dir=settings.derived(),
            options=chosen,
        )
    _print(built, as_json)


def _print(built: Built, as_json: bool) -> None:
    rows = [line.row() for line in built.lines]
    if as_json:
        files = {name: str(path) for name, path in built.files.items()}
        print_json(
            {"name": built.name, "pairs": built.pairs, "sha256": built.sha256, "files": files, "components": rows}
        )
        return
    title = f"Dataset {built.name}: {built.pairs:,} pairs"
    print_table(rows, title=title, notes="remark", spare=("task", "source", "repeat"))
    leaked = sum(line.leaked for line in built.lines)
    if leaked:
        removed = sum(line.removed for line in built.lines)
        what = "share a patient, study or image with an evaluation set"
        say(f"Leakage check: {leaked:,} records {what}; {removed:,} removed.")
    for path in built.files.values():
        print(path)
