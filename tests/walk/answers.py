"""What the fake chat server says on a walk, where it stands for every model that a page asks."""

from __future__ import annotations

from typing import Any

from tests.fakes import answers, dialogues, judges


def helpful(body: dict[str, Any]) -> str:
    """A curated report, a dialogue or a grade, by the form that is asked for; else a word about the picture."""
    asked = str(body.get("response_format", ""))
    if "overall" in asked:
        return judges.sound(body)
    if "rounds" in asked:
        return dialogues.right(body)
    if "nothing_left" in asked:
        return answers.unspoiled(body)
    return answers.describe_picture(body)
