"""Who declines to answer, and who answers."""

from __future__ import annotations

import pytest

from radvlm_cli.language.refusals import refuses


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't assist with that.",
        "I\u2019m sorry, I cannot interpret medical images.",
        "As an AI language model, I do not look at pictures.",
        "I am unable to provide a medical diagnosis.",
        "I'm not able to view images directly.",
        "I cannot give you any medical advice.",
    ],
)
def test_declining_is_seen(text: str) -> None:
    assert refuses(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I cannot see a pneumothorax.",
        "I can't identify any abnormality.",
        "Pneumonia cannot be excluded.",
        "No pleural effusion. The heart is of normal size.",
        "Please upload the image, and I will have a look.",
        "The image shows [0.10, 0.20, 0.30, 0.40].",
        "The patient was unable to take a deep breath.",
        "I'm sorry. " + "The lungs are clear. " * 40,
    ],
)
def test_an_answer_is_none(text: str) -> None:
    assert not refuses(text)
