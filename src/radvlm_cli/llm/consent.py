"""Who may be sent credentialed text. Local servers may; anybody else only once somebody vouches for what they keep."""

from __future__ import annotations

from collections.abc import Sequence

from radvlm_cli.errors import ConfigError
from radvlm_cli.llm.endpoint import Endpoint

RULE = "https://physionet.org/news/post/llm-responsible-use"


def require_consent(
    *,
    titles: Sequence[str],
    endpoint: Endpoint,
    batch: bool,
    zero_retention: bool,
    batch_retention: bool,
) -> None:
    """Refuse (ConfigError) to send credentialed sources to a service that may keep them.

    `titles` are the credentialed sources of the job; `zero_retention` and `batch_retention` what the user confirmed.
    """
    if not titles or endpoint.local:
        return
    what = ", ".join(titles)
    if not zero_retention:
        raise ConfigError(
            f"{what} would be sent to {endpoint.host}, outside your network. The data use agreements forbid sharing "
            f"with third parties. PhysioNet's rule of 2025-09-24 ({RULE}) lets a service see such data only if it "
            "stores and keeps nothing, trains on nothing and lets nobody read it, and recommends models that you run "
            "yourself.",
            "--base-url of a server of your own; or, if zero retention is agreed and switched on for this account: "
            "--confirm-zero-retention (or confirm_zero_retention = true in radvlm.toml). It is recorded with the run.",
        )
    if batch and not batch_retention:
        raise ConfigError(
            f"Batch files of {what} rest at {endpoint.host} until they are deleted, for up to 24 hours or more, which "
            f"zero retention does not cover (PhysioNet's rule of 2025-09-24, {RULE}).",
            "without --batch; or, if your agreement covers files at rest: --confirm-batch-retention",
        )
