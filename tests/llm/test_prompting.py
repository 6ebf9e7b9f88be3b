import pytest

from radvlm_cli.documents import readable
from radvlm_cli.llm import Message, Prompt
from radvlm_cli.llm.prompting import ask, ask_again, find_object

_DEEP = '{"a":' + "[" * 700 + "]" * 700 + "}"
PROMPT = Prompt("test", "m", {"seed": 1}, (Message(role="system", content="Curate."),))


@pytest.mark.parametrize(
    "text",
    ['{"a": 1}', 'Here it is: {"a": 1}', '```json\n{"a": 1}\n```', '{not json} {"a": 1}', '{"a": 1} {"b": 2}'],
)
def test_the_object_in_an_answer_is_found(text: str) -> None:
    assert find_object(text) == {"a": 1}


@pytest.mark.parametrize("text", ["", "no object", "{", '{"a": ', "[1, 2]", "{" * 5000, _DEEP])
def test_an_answer_without_a_whole_object_has_none(text: str) -> None:
    assert find_object(text) is None


def test_half_characters_and_control_characters_become_spaces() -> None:
    found = find_object('{"a": ["x\\ud800y", {"b\\u0000": "caf\\u00e9\\n\\ud83d\\ude00"}], "c": 1}')
    assert found == {"a": ["x y", {"b ": "caf\u00e9\n\U0001f600"}], "c": 1}
    assert readable("no\x00ne\tof\nit\x1b") == "no ne\tof\nit "


def test_equal_requests_have_equal_keys_and_anything_that_decides_the_answer_changes_them() -> None:
    request = ask(PROMPT, "report")
    assert request.key == ask(Prompt("other name", "m", {"seed": 1}, PROMPT.messages), "report").key
    others = [
        ask(PROMPT, "Report"),
        ask_again(request, "answer", "complaint"),
        ask(Prompt("test", "n", {"seed": 1}, PROMPT.messages), "report"),
        ask(Prompt("test", "m", {"seed": 2}, PROMPT.messages), "report"),
        ask(Prompt("test", "m", {"seed": 1}, PROMPT.messages, {"type": "object"}), "report"),
        ask(Prompt("test", "m", {"seed": 1}, ()), "report"),
    ]
    assert len({request.key, *(other.key for other in others)}) == 7
