"""radvlm export: predictions, datasets and generated texts in the forms that other programs read."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from radvlm_cli.commands import options
from radvlm_cli.commands.output import print_json, print_table, say
from radvlm_cli.commands.running import all_or_nothing, stage_run
from radvlm_cli.config import existing_settings

if TYPE_CHECKING:
    from radvlm_cli.stages.exports.export import Written

app = typer.Typer(help="Predictions, datasets and texts in the forms that other programs read.", no_args_is_help=True)


class PredictionFormat(StrEnum):
    """Forms of predictions."""

    jsonl = "jsonl"
    parquet = "parquet"
    rexrank = "rexrank"
    coco = "coco"


class DatasetFormat(StrEnum):
    """Forms of datasets."""

    llava = "llava"
    messages = "messages"
    parquet = "parquet"


Output = Annotated[Path, typer.Option("--output", "-o", help="File to write.", show_default=False)]
Force = Annotated[bool, typer.Option("--force", help="Write over what is there.")]


@app.command()
def predictions(
    evaluation: Annotated[int, typer.Argument(help="Its number, from radvlm eval --list.", show_default=False)],
    output: Output,
    format: Annotated[
        PredictionFormat, typer.Option(help="rexrank: of reports; coco: of boxes; the others of every task.")
    ] = PredictionFormat.jsonl,
    force: Force = False,
    data_dir: options.DataDir = None,
    store: options.StorePath = None,
    as_json: options.Json = False,
    allow_network_store: options.AllowNetworkStore = False,
) -> None:
    """What a model said to a test set, beside what is right.

    coco also writes NAME.annotations.json beside NAME.json. See docs/export.md.

    Examples:

      radvlm export predictions 3 --output reports.jsonl

      radvlm export predictions 5 --format coco --output boxes.json
    """
    settings = existing_settings(data_dir=data_dir, store=store)

    from radvlm_cli.stages.exports.export import export_predictions_of

    place = output.absolute()
    arguments = {"what": "predictions", "evaluation": evaluation, "format": format.value, "output": str(place)}
    with (
        all_or_nothing(),
        stage_run("export", arguments, settings, resume=False, allow_network=allow_network_store) as run,
    ):
        done = export_predictions_of(run, evaluation, format.value, place, force=force)
    _print(done, as_json)


@app.command()
def dataset(
    dataset: Annotated[str, typer.Argument(help="Folder of a built dataset, or its name.", show_default=False)],
    output: Output,
    format: Annotated[DatasetFormat, typer.Option(help="As for build.")] = DatasetFormat.messages,
    component: Annotated[
        list[str] | None, typer.Option("--component", help="Only this component; may be repeated.", show_default=False)
    ] = None,
    force: Force = False,
    data_dir: options.DataDir = None,
    store: options.StorePath = None,
    as_json: options.Json = False,
    allow_network_store: options.AllowNetworkStore = False,
) -> None:
    """A built dataset in another form, without building it again.

    Examples:

      radvlm export dataset datasets/train --format messages --output train.messages.jsonl

      radvlm export dataset datasets/train --format llava --component mimic-report --output reports.json
    """
    settings = existing_settings(data_dir=data_dir, store=store)

    from radvlm_cli.stages.exports.export import export_dataset

    place, chosen = output.absolute(), component or []
    arguments = {"what": "dataset", "dataset": dataset, "format": format.value, "output": str(place)}
    arguments |= {"component": ",".join(chosen)}
    with (
        all_or_nothing(),
        stage_run("export", arguments, settings, resume=False, allow_network=allow_network_store) as run,
    ):
        done = export_dataset(run, dataset, format.value, place, components=chosen, force=force)
    _print(done, as_json)


@app.command()
def files(
    source: Annotated[
        list[str] | None, typer.Option("--source", help="May be repeated.", show_default="all that have texts")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder to write below.", show_default="where curate and converse write"),
    ] = None,
    force: Force = False,
    data_dir: options.DataDir = None,
    derived_dir: options.DerivedDir = None,
    store: options.StorePath = None,
    as_json: options.Json = False,
    allow_network_store: options.AllowNetworkStore = False,
) -> None:
    """Curated reports and dialogues as files of the published folders: filtered_reports/, conversations/.

    Examples:

      radvlm export files

      radvlm export files --source mimic --output /scratch/published
    """
    settings = existing_settings(data_dir=data_dir, derived_dir=derived_dir, store=store)

    from radvlm_cli.sources import SOURCES
    from radvlm_cli.stages.exports.files import export_files

    names = _known(source or [], list(SOURCES))
    place = None if output is None else output.absolute()
    arguments = {"what": "files", "source": names, "output": None if place is None else str(place)}
    with stage_run("export", arguments, settings, resume=False, allow_network=allow_network_store) as run:
        lines = export_files(
            run,
            sources=names,
            data_dir=settings.data(),
            derived_dir=settings.derived(),
            output=place,
            force=force,
        )
    rows = [line._asdict() for line in lines]
    print_json(rows) if as_json else print_table(rows, title="Files of the published layout:", notes="folder")
    if any(line.kept for line in lines):
        say("Files with other content were left alone (kept): --force writes over them.")
        raise typer.Exit(4)


def _known(names: list[str], known: list[str]) -> list[str]:
    from radvlm_cli.errors import ConfigError

    for name in names:
        if name not in (*known, "all"):
            raise ConfigError(f"There is no source {name!r}; there are {', '.join(known)} and all.")
    return [] if "all" in names else names


def _print(done: Written, as_json: bool) -> None:
    if as_json:
        print_json({"files": [str(path) for path in done.files], "items": done.items, "notes": list(done.notes)})
        return
    for note in done.notes:
        say(note)
    say(f"{done.items:,} written.")
    for path in done.files:
        print(path)
