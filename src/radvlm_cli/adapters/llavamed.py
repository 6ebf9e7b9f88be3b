"""LLaVA-Med v1.5 (Mistral 7B): what is known of it before it is loaded."""

from __future__ import annotations

from radvlm_cli.adapters.prompts import prompter
from radvlm_cli.adapters.protocol import Adapter, Card, Loading, WeightsNeed


def _load(loading: Loading) -> Adapter:
    from radvlm_cli.adapters.llavamed_model import load

    return load(loading)


CARD = Card(
    name="llavamed",
    title="LLaVA-Med v1.5",
    tasks=frozenset({"report", "conversation"}),
    weights=(
        WeightsNeed(
            "microsoft/llava-med-v1.5-mistral-7b",
            "91bb16c122001ddc9cf1fd36ce1dae09448943a2",
            "Microsoft Research licence, research use only",
            model_types=("llava_mistral",),
        ),
    ),
    load=_load,
    prompt=prompter("llavamed"),
)
