import pickle
from typing import Any

import pytest

from radvlm_cli.errors import ConfigError
from radvlm_cli.llm.consent import require_consent
from radvlm_cli.llm.endpoint import Endpoint, find_endpoint, is_local

SECRET = "a-key-that-must-not-show"
AZURE = {"AZURE_OPENAI_API_KEY": SECRET, "AZURE_OPENAI_ENDPOINT": "https://lab.openai.azure.com/"}


def _find(provider: str | None = None, environ: dict[str, str] | None = None, **options: str) -> Endpoint:
    wanted: dict[str, Any] = {"model": None, "azure_model": None, "base_url": None} | options
    return find_endpoint(provider, environ=environ or {}, **wanted)


def test_azure_with_a_version_asks_the_deployment() -> None:
    endpoint = _find(azure_model="d 1", environ={**AZURE, "AZURE_API_VERSION": "2024-10-21"})
    assert endpoint.chat_url == (
        "https://lab.openai.azure.com/openai/deployments/d%201/chat/completions?api-version=2024-10-21"
    )
    assert endpoint.headers == {"api-key": SECRET}


def test_azure_without_a_version_asks_the_v1_address() -> None:
    assert _find(azure_model="d", environ=AZURE).chat_url == "https://lab.openai.azure.com/openai/v1/chat/completions"


@pytest.mark.parametrize("missing", AZURE)
def test_a_missing_variable_is_named(missing: str) -> None:
    with pytest.raises(ConfigError, match=missing):
        _find(azure_model="d", environ={k: v for k, v in AZURE.items() if k != missing})


def test_another_server_never_gets_the_openai_key() -> None:
    endpoint = _find(base_url="http://localhost:8000", environ={"OPENAI_API_KEY": SECRET})
    assert endpoint.headers == {}
    assert endpoint.chat_url == "http://localhost:8000/v1/chat/completions"


@pytest.mark.parametrize("url", ["ftp://x", "localhost:8000", "http://user:pass@localhost", "http://8.8.8.8/v1"])
def test_bad_and_unsafe_addresses_are_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        _find(base_url=url)


def test_the_key_shows_nowhere() -> None:
    endpoint = _find("openai", model="m", environ={"OPENAI_API_KEY": SECRET})
    assert SECRET not in f"{endpoint!r} {endpoint} {[endpoint]}"
    with pytest.raises(TypeError):
        pickle.dumps(endpoint)


@pytest.mark.parametrize(
    ("host", "addresses", "local"),
    [
        ("127.0.0.1", [], True),
        ("[::1]", [], True),
        ("10.1.2.3", [], True),
        ("172.32.0.1", [], False),
        ("8.8.8.8", [], False),
        ("::ffff:8.8.8.8", [], False),
        ("node7", ["192.168.1.7"], True),
        ("localhost.evil.org", ["93.184.216.34"], False),
        ("split.org", ["10.0.0.1", "93.184.216.34"], False),
        ("lab.openai.azure.com", ["10.0.0.4"], False),
        ("api.openai.com.", ["10.0.0.4"], False),
    ],
)
def test_local_is_what_reaches_no_third_party(host: str, addresses: list[str], local: bool) -> None:
    assert is_local(host, lambda _name: addresses) is local


def _consent(endpoint: Endpoint, **said: bool) -> None:
    wanted = {"batch": False, "zero_retention": False, "batch_retention": False} | said
    require_consent(titles=["MIMIC-CXR"], endpoint=endpoint, **wanted)


def test_credentialed_text_goes_to_a_cloud_only_with_consent() -> None:
    cloud = _find(azure_model="d", environ=AZURE)
    with pytest.raises(ConfigError, match="2025-09-24"):
        _consent(cloud)
    _consent(cloud, zero_retention=True)
    with pytest.raises(ConfigError, match="rest at"):
        _consent(cloud, zero_retention=True, batch=True)
    _consent(cloud, zero_retention=True, batch=True, batch_retention=True)
    _consent(_find(base_url="http://localhost:1"))
    require_consent(titles=[], endpoint=cloud, batch=False, zero_retention=False, batch_retention=False)
