"""Dialogues about phantom images, in the published file format: a list of from/value turns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from radvlm_cli.demo.findings import Finding
from radvlm_cli.demo.sentences import denials, impression_text, phrase, sentence
from radvlm_cli.records import Box

Dialogue = list[dict[str, str]]

_OPENINGS = ("What can be seen on this chest X-ray?", "Could you describe this image?", "What does this X-ray show?")
_CLOSINGS = (
    ("Is anything here urgent?", "That is for the treating physician to judge, with the clinical picture in mind."),
    ("Thank you.", "You are welcome."),
)
_FILLERS = (
    ("Is there a collapsed lung?", "pneumothorax", "No, there is no pneumothorax."),
    ("Is there fluid around the lungs?", "effusion", "No, there is no pleural effusion."),
    ("How large is the heart?", "cardiomegaly", "The heart is of normal size."),
    ("Are there any lines or tubes?", "device", "No, none are seen."),
)


class Located(NamedTuple):
    """A finding with its annotated boxes."""

    finding: Finding
    boxes: tuple[Box, ...]


def standard(findings: Sequence[Finding], rng: np.random.Generator) -> Dialogue:
    """Five to ten rounds about one study, without boxes and without a word about other studies."""
    rounds = [(str(rng.choice(_OPENINGS)), " ".join([*map(sentence, findings), *denials(findings)]))]
    rounds += [(f"Can you say more about the {_noun(f)}?", f"It is best described as {phrase(f)}.") for f in findings]
    return _turns(rounds, findings)


def grounded(located: Sequence[Located], rng: np.random.Generator) -> Dialogue:
    """Five to ten rounds in which every annotated finding is pointed at with its boxes."""
    findings = [item.finding for item in located]
    rounds = [(str(rng.choice(_OPENINGS)), " ".join(map(sentence, findings)))]
    for item in located:
        plural = "s" if len(item.boxes) > 1 else ""
        rounds.append((f"Where is the {_noun(item.finding)}?", f"At the location{plural} {quote(item.boxes)}."))
    return _turns(rounds, findings)


def quote(boxes: Sequence[Box]) -> str:
    """Write boxes with two decimals, e.g. `[0.12, 0.30, 0.45, 0.61] and [...]`."""
    return " and ".join("[" + ", ".join(f"{corner:.2f}" for corner in box) + "]" for box in boxes)


def _turns(rounds: list[tuple[str, str]], findings: Sequence[Finding]) -> Dialogue:
    kinds = {finding.kind for finding in findings}
    fillers = [(question, answer) for question, kind, answer in _FILLERS if kind not in kinds]
    rounds = rounds[:5] + fillers + [("What is your overall impression?", impression_text(findings)), *_CLOSINGS]
    return [
        {"from": speaker, "value": text}
        for spoken in rounds[:10]
        for speaker, text in zip(("human", "gpt"), spoken, strict=True)
    ]


def _noun(finding: Finding) -> str:
    return {
        "cardiomegaly": "heart",
        "effusion": "pleural effusion",
        "device": "catheter",
        "edema": "edema",
        "aorta": "aortic arch",
    }.get(finding.kind, finding.kind)
