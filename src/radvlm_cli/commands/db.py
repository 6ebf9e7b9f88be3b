"""radvlm db: look after the store."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from radvlm_cli.commands import options
from radvlm_cli.commands.output import print_json, print_table
from radvlm_cli.config import existing_settings

app = typer.Typer(help="Look after the store: status, upgrade, backup, check, problems.", no_args_is_help=True)


@app.command()
def status(data_dir: options.DataDir = None, store: options.StorePath = None, as_json: options.Json = False) -> None:
    """What is in the store, and which runs are at work or were interrupted.

    Examples:

      radvlm db status

      radvlm db status --store runs/radvlm.db --json
    """
    settings = existing_settings(data_dir=data_dir, store=store)

    from radvlm_cli.stages.maintenance import store_status

    state = store_status(settings.store)
    if as_json:
        print_json(state)
        return
    print(f"{settings.store}: revision {state['revision']}, {state['bytes']:,} bytes")
    print_table(state["tables"], title="\nRows")
    print_table(
        [_run_row(run) for run in state["runs"]], title="\nRuns, newest first", notes="message", spare=("host",)
    )


@app.command()
def upgrade(data_dir: options.DataDir = None, store: options.StorePath = None) -> None:
    """Bring the store up to this radvlm's schema, after a backup beside it.

    Examples:

      radvlm db upgrade

      radvlm db upgrade --store runs/radvlm.db
    """
    settings = existing_settings(data_dir=data_dir, store=store)

    from radvlm_cli.store.migrate import ensure_current
    from radvlm_cli.store.revisions import newest_revision, revision_of

    before = revision_of(settings.store)
    made = ensure_current(settings.store)
    print(
        f"{settings.store}: revision {newest_revision()}" + ("" if before == newest_revision() else f" (was {before})")
    )
    if made:
        print(f"backup: {made}")


@app.command()
def backup(
    data_dir: options.DataDir = None,
    store: options.StorePath = None,
    to: Annotated[
        Path | None, typer.Option("--to", help="File to write.", show_default="beside the store, dated")
    ] = None,
) -> None:
    """Copy the store, consistent even while a run writes to it.

    Examples:

      radvlm db backup

      radvlm db backup --to /backup/radvlm.db
    """
    settings = existing_settings(data_dir=data_dir, store=store)

    from radvlm_cli.store.migrate import backup as copy

    print(copy(settings.store, to))


@app.command()
def check(
    data_dir: options.DataDir = None,
    derived_dir: options.DerivedDir = None,
    store: options.StorePath = None,
    as_json: options.Json = False,
) -> None:
    """Check integrity: the database itself, rows without files, files without rows; and what to do.

    Examples:

      radvlm db check --data-dir /data/cxr

      radvlm db check --json
    """
    settings = existing_settings(data_dir=data_dir, derived_dir=derived_dir, store=store)

    from radvlm_cli.stages.maintenance import check_store

    findings = check_store(settings.store, settings.data_dir, settings.derived_dir or settings.data_dir)
    if as_json:
        print_json([finding._asdict() for finding in findings])
    else:
        print_table([finding._asdict() for finding in findings], columns=["check", "found"])
        for finding in findings:
            if finding.found:
                print(f"\n{finding.check}\n  for example: {finding.example}\n  what to do: {finding.remedy}")
    if any(finding.found for finding in findings):
        raise typer.Exit(4)


@app.command()
def problems(data_dir: options.DataDir = None, store: options.StorePath = None, as_json: options.Json = False) -> None:
    """What was skipped or failed, counted by reason.

    Examples:

      radvlm db problems

      radvlm db problems --json
    """
    settings = existing_settings(data_dir=data_dir, store=store)

    from radvlm_cli.stages.maintenance import list_problems

    rows = list_problems(settings.store)
    if as_json:
        print_json(rows)
    elif rows:
        print_table(rows, title="Skipped and failed items", spare=("stage",))
    else:
        print("Nothing was skipped, nothing failed.")


def _run_row(run: dict[str, Any]) -> dict[str, Any]:
    """A run with times as people read them."""
    started = datetime.fromisoformat(run["started_at"])
    ended = datetime.fromisoformat(run["ended_at"]) if run["ended_at"] else None
    return {
        "run": run["id"],
        "command": run["command"],
        "status": run["status"],
        "started (UTC)": f"{started:%Y-%m-%d %H:%M:%S}",
        "took": ended and str(ended - started).split(".")[0],
        "host": run["host"],
        "message": run["message"],
    }
