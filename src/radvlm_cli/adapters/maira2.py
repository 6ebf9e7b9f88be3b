"""MAIRA-2: reports and located findings for one frontal chest X-ray. What it is, and how it is asked.

It locates sentences that state a finding. A region's name is no such sentence and has no good form as one, so its
scores on regions say how it does with a prompt it was not trained for. It sees the middle square of a picture:
what lies outside cannot be found.
"""

from __future__ import annotations

from radvlm_cli.adapters.prompts import prompter
from radvlm_cli.adapters.protocol import Adapter, Card, Loading, WeightsNeed


def _load(loading: Loading) -> Adapter:
    from radvlm_cli.adapters.maira2_model import Maira2Adapter

    return Maira2Adapter(loading)


CARD = Card(
    name="maira2",
    title="MAIRA-2 7B",
    tasks=frozenset({"report", "region", "abnormality", "phrase"}),
    weights=(
        WeightsNeed(
            "microsoft/maira-2",
            "795a2b1cd4a310624b4e3d14b5a23e41fd273deb",
            licence="MSRLA",
            note="accept the licence on its page first, then hf auth login",
            model_types=("maira2",),
        ),
    ),
    load=_load,
    prompt=prompter("maira2"),
    codec="maira2",
    # The authors' own.
    most={"report": 300, "region": 150, "abnormality": 150, "phrase": 150},
)
