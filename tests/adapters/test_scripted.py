"""The shipped fake."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from radvlm_cli.adapters import card
from radvlm_cli.adapters.batching import TOO_LARGE, answer_all
from radvlm_cli.adapters.protocol import Asked, Loading
from radvlm_cli.errors import ConfigError
from tests.adapters.conftest import request

LOADING = Loading((), "cpu")
IMAGE = Path("x.png")


def write(path: Path, **script: object) -> str:
    path.write_text(json.dumps(script))
    return f"scripted:{path}"


def test_it_says_what_the_file_tells_it_to(tmp_path: Path) -> None:
    name = write(tmp_path / "s.json", answers={"a": ["First.", "And then."], "b": ["One two three"]})
    model = card(name).load(LOADING)
    asked = [request(IMAGE, "?", key="a"), request(IMAGE, "?", "First.", "?", key="a"), request(IMAGE, "?", key="b")]
    assert [reply.text for reply in model.answer(asked, 99)] == ["First.", "And then.", "One two three"]
    (cut,) = model.answer(asked[2:], 2)
    assert (cut.text, cut.truncated, cut.tokens_out) == ("One two", True, 2)
    (rule,) = model.answer([request(IMAGE, "?", key="c")._replace(task="region")], 99)
    assert "[0.25, 0.25, 0.75, 0.75]" in rule.text
    assert card("scripted").prompt(Asked("region", "lung", "Where is the lung?"), "default") == "Where is the lung?"


def test_its_answers_are_its_identity_and_its_faults_are_not(tmp_path: Path) -> None:
    names = [
        write(tmp_path / "a.json", answers={"a": ["Yes."]}),
        write(tmp_path / "b.json", answers={"a": ["Yes."]}, delay=0.0, fail=["b"]),
        write(tmp_path / "c.json", answers={"a": ["No."]}),
    ]
    first, same, other = (card(name).load(LOADING).identity for name in names)
    assert first == same
    assert first != other


def test_it_fails_as_it_is_told_to(tmp_path: Path) -> None:
    model = card(write(tmp_path / "s.json", fail=["a"], room=2, too_large=["c"])).load(LOADING)
    asked = [request(IMAGE, "?", key=key) for key in "abcdefgh"]
    found = {each.key: reply.error for each, reply in answer_all(model, asked, 9)}
    assert found == {**dict.fromkeys("abcdefgh"), "a": "the script says so", "c": TOO_LARGE}
    with pytest.raises(torch.OutOfMemoryError):
        model.answer(asked[3:6], 9)


def test_it_dies_where_it_is_told_to(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from radvlm_cli.adapters import card; from radvlm_cli.adapters.protocol import *;"
        "from radvlm_cli.records import Turn; model = card(name).load(Loading((), 'cpu'));"
        "model.answer([Request('a', Path('x'), (Turn('human', '?'),), 'report')], 9); print('survived')"
    )
    name = write(tmp_path / "s.json", die_at="a")
    result = subprocess.run([sys.executable, "-c", f"name = {name!r}; {code}"], capture_output=True, check=False)
    assert (result.returncode, result.stdout) == (9, b"")


@pytest.mark.parametrize("text", ["[]", "{", '{"answers": []}', '{"answers": {"a": "Yes."}}', '{"answers": {"a": []}}'])
def test_a_script_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "s.json").write_text(text)
    with pytest.raises(ConfigError, match=r"s\.json"):
        card(f"scripted:{tmp_path / 's.json'}")


def test_what_a_script_does_not_have_is_named() -> None:
    with pytest.raises(ConfigError, match=r"'latency'.*delay"):
        card("scripted").load(LOADING._replace(options={"latency": 1}))
