"""radvlm doctor: is everything there?"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import typer

from radvlm_cli.commands import options
from radvlm_cli.commands.output import print_json, terminal_width
from radvlm_cli.config import load_settings
from radvlm_cli.errors import ConfigError

if TYPE_CHECKING:
    from radvlm_cli.stages.doctor import Finding

_LEAST = 30
"""Characters of a line that are left for the state, however narrow the terminal."""


def doctor(
    data_dir: options.DataDir = None,
    derived_dir: options.DerivedDir = None,
    store: options.StorePath = None,
    as_json: options.Json = False,
) -> None:
    """Check environment, data folders, store and keys; say which file is missing and where to get it.

    Examples:

      radvlm doctor --data-dir /data/cxr

      DATA_DIR=/data/cxr radvlm doctor --json
    """
    from radvlm_cli.stages.doctor import Finding, examine

    try:
        settings = load_settings(data_dir=data_dir, derived_dir=derived_dir, store=store)
        findings = examine(settings.data_dir, settings.derived_dir, settings.store)
    except ConfigError as error:
        findings = [*examine(None, None, None), Finding("bad", "settings", error.message, error.hint or "")]
    if as_json:
        print_json([finding._asdict() for finding in findings])
    else:
        _print(findings)
    if any(finding.mark == "bad" for finding in findings):
        raise typer.Exit(4)


def _print(findings: list[Finding]) -> None:
    """Each finding with its state, and what to do about it on a line of its own that can be copied whole."""
    margin = max(len(finding.what) for finding in findings) + len("note") + 4
    for finding in findings:
        head = f"{finding.mark:4}  {finding.what}".ljust(margin)
        width = max(terminal_width(), margin + _LEAST)
        print(textwrap.fill(head + finding.state, width, subsequent_indent=" " * margin, break_on_hyphens=False))
        if finding.remedy:
            print(f"      -> {finding.remedy}")
