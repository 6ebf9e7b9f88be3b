"""What the fake server says: a function of the request alone."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any


def echo(body: dict[str, Any]) -> str:
    """The last message, as a curated report."""
    return json.dumps({"nothing_left": False, "text": body["messages"][-1]["content"]})


def by_rules(body: dict[str, Any]) -> str:
    """Answer a curation as the rules would; one in ten first answers is left as it was asked, to be repaired."""
    from radvlm_cli.language.rewrite import without_comparisons

    asked = [message["content"] for message in body["messages"] if message["role"] == "user"]
    repairing = body["messages"][-2]["role"] == "assistant" and "not right yet" in body["messages"][-1]["content"]
    report = asked[-2] if repairing else asked[-1]
    if not repairing and sha256(report.encode()).digest()[0] < 26:
        return json.dumps({"nothing_left": False, "text": f"{report} Unchanged since the prior study."})
    curated = without_comparisons(report)
    return json.dumps({"nothing_left": not curated, "text": curated})


def unspoiled(body: dict[str, Any]) -> str:
    """Answer a curation as the rules would."""
    from radvlm_cli.language.rewrite import without_comparisons

    curated = without_comparisons(body["messages"][-1]["content"])
    return json.dumps({"nothing_left": not curated, "text": curated})


def inventing(body: dict[str, Any]) -> str:
    """Add a finding to every report."""
    report = next(m["content"] for m in reversed(body["messages"]) if m["role"] == "user")
    return json.dumps({"nothing_left": False, "text": f"{report} There is a displaced rib fracture."})


def chattering(body: dict[str, Any]) -> str:
    """Say something that is no report."""
    return json.dumps({"nothing_left": False, "text": "This is not quite what was asked for, but it will do."})
