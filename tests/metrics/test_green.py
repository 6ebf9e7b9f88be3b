"""GREEN: the prompt, what its completions say, and what is not taken for 0."""

from __future__ import annotations

from hashlib import sha256

import numpy as np
import pytest

from radvlm_cli.metrics.green import Counts, Green, green_prompt, parse_green
from radvlm_cli.records import JudgeReply

GOOD = """[Explanation]:
The candidate misses the effusion and places the opacity on the wrong side.

[Clinically Significant Errors]:
(a) False report of a finding in the candidate: 0.
(b) Missing a finding present in the reference: 1. Small left pleural effusion
(c) Misidentification of a finding's anatomic location/position: 2. Opacity: right for left; tube tip
(d) Misassessment of the severity of a finding: 0.
(e) Mentioning a comparison that isn't in the reference: 0.
(f) Omitting a comparison detailing a change from a prior study: 0.

[Clinically Insignificant Errors]:
(a) False report of a finding in the candidate: 4. w; x; y; z

[Matched Findings]:
3. Heart size; no pneumothorax; clear right lung
"""
COUNTS = Counts(3, (0, 1, 2, 0, 0, 0))


def test_the_prompt_is_the_one_that_the_models_were_trained_with() -> None:
    template = green_prompt("{reference}", "{candidate}")
    assert sha256(template.encode()).hexdigest() == "62ff3675597dd0994584f5b08cd33076bc5d74c72de27cf0124b0a9dac8aad0f"
    filled = green_prompt("It is {candidate}.", "Heart {reference}")
    assert (
        "    2. Reference Report:\n    It is {candidate}.\n\n    3. Candidate Report:\n    Heart {reference}\n"
        in filled
    )


def test_counts_and_score_of_a_completion() -> None:
    assert parse_green(GOOD) == COUNTS
    assert COUNTS.green == 3 / 6


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        (GOOD.replace("(a)", "(1)").replace("(b)", "(2)").replace("(c)", "(3)").replace("(d)", "(4)"), COUNTS),
        ("```\n" + GOOD + "```", COUNTS),
        (GOOD.replace("(d) Misassessment of the severity of a finding: 0.\n", ""), COUNTS),
        (GOOD.replace("1. Small left pleural effusion", "1"), COUNTS),
        ("[Clinically Significant Errors]:\nNo errors.\n\n[Matched Findings]:\n2. a; b", Counts(2, (0,) * 6)),
        (
            GOOD.replace("3. Heart size; no pneumothorax; clear right lung", "No matched findings."),
            Counts(0, COUNTS[1]),
        ),
        (GOOD.replace("3. Heart", "12. Heart"), Counts(12, COUNTS[1])),
    ],
)
def test_forms_that_the_models_use(text: str, counts: Counts) -> None:
    assert parse_green(text) == counts


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I'm sorry, I can't help with that.",
        GOOD[: GOOD.index("[Matched")],
        GOOD[: GOOD.index("3. Heart") + 1],  # of a number, who knows what follows
        GOOD.replace("3. Heart size; no pneumothorax; clear right lung", "1 finding"),
        GOOD.replace("3. Heart size", "Two findings: heart size"),
        GOOD.replace("3. Heart size", "3.5 Heart size"),
        GOOD.replace("reference: 1. Small", "reference: one. Small"),
        GOOD.replace("(b) Missing a finding", "(a) Missing a finding"),
        GOOD.replace("Clinically Significant", "Clinically Relevant"),
        GOOD + GOOD,
        "[Clinically Significant Errors]:\n\n[Matched Findings]:\n2. a; b",
        green_prompt("a", "b"),
    ],
)
def test_what_does_not_keep_to_the_form_is_unparsable_and_not_0(text: str) -> None:
    assert parse_green(text) is None
    table = Green().per_sample([JudgeReply("ok", text)], [None])
    assert np.isnan(Green().values(table.sum(axis=0))["green"])


def test_empty_reports_count_as_0_and_failures_of_the_judge_not_at_all() -> None:
    replies = [
        JudgeReply("ok", GOOD),
        JudgeReply("empty", ""),
        JudgeReply("truncated", GOOD),
        JudgeReply("ok", "?"),
        None,
    ]
    family = Green()
    table = family.per_sample(replies, [None] * 5)
    assert table.shape == (5, len(family.columns))
    values = family.values(table.sum(axis=0))
    assert values["green"] == 0.25
    assert values["green_coverage"] == 2 / 5
    assert values["green_errors"] == 3
    assert values["green_missing_finding"] == 1
    assert values["green_matched"] == 3
    assert family.values(np.stack([table[0], table[1]]))["green"].tolist() == [0.5, 0.0]


def test_errors_without_a_match_are_worth_0() -> None:
    assert Counts(0, (1, 0, 0, 0, 0, 0)).green == Counts(0, (0,) * 6).green == 0
