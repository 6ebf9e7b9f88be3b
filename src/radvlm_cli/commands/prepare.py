"""radvlm prepare: official dataset files into the store."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from radvlm_cli.commands import options
from radvlm_cli.commands.output import print_json, print_table, say
from radvlm_cli.commands.running import stage_run
from radvlm_cli.config import Settings, load_settings
from radvlm_cli.errors import ConfigError

if TYPE_CHECKING:
    from radvlm_cli.stages.prepare import Prepared

SOURCE_NAMES = (
    "mimic",
    "chexpert",
    "chexpert-plus",
    "imagenome",
    "mscxr",
    "vindr",
    "padchest",
    "padchest-gr",
    "openi",
)
"""As in sources.SOURCES, whose import would slow the start; a test holds the two equal."""


def prepare(
    source: Annotated[list[str], typer.Option("--source", help=f"{', '.join(SOURCE_NAMES)}, or all; may be repeated.")],
    data_dir: options.DataDir = None,
    derived_dir: options.DerivedDir = None,
    store: options.StorePath = None,
    size: Annotated[int, typer.Option(min=64, help="VinDr-CXR, PadChest-GR: pixels on the longest side.")] = 1024,
    square: Annotated[bool, typer.Option("--square", help="Squeeze to size x size (published: --size 512).")] = False,
    tables_only: Annotated[
        bool, typer.Option("--tables-only", help="Register images without looking for or converting their files.")
    ] = False,
    official_sections: Annotated[
        bool,
        typer.Option("--official-sections", help="Leave out the 54 MIMIC-CXR studies that the official file omits."),
    ] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="Conversion processes.", show_default="all cores")] = None,
    force: Annotated[bool, typer.Option("--force", help="Do finished steps again.")] = False,
    resume: options.Resume = False,
    dry_run: options.DryRun = False,
    as_json: options.Json = False,
    allow_network_store: options.AllowNetworkStore = False,
) -> None:
    """Read official dataset files into the store; convert DICOM; write the derived files.

    Finished steps are not done again, so the same command goes on after an interruption.

    Examples:

      radvlm prepare --source all --data-dir /data/cxr

      radvlm prepare --source vindr --size 512 --square --workers 16
    """
    for name in source:
        if name not in (*SOURCE_NAMES, "all"):
            raise ConfigError(
                f"Unknown source {name!r}; there are {', '.join(SOURCE_NAMES)}, and all.", _did_you_mean(name)
            )
    settings = load_settings(data_dir=data_dir, derived_dir=derived_dir, store=store)

    from radvlm_cli.sources import Options
    from radvlm_cli.stages import doctor
    from radvlm_cli.stages.prepare import prepare as stage

    read = Options(tables_only, official_sections, size, square)
    if dry_run:
        plans = doctor.plan_prepare(source, settings.data(), settings.derived(), read)
        print_json(plans) if as_json else print_table(plans, title="radvlm prepare would read:", notes="reads")
        return
    doctor.require_datasets(source, settings.data())
    arguments = {
        "source": sorted(set(source)),
        "data_dir": str(settings.data()),
        "derived_dir": str(settings.derived()),
        **read._asdict(),
    }
    with stage_run("prepare", arguments, settings, resume=resume, allow_network=allow_network_store) as run:
        results = stage(
            run,
            sources=source,
            data_dir=settings.data(),
            derived_dir=settings.derived(),
            options=read,
            workers=workers or os.cpu_count() or 1,
            force=force,
        )
        failed = run.failed_items
    _print(results, settings, as_json)
    if failed:
        raise typer.Exit(4)


def _print(results: list[Prepared], settings: Settings, as_json: bool) -> None:
    from radvlm_cli.stages.maintenance import list_problems

    if as_json:
        print_json([result._asdict() for result in results])
    else:
        rows = [_row(result) for result in results if not result.passed_over]
        print_table(rows, title=f"Prepared into {settings.store}", notes="of which")
        for result in results:
            if result.passed_over:
                say(f"{result.title}: passed over ({result.missing[0]}).")
    names = {result.source for result in results if not result.passed_over}
    problems = [row for row in list_problems(settings.store) if row["stage"] == "prepare" and row["subject"] in names]
    failed = sum(row["items"] for row in problems if row["status"] == "failed")
    if failed:
        items = "1 item" if failed == 1 else f"{failed:,} items"
        say(f"{items} failed; see why: radvlm db problems --store {shlex.quote(str(settings.store))}")


def _row(result: Prepared) -> dict[str, Any]:
    shown = ("images", "reports", "groundings", "curated texts", "conversations")
    rest = [f"{name}: {value:,}" for name, value in result.counts.items() if name not in shown]
    return {
        "source": result.source,
        **{name: result.counts.get(name) or None for name in shown},
        "of which": "; ".join(rest),
    }


def _did_you_mean(name: str) -> str | None:
    from difflib import get_close_matches

    close = get_close_matches(name, SOURCE_NAMES, n=1)
    return f"radvlm prepare --source {close[0]}" if close else None
