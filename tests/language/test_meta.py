"""Words that a language model puts around a report."""

from __future__ import annotations

import pytest

from radvlm_cli.language.meta import meta_text


@pytest.mark.parametrize(
    "text",
    [
        "Here is the revised report: Lungs are clear.",
        "Here's the edited text.",
        "As an AI language model I read this.",
        "I removed the comparison.",
        "I have omitted one sentence.",
        "I cannot help with this.",
        "Note: one sentence is gone.",
        "Lungs are clear.\n\nExplanation: it said so.",
        "Revised report: Lungs are clear.",
        "The original report says more.",
        "References to prior studies are gone.",
        "All comparisons were removed.",
        "Sure! Lungs are clear.",
        "**Lungs** are clear.",
        "## Lungs\nClear.",
        "```\nLungs are clear.\n```",
        "Lungs are clear.}",
        '{"text": "Lungs are clear."}',
        "Lungs are clear.<|im_end|>",
        "<|im_start|>assistant Lungs are clear.",
        "Lungs are clear. Let me know if you need more.",
        "Lungs are clear.\\nHeart is normal.",
    ],
)
def test_words_about_the_text_are_found(text: str) -> None:
    assert meta_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Note is made of a calcified granuloma.",
        "A small effusion is noted.",
        "FINDINGS: The lungs are clear. IMPRESSION: No acute process.",
        "Measures 1.2 x 3 cm (series 2).",
        "Findings are suggestive of edema; given the history, infection is possible.",
        "The right lung is sure to be clear.",
        "1. Cardiomegaly.\n2. No effusion.",
        "- Cardiomegaly.\n- No effusion.",
    ],
)
def test_words_of_a_report_are_let_through(text: str) -> None:
    assert meta_text(text) == []


def test_what_is_found_comes_in_the_order_of_the_text() -> None:
    assert meta_text('Sure! ```json\n{"text": "No edema."}') == ["Sure!", "```json", "{", '"text"', "}"]
