"""RaDialog (the LLaVA version): what is known of it before it is loaded."""

from __future__ import annotations

from radvlm_cli.adapters.prompts import prompter
from radvlm_cli.adapters.protocol import Adapter, Card, Loading, WeightsNeed


def _load(loading: Loading) -> Adapter:
    from radvlm_cli.adapters.radialog_model import load

    return load(loading)


CARD = Card(
    name="radialog",
    title="RaDialog",
    tasks=frozenset({"report", "classification", "conversation"}),
    weights=(
        WeightsNeed(
            "liuhaotian/llava-v1.5-7b",
            None,
            "Llama 2 Community License",
            "language model and tokenizer",
            model_types=("llava", "llava_llama"),
        ),
        WeightsNeed(
            "ChantalPellegrini/RaDialog-interactive-radiology-report-generation", None, "apache-2.0", "what was trained"
        ),
        WeightsNeed("microsoft/BiomedVLP-BioViL-T", "v1.0", "MIT", "the image encoder that training began from"),
    ),
    load=_load,
    prompt=prompter("radialog"),
)
