import pytest

from radvlm_cli.llm import Message
from radvlm_cli.llm.tokens import count_tokens, estimate_tokens, message_tokens
from tests.fakes.world import report_text


def test_tokens_are_those_of_o200k_base() -> None:
    assert count_tokens("") == 0
    assert count_tokens("The lungs are clear.") == 5
    assert count_tokens("<|endoftext|>") > 1, "words of a report are never control tokens"


def test_a_request_has_overhead_for_each_message_and_the_reply() -> None:
    messages = [Message(role="system", content="The lungs are clear."), Message(role="user", content="")]
    assert message_tokens(messages) == 3 + (4 + 5) + 4


def test_the_guess_for_limits_is_near_the_count() -> None:
    texts = [report_text(number) for number in range(200)]
    assert sum(map(estimate_tokens, texts)) == pytest.approx(sum(map(count_tokens, texts)), rel=0.15)
