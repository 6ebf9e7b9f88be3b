"""From a tensor's name in a checkpoint to its name on the Hub. Every name must match exactly one rule.

Three layouts are known: `original` (lmms-lab, LLaVA-NeXT: model.mm_projector.0), `hub` (transformers 4.45 and later,
vLLM: multi_modal_projector.linear_1) and `native` (the module names of transformers 5: model.multi_modal_projector).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from radvlm_cli.errors import DataError

SHOWN = 5
"""Names of a kind that an error lists before it only counts."""


class Rule(NamedTuple):
    """A name that matches the whole `pattern` becomes `name`; None leaves the tensor out."""

    pattern: re.Pattern[str]
    name: str | None


class Layout(NamedTuple):
    """How a family of checkpoints names its tensors."""

    name: str
    mark: re.Pattern[str]
    """A name that only this layout has."""
    rules: tuple[Rule, ...]


_DECODER = (
    r"(layers\.\d+\.(?:self_attn\.[qkvo]_proj|mlp\.(?:gate|up|down)_proj|(?:input|post_attention)_layernorm)|norm)"
)
_PARAMETER = r"\.(weight|bias)"
_VISION = r"(embeddings|encoder|post_layernorm)\.(.+\.(?:weight|bias)|weight|bias)"
_COMPUTED = r".*\.(?:inv_freq|position_ids)"
"""Buffers that older versions saved and every version computes."""


def _layout(name: str, mark: str, *rules: tuple[str, str | None]) -> Layout:
    made = (Rule(re.compile(pattern), to) for pattern, to in (*rules, (_COMPUTED, None)))
    return Layout(name, re.compile(mark), tuple(made))


LAYOUTS = (
    _layout(
        "original",
        r"model\.(?:mm_projector|vision_tower\.vision_tower)\..+",
        (r"model\.embed_tokens\.weight", "language_model.model.embed_tokens.weight"),
        (rf"model\.{_DECODER}{_PARAMETER}", r"language_model.model.\1.\2"),
        (r"lm_head\.weight", "language_model.lm_head.weight"),
        (r"model\.image_newline", "image_newline"),
        (rf"model\.mm_projector\.0{_PARAMETER}", r"multi_modal_projector.linear_1.\1"),
        (rf"model\.mm_projector\.2{_PARAMETER}", r"multi_modal_projector.linear_2.\1"),
        (rf"model\.vision_tower\.vision_tower\.vision_model\.{_VISION}", r"vision_tower.vision_model.\1.\2"),
    ),
    _layout(
        "native",
        r"model\.(?:multi_modal_projector|language_model|vision_tower\.encoder)\..+",
        (r"model\.language_model\.embed_tokens\.weight", "language_model.model.embed_tokens.weight"),
        (rf"model\.language_model\.{_DECODER}{_PARAMETER}", r"language_model.model.\1.\2"),
        (r"lm_head\.weight", "language_model.lm_head.weight"),
        (r"model\.image_newline", "image_newline"),
        (rf"model\.multi_modal_projector\.(linear_[12]){_PARAMETER}", r"multi_modal_projector.\1.\2"),
        (rf"model\.vision_tower\.{_VISION}", r"vision_tower.vision_model.\1.\2"),
    ),
    _layout(
        "hub",
        r"(?:multi_modal_projector|language_model)\..+",
        (r"language_model\.model\.embed_tokens\.weight", "language_model.model.embed_tokens.weight"),
        (rf"language_model\.model\.{_DECODER}{_PARAMETER}", r"language_model.model.\1.\2"),
        (r"language_model\.lm_head\.weight", "language_model.lm_head.weight"),
        (r"image_newline", "image_newline"),
        (rf"multi_modal_projector\.(linear_[12]){_PARAMETER}", r"multi_modal_projector.\1.\2"),
        # transformers 5 leaves `vision_model.` out where it saves a model that was made from a configuration.
        (rf"vision_tower\.(?:vision_model\.)?{_VISION}", r"vision_tower.vision_model.\1.\2"),
    ),
    _layout(
        "qwen2",
        r"model\.(?:embed_tokens\.weight|layers\..+)",
        (r"model\.embed_tokens\.weight", "language_model.model.embed_tokens.weight"),
        (rf"model\.{_DECODER}{_PARAMETER}", r"language_model.model.\1.\2"),
        (r"lm_head\.weight", "language_model.lm_head.weight"),
    ),
)
"""In the order in which a checkpoint is compared with them; `qwen2` is a language model alone, a base of adapters."""


def find_layout(names: Iterable[str], where: str) -> Layout:
    """The first layout that one of the names is a mark of; DataError if there is none."""
    names = list(names)
    for layout in LAYOUTS:
        if any(layout.mark.fullmatch(name) for name in names):
            return layout
    raise DataError(
        f"{where} is no LLaVA-OneVision checkpoint: {listed('tensor', names)}.",
        "Convert a checkpoint of LLaVA-NeXT, of lmms-lab/llava-onevision-qwen2-*, or of radvlm train",
    )


def rename(names: Iterable[str], layout: Layout, where: str) -> dict[str, str]:
    """Source name by Hub name, for the tensors that are kept.

    DataError, naming the first few, for names that no rule or more than one matches, and for two that become one.
    """
    sources: dict[str, list[str]] = {}
    unknown: list[str] = []
    doubly: list[str] = []
    for name in names:
        found = [(rule, match) for rule in layout.rules if (match := rule.pattern.fullmatch(name))]
        if len(found) != 1:
            (doubly if found else unknown).append(name)
        elif (rule := found[0][0]).name is not None:
            sources.setdefault(found[0][1].expand(rule.name), []).append(name)
    twice = [" and ".join(group) for group in sources.values() if len(group) > 1]
    faults = {
        f"unknown to the rules of the {layout.name} layout": unknown,
        "matched by more than one rule": doubly,
        "that become the same tensor": twice,
    }
    raise_faults(where, faults)
    return {name: group[0] for name, group in sources.items()}


def raise_faults(where: str, faults: Mapping[str, list[str]], hint: str | None = None) -> None:
    """DataError that lists, for each kind of fault that has names, the first few and the count."""
    found = [f"{listed('tensor', names)} {fault}" for fault, names in faults.items() if names]
    if found:
        raise DataError("\n  ".join([f"{where} was not converted:", *found]), hint)


def listed(what: str, names: list[str]) -> str:
    """`7 tensors (a, b, c, d, e, ...)`."""
    shown = ", ".join([*names[:SHOWN], *(["..."] if len(names) > SHOWN else [])])
    return f"{len(names)} {what}{'' if len(names) == 1 else 's'} ({shown})"
