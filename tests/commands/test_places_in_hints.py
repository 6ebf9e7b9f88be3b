"""A command that an error tells to type finds the same store again."""

from __future__ import annotations

import pytest

from radvlm_cli.commands.running import places_in_hints
from radvlm_cli.errors import ConfigError


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (["--gpus", "2"], "radvlm train --resume --run 3"),
        (["--store", "my store.db"], "radvlm train --store 'my store.db' --resume --run 3"),
        (["--store=x.db", "--data-dir", "d"], "radvlm train --store x.db --data-dir d --resume --run 3"),
    ],
)
def test_the_store_that_was_typed_is_in_the_hint(monkeypatch: pytest.MonkeyPatch, typed: list[str], told: str) -> None:
    monkeypatch.setattr("sys.argv", ["radvlm", "train", *typed])
    with pytest.raises(ConfigError) as caught, places_in_hints():
        raise ConfigError("It stopped.", "See its log; go on: radvlm train --resume --run 3")
    assert caught.value.hint == f"See its log; go on: {told}"
