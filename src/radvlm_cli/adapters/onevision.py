"""LLaVA-OneVision: RadVLM, which is one, and the general model that it was made from."""

from __future__ import annotations

from radvlm_cli.adapters.prompts import prompter
from radvlm_cli.adapters.protocol import Adapter, Card, Loading, WeightsNeed


def _load_radvlm(loading: Loading) -> Adapter:
    from radvlm_cli.adapters.onevision_model import load

    return load(loading, trained=True)


def _load_llavaov(loading: Loading) -> Adapter:
    from radvlm_cli.adapters.onevision_model import load

    return load(loading, trained=False)


_TYPES = ("llava_onevision",), ("llava_qwen", "llava", "qwen2")
"""Of what is loaded, and of what the original training code writes."""

RADVLM = Card(
    name="radvlm",
    title="RadVLM",
    tasks=frozenset({"report", "classification", "region", "abnormality", "phrase", "detection", "conversation"}),
    weights=(
        WeightsNeed(
            "KrauthammerLab/RadVLM",
            None,
            "PhysioNet Credentialed Health Data License",
            "the published weights are at https://physionet.org/content/radvlm-model/1.0.0/ for credentialed users",
            *_TYPES,
        ),
    ),
    load=_load_radvlm,
    prompt=prompter("radvlm"),
    codec="radvlm",
)

LLAVAOV = Card(
    name="llavaov",
    title="LLaVA-OneVision-7B-SI",
    tasks=frozenset({"report", "conversation"}),
    weights=(WeightsNeed("llava-hf/llava-onevision-qwen2-7b-si-hf", None, "Apache-2.0", "", *_TYPES),),
    load=_load_llavaov,
    prompt=prompter("llavaov"),
)
