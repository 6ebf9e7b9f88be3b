"""Which server is asked, under which address, with which key. The key shows in no representation and no error."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterable, Mapping
from typing import Literal
from urllib.parse import quote, urlsplit

from radvlm_cli.errors import ConfigError

Provider = Literal["azure", "openai", "endpoint"]
Resolver = Callable[[str], Iterable[str]]

OPENAI_URL = "https://api.openai.com/v1"
_CLOUDS = ("azure.com", "azure.us", "azure.cn", "openai.com", "anthropic.com", "googleapis.com", "amazonaws.com")
"""Never local, even where a private link gives them a private address."""


class Endpoint:
    """An address that speaks OpenAI's protocol."""

    def __init__(
        self, provider: Provider, *, model: str | None, base_url: str, key: str | None, api_version: str | None = None
    ) -> None:
        self.provider = provider
        self.model = model
        """Model or deployment; None: to be asked of the server."""
        self.base_url = base_url
        """Below which `chat/completions`, `files` and `batches` lie (with Azure's api-version: below `/openai`)."""
        self.api_version = api_version
        self.host = urlsplit(base_url).netloc
        self.local = is_local(urlsplit(base_url).hostname or "")
        self._key = key

    def __repr__(self) -> str:
        return f"Endpoint({self.provider}, {self.base_url}, model={self.model})"

    def __getstate__(self) -> object:
        raise TypeError("an Endpoint holds a key and is not pickled")

    @property
    def key(self) -> str | None:
        """The secret; for headers alone."""
        return self._key

    @property
    def headers(self) -> dict[str, str]:
        """The header that carries the key."""
        if self._key is None:
            return {}
        return {"api-key": self._key} if self.provider == "azure" else {"Authorization": f"Bearer {self._key}"}

    @property
    def chat_url(self) -> str:
        """Where chat completions are posted."""
        if self.api_version is None:
            return f"{self.base_url}/chat/completions"
        deployment = quote(self.model or "", safe="")
        return f"{self.base_url}/deployments/{deployment}/chat/completions?api-version={quote(self.api_version)}"


def find_endpoint(
    provider: str | None,
    *,
    model: str | None,
    azure_model: str | None,
    base_url: str | None,
    environ: Mapping[str, str],
) -> Endpoint:
    """The endpoint that options and environment name; ConfigError saying what is missing."""
    chosen = provider or ("endpoint" if base_url else "azure" if azure_model else None)
    if chosen == "azure":
        return _azure(azure_model, environ)
    if chosen == "openai":
        if not model:
            raise ConfigError("Which model is to be asked is not said.", "--provider openai --model NAME")
        key = _needed("OPENAI_API_KEY", environ, "the key of your OpenAI account")
        return Endpoint("openai", model=model, base_url=OPENAI_URL, key=key)
    if chosen == "endpoint":
        if not base_url:
            raise ConfigError("The address of the server is not said.", "--base-url http://localhost:8000/v1")
        own_key = environ.get("RADVLM_API_KEY")  # never OPENAI_API_KEY, which is not this server's business
        return Endpoint("endpoint", model=model, base_url=_checked(base_url), key=own_key or None)
    raise ConfigError(
        "No language model is chosen.",
        "--base-url http://localhost:8000/v1 (a local server), --azure-model DEPLOYMENT, "
        "--provider openai --model NAME, or --provider rules (offline)",
    )


def _azure(deployment: str | None, environ: Mapping[str, str]) -> Endpoint:
    if not deployment:
        raise ConfigError("Which Azure deployment is to be asked is not said.", "--azure-model DEPLOYMENT")
    key = _needed("AZURE_OPENAI_API_KEY", environ, "the resource's key")
    address = _needed("AZURE_OPENAI_ENDPOINT", environ, "https://RESOURCE.openai.azure.com")
    base = _checked(address, "AZURE_OPENAI_ENDPOINT").removesuffix("/v1").removesuffix("/openai")
    version = environ.get("AZURE_API_VERSION") or None
    base = f"{base}/openai" if version else f"{base}/openai/v1"
    return Endpoint("azure", model=deployment, base_url=base, key=key, api_version=version)


def _needed(name: str, environ: Mapping[str, str], what: str) -> str:
    if not environ.get(name):
        raise ConfigError(f"{name} is not set ({what}).", f"export {name}=...")
    return environ[name]


def _checked(url: str, name: str = "--base-url") -> str:
    """A server's address, ending in /v1 unless it has a path of its own."""
    try:
        parts = urlsplit(url.strip())
        port_is_good = parts.port is None or parts.port > 0
    except ValueError:
        parts, port_is_good = urlsplit(""), False
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_good:
        raise ConfigError(f"{name} is not an address.", f"{name} http://localhost:8000/v1")
    if parts.username is not None or parts.query or parts.fragment:
        raise ConfigError(
            f"{name} holds more than an address (a user, a query).", "export RADVLM_API_KEY=... for a key"
        )
    if parts.scheme == "http" and not is_local(parts.hostname):
        raise ConfigError(
            f"{parts.hostname} is not local, and plain http would carry report text unencrypted.",
            f"{name} https://{parts.netloc}{parts.path}",
        )
    path = parts.path.rstrip("/").removesuffix("/chat/completions")
    azure = name != "--base-url"
    return f"{parts.scheme}://{parts.netloc}{path or ('' if azure else '/v1')}"


def is_local(host: str, resolve: Resolver | None = None) -> bool:
    """Whether a host is this machine or in a private network: nothing sent to it reaches a third party.

    A name is local if every address that it resolves to is; one that does not resolve is not.
    """
    name = host.strip("[]").rstrip(".").casefold()
    if not name or any(name == cloud or name.endswith(f".{cloud}") for cloud in _CLOUDS):
        return False
    try:
        return _is_private(name)
    except ValueError:  # a name, not an address
        pass
    try:
        addresses = list((resolve or _resolve)(name))
    except OSError:
        return False
    return bool(addresses) and all(_is_private(address) for address in addresses)


def _resolve(name: str) -> Iterable[str]:
    return (str(info[4][0]).partition("%")[0] for info in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM))


def _is_private(address: str) -> bool:
    """Loopback, RFC 1918, unique local or link-local; ValueError for what is no address."""
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    networks = _PRIVATE_4 if parsed.version == 4 else _PRIVATE_6
    return any(parsed in network for network in networks)


_PRIVATE_4 = [
    ipaddress.ip_network(n) for n in ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16")
]
_PRIVATE_6 = [ipaddress.ip_network(n) for n in ("::1/128", "fc00::/7", "fe80::/10")]
