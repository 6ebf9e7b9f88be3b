"""A run never trains under another strategy than its manifest's."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("torch")

from finetuning.errors import TrainingError
from finetuning.manifest import parse_manifest
from finetuning.running import _check_strategy
from tests.finetuning.test_manifest import least


@pytest.mark.parametrize(("strategy", "deepspeed"), [("zero2", True), ("ddp", False)])
def test_the_strategy_asked_for_is_in_force(strategy: str, deepspeed: bool) -> None:
    manifest = parse_manifest(least() | {"parallel": {"strategy": strategy}})
    trainer: Any = SimpleNamespace(is_deepspeed_enabled=deepspeed)
    _check_strategy(trainer, manifest)


def test_a_variable_that_turns_deepspeed_off_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    manifest = parse_manifest(least() | {"parallel": {"strategy": "zero2"}})
    trainer: Any = SimpleNamespace(is_deepspeed_enabled=False)
    with pytest.raises(TrainingError, match=r"zero2 is not in force.*ACCELERATE_USE_CPU") as caught:
        _check_strategy(trainer, manifest)
    assert "unset ACCELERATE_USE_CPU" in (caught.value.hint or "")
