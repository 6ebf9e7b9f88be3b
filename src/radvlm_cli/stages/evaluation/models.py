"""From the name of a model to its card and weights; which tasks it can do; what is found on this machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from radvlm_cli.adapters import CARDS, KINDS, card
from radvlm_cli.adapters.answers import extract
from radvlm_cli.adapters.protocol import GROUNDING, Card, Task
from radvlm_cli.adapters.weights import find_weights, how_to_get, identify_weights, locate
from radvlm_cli.errors import ConfigError
from radvlm_cli.program import how_to_get_models
from radvlm_cli.store.engine import Store
from radvlm_cli.store.evaluations import evaluation_row

TASKS: dict[str, tuple[Task, ...]] = {
    "report": ("report",),
    "classification": ("classification",),
    "grounding": GROUNDING,
    "detection": ("detection",),
    "conversation": ("conversation",),
}
"""What --task can say besides the tasks of test sets themselves, in the order of a table for people."""
ALL = "all"


class Model(NamedTuple):
    """A model that can be asked."""

    name: str
    """As it is kept."""
    card: Card
    weights: tuple[Path, ...]


def find_card(name: str) -> Card:
    """What is known of the model of a name, without looking for its weights. ConfigError where there is none."""
    kind, colon, _rest = name.partition(":")
    if (kind == "radvlm" and colon) or _is_folder(name):
        return card("radvlm")
    if name not in CARDS and kind not in KINDS and "/" in name:
        raise ConfigError(
            f"There is no folder {name}.", f"--model chat:{name} for a model of that name on the Hugging Face hub"
        )
    return card(name)


def find_model(store: Store | None, name: str, weights: Sequence[Path] = ()) -> Model:
    """The model of a name (see docs/eval.md), with its weights. ConfigError where it or they are not to be found."""
    found = find_card(name)
    kind, colon, rest = name.partition(":")
    if kind == "radvlm" and colon:
        return Model(name, found, find_weights(found, [*weights] or [_run_or_folder(store, rest)]))
    if _is_folder(name):
        folder = Path(name).absolute()
        return Model(f"radvlm:{folder}", found, find_weights(found, [_final(folder)]))
    if not found.weights:
        if weights:
            raise ConfigError(f"{name} is loaded from no weights.", "Leave --weights out.")
        return Model(name, found, ())
    return Model(name, found, find_weights(found, weights))


def _is_folder(name: str) -> bool:
    return name not in CARDS and name.partition(":")[0] not in KINDS and Path(name).is_dir()


def _run_or_folder(store: Store | None, rest: str) -> Path:
    if not rest.isdigit() or Path(rest).exists():
        return _final(Path(rest).absolute())
    row = None if store is None else store.value("SELECT folder FROM training WHERE run_id = ?", (int(rest),))
    if row is None:
        raise ConfigError(f"The store knows no training run {rest}.", "radvlm train --list")
    return _final(Path(row))


def _final(folder: Path) -> Path:
    """The model in a folder; of a training run's folder its final one."""
    if (folder / "checkpoints").is_dir() and (folder / "manifest.json").is_file():
        final = folder / "final"
        if not final.is_dir():
            raise ConfigError(f"The run in {folder} is not done.", f"radvlm convert {folder}, then --model its output")
        folder = final
    if (folder / "adapter_config.json").is_file():
        raise ConfigError(
            f"{folder} holds an adapter alone.", f"radvlm convert {folder}, then --model the folder that it writes"
        )
    return folder


def wanted_tasks(model: Card, asked: Sequence[str]) -> list[Task]:
    """The tasks that were asked for, of which the model can do each; ConfigError with its row where it cannot."""
    if not asked or ALL in asked:
        return [task for group in TASKS.values() for task in group if task in model.tasks]
    wanted: list[Task] = []
    for name in asked:
        group = TASKS.get(name) or tuple(task for each in TASKS.values() for task in each if task == name)
        if not group:
            known = ", ".join([*TASKS, *GROUNDING, ALL])
            raise ConfigError(f"There is no task {name!r}; there are {known}.", "radvlm eval --list")
        able = [task for task in group if task in model.tasks]
        if not able:
            raise ConfigError(f"{model.name} cannot do {name}. {_row_words(model)}", "radvlm eval --list")
        wanted += able
    return list(dict.fromkeys(wanted))


def _row_words(model: Card) -> str:
    row = task_row(model)
    can = [name for name, able in row.items() if able != "no"]
    cannot = [name for name, able in row.items() if able == "no"]
    return f"It can do {', '.join(can)}; it cannot do {', '.join(cannot)}."


def task_row(model: Card) -> dict[str, str]:
    """Task -> yes, no, or for grounding the part of it that the model can do."""
    row = {}
    for name, group in TASKS.items():
        able = [task for task in group if task in model.tasks]
        row[name] = "no" if not able else "yes" if len(able) == len(group) else ", ".join(able)
    return row


def list_models() -> list[dict[str, str]]:
    """A row per model: what it can do, whether its weights are here, and how to get what is not."""
    rows = []
    looks = find_spec("huggingface_hub") is not None
    for each in CARDS.values():
        found = [looks and locate(need) is not None for need in each.weights]
        lacking = [how_to_get(need) for need, here in zip(each.weights, found, strict=True) if not here]
        # In one line: a note must not make a comment of the commands after it.
        lacking = [
            f"{command} ({note})" if note else command for command, _, note in (x.partition("  # ") for x in lacking)
        ]
        weights = "none needed" if not each.weights else "found" if all(found) else "not found"
        rows.append({"model": each.name, **task_row(each), "weights": weights, "how to get them": "; ".join(lacking)})
    return rows


def other_kinds() -> list[str]:
    """Kinds of models that are named with what they are of, e.g. `chat`."""
    return list(KINDS)


def weights_identity(model: Model, say: Callable[[str], None] | None = None) -> dict[str, Any]:
    """What of the weights decides an answer: the hash of their files, wherever they lie."""
    return {"sha256": identify_weights(model.weights, say=say).sha256} if model.weights else {}


def backend(model: Model) -> dict[str, str]:
    """Versions of the packages that compute the answers."""
    return {name: version(name) for name in ("torch", "transformers")} if model.weights else {}


def require_packages(model: Model) -> None:
    """ConfigError where a package that the model needs is not installed; none is imported."""
    if not model.weights:
        return
    absent = [name for name in ("torch", "transformers") if find_spec(name) is None]
    if absent:
        raise ConfigError(f"{model.name} needs {', '.join(absent)}, which is not installed.", how_to_get_models())


def weights_words(model: Model, base_url: str | None) -> str | None:
    """Where the weights are, for people."""
    if model.weights:
        return str(model.weights[0]) if len(model.weights) == 1 else json.dumps([str(path) for path in model.weights])
    return base_url


def answer_of(store: Store, evaluation_id: int) -> Callable[[str, bool], str]:
    """What takes the answer out of a raw text of an evaluation; the whole, for a model that is not known any more.

    It is told whether the text was cut off: where that was while the model thought, there is no answer.
    """
    try:
        name = card(str(evaluation_row(store, evaluation_id).identity["model"])).extractor
    except ConfigError:
        name = "whole"

    def answer(text: str, cut_off: bool) -> str:
        found = extract(name, text)
        return "" if found.missing and cut_off else found.text

    return answer
