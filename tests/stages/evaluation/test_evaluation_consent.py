"""Which servers may be shown the pictures of a test set."""

from __future__ import annotations

from pathlib import Path

import pytest

from radvlm_cli.errors import ConfigError
from radvlm_cli.stages.evaluation.consent import require_consent_to_ask
from radvlm_cli.stages.evaluation.request import Asked, Request, make_request
from tests.stages.evaluation.evaluating import Bench, make_bench, rows, run_eval


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A store with test sets of MIMIC and VinDr."""
    return make_bench(tmp_path_factory.mktemp("consent"), images=1)


def request(bench: Bench, url: str, zero_retention: bool | None = None) -> Request:
    """To ask a served model."""
    asked = Asked(model="endpoint:m", base_url=url, zero_retention=zero_retention)
    return make_request(bench.path, asked, say=lambda _words: None)


def test_a_server_of_ones_own_is_asked_without_more(bench: Bench) -> None:
    require_consent_to_ask(request(bench, "http://localhost:8000/v1"), ["mimic"])


def test_pictures_are_not_carried_unencrypted_outside(bench: Bench) -> None:
    with pytest.raises(ConfigError, match="unencrypted"):
        require_consent_to_ask(request(bench, "http://203.0.113.5/v1", zero_retention=True), ["mimic"])


def test_somebody_elses_server_needs_zero_retention_for_credentialed_sources(bench: Bench) -> None:
    elsewhere = "https://203.0.113.5/v1"
    with pytest.raises(ConfigError, match="MIMIC-CXR") as refused:
        require_consent_to_ask(request(bench, elsewhere), ["mimic"])
    assert "--confirm-zero-retention" in str(refused.value.hint)
    with pytest.raises(ConfigError, match="house-data"):
        require_consent_to_ask(request(bench, elsewhere), ["house-data"])
    require_consent_to_ask(request(bench, elsewhere), ["openi"])
    require_consent_to_ask(request(bench, elsewhere, zero_retention=True), ["mimic"])


def test_nothing_is_begun_where_consent_is_missing(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="outside your network"):
        run_eval(bench, model="endpoint:m", base_url="https://203.0.113.5/v1", task=["report"])
    assert rows(bench, "SELECT count(*) FROM evaluation") == [(0,)]
