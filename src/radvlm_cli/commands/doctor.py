"""radvlm doctor: is everything there?"""

from __future__ import annotations

import typer

from radvlm_cli.commands import options
from radvlm_cli.commands.output import print_json, print_table
from radvlm_cli.config import load_settings


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
    settings = load_settings(data_dir=data_dir, derived_dir=derived_dir, store=store)

    from radvlm_cli.stages.doctor import examine

    findings = examine(settings.data_dir, settings.derived_dir, settings.store)
    if as_json:
        print_json([finding._asdict() for finding in findings])
    else:
        print_table([{"": f.mark, "what": f.what, "state": f.state, "what to do": f.remedy} for f in findings])
    if any(finding.mark == "bad" for finding in findings):
        raise typer.Exit(4)
