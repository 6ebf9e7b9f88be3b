"""radvlm curate: report texts without references to other studies."""

from __future__ import annotations

from radvlm_cli.commands.writing import writing_command

SOURCE_NAMES = ("mimic", "chexpert-plus", "openi")

curate = writing_command(
    "curate",
    SOURCE_NAMES,
    """Take references to other studies out of the reports, by a language model or by rules; check every text.

    No call is ever made twice: run it again after anything, and only what is missing is asked. Texts that do not pass
    the checks are repaired once, then quarantined.

    Examples:

      radvlm curate --source mimic --split train --azure-model DEPLOYMENT --confirm-zero-retention --max-cost 500

      radvlm curate --source all --base-url http://localhost:8000/v1 --resume
    """,
)
