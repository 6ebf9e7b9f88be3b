"""The model that judges reports for GREEN. It sees no picture: its requests carry metrics.green.green_prompt."""

from __future__ import annotations

from radvlm_cli.adapters.protocol import Adapter, Asked, Card, Loading, Protocols, WeightsNeed
from radvlm_cli.errors import ConfigError


def _load(loading: Loading) -> Adapter:
    from radvlm_cli.adapters.green_model import GreenModel

    return GreenModel(loading.weights[0], loading)


def _no_prompt(asked: Asked, protocol: Protocols) -> str:
    raise ConfigError(f"GREEN's model judges reports; it has no prompt for {asked.task}.", "radvlm eval --green RUN")


GREEN = Card(
    name="green",
    title="GREEN-RadLlama2-7B",
    tasks=frozenset(),
    weights=(WeightsNeed("StanfordAIMI/GREEN-radllama2-7b", None, "as its model card says"),),
    load=_load,
    prompt=_no_prompt,
    most={"report": 2048},
)
"""For requests of task `report`, without a picture. A completion has some 300 tokens; the published bound is 2,048."""
