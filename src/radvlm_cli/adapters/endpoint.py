"""`endpoint:NAME --base-url URL`: a model behind a server that speaks OpenAI's chat completions (vLLM, SGLang,
llama.cpp and their like). How it is asked: endpoint_model.py.
"""

from __future__ import annotations

from functools import partial

from radvlm_cli.adapters.endpoint_manner import Manner
from radvlm_cli.adapters.profile import Profile, choose_profile, split_name
from radvlm_cli.adapters.protocol import Adapter, Card, Loading
from radvlm_cli.errors import ConfigError


def card_of(rest: str | None) -> Card:
    """The card of `endpoint:REST`; ConfigError without a REST."""
    if not rest:
        raise ConfigError("endpoint: which model?", "endpoint:NAME, by the name that the server has for it")
    model, wanted = split_name(rest)
    name, profile = choose_profile(model, wanted)
    return Card(
        name=f"endpoint:{rest}",
        title=f"{profile.title}, behind a server",
        tasks=profile.tasks,
        weights=(),
        load=partial(_load, model=model, profile=profile, profile_name=name),
        prompt=profile.prompt,
        codec=profile.codec,
        extractor=profile.extractor,
        most=profile.most,
        version=profile.version,
    )


def _load(loading: Loading, *, model: str, profile: Profile, profile_name: str) -> Adapter:
    from radvlm_cli.adapters.endpoint_model import connect

    if not loading.base_url:
        raise ConfigError("The address of the server is not said.", "--base-url http://localhost:8000/v1")
    if unknown := loading.options.keys() - set(Manner._fields):
        raise ConfigError(f"An endpoint has no option {', '.join(sorted(unknown))}.", ", ".join(Manner._fields))
    manner = Manner(**loading.options)
    return connect(loading.base_url, model, profile, profile_name, manner)
