"""CheXagent-2: answers about one chest X-ray, boxes in tags. What it is, and how it is asked."""

from __future__ import annotations

from radvlm_cli.adapters.prompts import prompter
from radvlm_cli.adapters.protocol import Adapter, Card, Loading, WeightsNeed


def _load(loading: Loading) -> Adapter:
    from radvlm_cli.adapters.chexagent_model import CheXagentAdapter

    return CheXagentAdapter(loading)


CARD = Card(
    name="chexagent",
    title="CheXagent-2 3B",
    tasks=frozenset({"report", "classification", "region", "abnormality", "phrase"}),
    weights=(
        WeightsNeed(
            "StanfordAIMI/CheXagent-2-3b",
            "8f19b53a2eceda4c33b0acec6c81fbc293ad80d0",
            licence="cc-by-nc-4.0",
            model_types=("chexagent",),
        ),
    ),
    load=_load,
    prompt=prompter("chexagent"),
    codec="chexagent",
)

SRRG_CARD = Card(
    name="chexagent-srrg",
    title="CheXagent-2 3B, structured findings",
    # Fine-tuned for one prompt; what is left of the other tasks nobody has shown.
    tasks=frozenset({"report"}),
    weights=(
        WeightsNeed(
            "StanfordAIMI/CheXagent-2-3b-srrg-findings",
            "9f7225fc382ddd1297ade1aa796da660237940bc",
            licence="cc-by-nc-4.0",
            model_types=("chexagent",),
        ),
    ),
    load=_load,
    prompt=prompter("chexagent-srrg"),
)
