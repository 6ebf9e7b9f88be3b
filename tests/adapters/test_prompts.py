"""Prompts as data, and the registry of models that are asked in them."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, get_args

import pytest

from radvlm_cli.adapters import CARDS, MOST, answers, boxes, card, most_tokens
from radvlm_cli.adapters.prompts import parse_prompts
from radvlm_cli.adapters.protocol import Asked, Protocols, Task
from radvlm_cli.errors import ConfigError


def asked(task: Task, **known: Any) -> Asked:
    given: dict[str, Any] = {"subject": None, "question": "What is seen?", **known}
    return Asked(task, **given)


@pytest.mark.parametrize("name", CARDS)
@pytest.mark.parametrize("protocol", get_args(Protocols))
def test_every_model_has_words_for_every_task_that_it_can_do_and_no_other(name: str, protocol: Protocols) -> None:
    model = card(name)
    assert model.tasks <= set(get_args(Task))
    for task in get_args(Task):
        if task == "conversation":
            continue  # the turns are the dataset's own
        given = asked(task, subject="left lung", options=("Edema", "Fracture"), indication="cough")
        if task in model.tasks:
            text = model.prompt(given, protocol)
            assert text.strip()
            assert "<image>" not in text
        else:
            with pytest.raises(ConfigError, match=task):
                model.prompt(given, protocol)


@pytest.mark.parametrize("name", CARDS)
def test_every_model_names_a_codec_and_an_extractor_that_are_there(name: str) -> None:
    model = card(name)
    assert (model.codec is not None) == bool(model.tasks & {"region", "abnormality", "phrase", "detection"})
    if model.codec is not None:
        assert boxes.codec(model.codec).name == model.codec
    answers.extract(model.extractor, "")
    assert all(most_tokens(model, task) > 0 for task in MOST)


def test_an_unknown_model_is_told_from_what_it_may_mean() -> None:
    with pytest.raises(ConfigError, match=r"'radvml'.* Do you mean radvlm\?"):
        card("radvml")
    with pytest.raises(ConfigError, match="Known are"):
        card("llavaov:x")


def test_the_registry_loads_no_heavy_package() -> None:
    code = (
        "import sys; from radvlm_cli.adapters import CARDS; [each.prompt for each in CARDS.values()];"
        "print({'torch', 'transformers', 'numpy', 'huggingface_hub', 'tokenizers'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


DOCUMENT = {
    "report": {"default": ["For {indication}: report.", "Report."], "paper": "{question}"},
    "region": "Where is the {subject}? Use \\boxed{}.",
    "classification": "Which of {options}?",
}


def test_placeholders_are_filled_with_what_is_known() -> None:
    prompts = parse_prompts(DOCUMENT, "here")
    assert prompts.prompt(asked("report")) == "Report."
    assert prompts.prompt(asked("report", indication="a {subject}")) == "For a {subject}: report."
    assert prompts.prompt(asked("report", indication="cough"), "paper") == "What is seen?"
    assert prompts.prompt(asked("region", subject="{options}"), "paper") == "Where is the {options}? Use \\boxed{}."
    assert prompts.prompt(asked("classification", options=("Edema", "Fracture"))) == "Which of Edema, Fracture?"
    with pytest.raises(ConfigError, match="needs subject"):
        prompts.prompt(asked("region"))
    with pytest.raises(ConfigError, match="no prompt for the task phrase"):
        prompts.prompt(asked("phrase"))


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ([], "no mapping"),
        ({"regoin": "x"}, "'regoin' is not known"),
        ({"report": {"default": "x", "papre": "y"}}, "'papre' is not known"),
        ({"report": {"paper": "y"}}, "no default"),
        ({"report": "{labels}"}, "'labels' is not known"),
        ({"report": ["x", 1]}, "a text or a list"),
        ({"report": []}, "a text or a list"),
        ({"report": " "}, "a text or a list"),
        ({"report": None}, "a text or a list"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_by_name(document: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=f"^here.*{said}"):
        parse_prompts(document, "here")
