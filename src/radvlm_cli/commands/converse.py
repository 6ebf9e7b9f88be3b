"""radvlm converse: dialogues about images."""

from __future__ import annotations

from radvlm_cli.commands.writing import writing_command

SOURCE_NAMES = ("mimic", "mscxr", "padchest-gr")

converse = writing_command(
    "converse",
    SOURCE_NAMES,
    """Write dialogues about images, plain (mimic) or with the annotation's boxes (mscxr, padchest-gr).

    Curate first: dialogues about MIMIC-CXR images speak of the curated reports. No call is ever made twice.

    Examples:

      radvlm converse --source mimic --split train --base-url http://localhost:8000/v1

      radvlm converse --source all --provider rules
    """,
)
