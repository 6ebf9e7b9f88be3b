"""Values of options are what Typer makes of them, whoever converts them; and its validators stay out of the way."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from radvlm_cli import main
from radvlm_cli.commands.plain_values import NotPlain, plain_value, without_validators
from radvlm_cli.main import STAGES, application, run

TEXTS = ("", "x", "0", "7", "-3", "1_0", " 7", "7.5", "1e3", "inf", "json", "JSON", "table", "sex", "true", "no", ".")
TEXTS += ("a\0b", "/none/at/all", "999999999999999999999", "\N{ARABIC-INDIC DIGIT FIVE}")


def _parameters(command: Any) -> Iterator[Any]:
    yield from command.params
    for below in getattr(command, "commands", {}).values():
        yield from _parameters(below)


def _by_typer(parameter: Any, value: Any) -> Any:
    return parameter.get_runtime_param().coerce(value, param=parameter, ctx=None)


def test_what_is_converted_plainly_is_what_typer_makes_of_it(tmp_path: Path) -> None:
    """Every option of every command, with its default and with texts that it might be given."""
    file = tmp_path / "file"
    file.touch()
    converted = 0
    for parameter in _parameters(get_command(application())):
        described = parameter.type_descriptor
        default = parameter.default if not callable(parameter.default) else None
        for text in (*TEXTS, str(file), str(tmp_path), default):
            value = [text] if parameter.multiple or parameter.nargs == -1 else text
            try:
                found = plain_value(value, described.annotation, described.parameter_info)
            except NotPlain:
                continue
            expected = _by_typer(parameter, value)
            assert (found, type(found)) == (expected, type(expected)), (parameter.name, text)
            converted += 1
    assert converted > 1000


def test_what_is_wrong_is_still_said_by_typer(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    said = {
        ("training", "--points", "0"): "greater than or equal to 1",
        ("training", "--points", "many"): "valid integer",
        ("--format", "pdf"): "'pdf' is not one of",
        ("--html", str(tmp_path)): "is a directory",
    }
    for words, message in said.items():
        assert run(["report", *words]) == 2
        written = " ".join(capsys.readouterr().err.replace("\N{BOX DRAWINGS LIGHT VERTICAL}", " ").split())
        assert message in written, written


def test_an_option_that_was_not_given_is_none_and_a_list_of_none_is_empty() -> None:
    command = without_validators(get_command(application(["report"])))
    by_name = {parameter.name: parameter for parameter in command.commands["report"].params}
    assert by_name["store"].process_value(None, None) is None
    assert by_name["model"].process_value(None, None) == ()
    assert by_name["images"].process_value(None, "5") == 5


@pytest.mark.parametrize("words", [["--version"], ["--help"], ["doctor", "--help"], ["db", "status", "--help"]])
def test_no_validator_is_made_of_what_needs_none(words: list[str], tmp_path: Path) -> None:
    code = (
        "import sys; from radvlm_cli.main import run; "
        f"code = run({words!r}); found = {{'pydantic', 'importlib.metadata'}} & set(sys.modules); "
        "sys.exit(str(found) if found else code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_ctrl_c_while_a_command_loads_prints_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_stages: tuple[str, ...]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(main, "_command", interrupted)
    assert run(["doctor"]) == 130


def test_a_stage_is_the_same_command_whether_the_others_are_loaded_or_not() -> None:
    whole = get_command(application())
    assert set(whole.commands) == set(STAGES)  # type: ignore[attr-defined]
    for name in ("report", "eval"):
        alone = get_command(application([name])).commands[name]  # type: ignore[attr-defined]
        among = whole.commands[name]  # type: ignore[attr-defined]
        assert [each.opts for each in alone.params] == [each.opts for each in among.params]
