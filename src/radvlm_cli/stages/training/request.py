"""From options to what is trained: recipe, settings and places of a new run, or of the one that is resumed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from radvlm_cli.errors import ConfigError
from radvlm_cli.progress import Silent
from radvlm_cli.stages.training.inputs import check_model, check_ranks, check_settings, find_places
from radvlm_cli.stages.training.runs import arguments_of_run, choose_run
from radvlm_cli.store.engine import Store, open_store
from radvlm_cli.store.training import TrainingRow
from radvlm_cli.training.launch import Ranks, node_of_this_host
from radvlm_cli.training.machines import gpus_of_a_node, named_hosts
from radvlm_cli.training.manifest import CHANGEABLE, read_manifest, settings_of
from radvlm_cli.training.program import gpus_present, require_installed
from radvlm_cli.training.recipe import Values, flat, load_recipe, nested, overlaid, parse_settings
from radvlm_cli.training.slurm import Profile, load_profile

DEFAULT_RECIPE = "radvlm-7b"
_RANKS = ("gpus", "processes", "nodes", "hosts", "slurm", "recipe")
_PLACES = ("data.table", "data.image_root", "data.held_out.table", "data.held_out.per_task", "model.path")
"""What may move; that it is still the same, the program sees by hashes."""
_CHANGES = {
    "data": ("data.sha256", "data.pairs"),
    "global_batch": ("optimization.global_batch",),
}


class Asked(NamedTuple):
    """The options as they were given; None where they were not."""

    overrides: Values
    """Settings by dotted name."""
    recipe: str | None = None
    dataset: Path | None = None
    model: Path | None = None
    held_out: Path | None = None
    image_root: Path | None = None
    output: Path | None = None
    resume: bool = False
    run: int | None = None
    allow_changed: list[str] | None = None
    settings: list[str] | None = None
    gpus: int | None = None
    processes: int | None = None
    nodes: int | None = None
    hosts: str | None = None
    slurm: bool = False
    profile: Path | None = None


class Request(NamedTuple):
    """A run that can be started."""

    settings: Values
    recipe: str
    ranks: Ranks
    node: int
    """This machine's place among `ranks.hosts`."""
    output: Path
    profile: Profile | None
    """Of the SLURM cluster that the run goes to; None: it runs here."""
    run_id: int | None
    """The run to resume; None: a new one."""
    arguments: Values
    """As the run's record keeps them."""
    may_change: tuple[str, ...]
    allow_changed: tuple[str, ...]


def make_request(store_path: Path, asked: Asked, *, say: Callable[[str], None]) -> Request:
    """Settle what is trained, on what; RadvlmError where it makes no sense or something is missing."""
    allowed = tuple(str(each).replace("-", "_") for each in asked.allow_changed or ())
    if asked.resume:
        with open_store(store_path, create=False, allow_network=True) as store:
            row = choose_run(store, asked.run, _Notes(say))
            before = arguments_of_run(store, row.run_id)
            settings = _resumed_settings(store, asked, row)
        recipe = asked.recipe or row.recipe
        asked = _with_ranks_of(asked, before)
    else:
        row, recipe = None, asked.recipe or DEFAULT_RECIPE
        settings = _new_settings(store_path, asked, recipe)
    check_settings(settings)
    profile = load_profile(asked.profile) if asked.slurm else None
    ranks = _ranks(asked, settings, profile)
    check_ranks(settings, ranks)
    own = {"recipe": recipe, **ranks._asdict(), "hosts": list(ranks.hosts), "slurm": asked.slurm}
    may_change = (*CHANGEABLE, *_RANKS, *_PLACES, *(name for each in allowed for name in _CHANGES[each]))
    return Request(
        settings=settings,
        recipe=recipe,
        ranks=ranks,
        node=node_of_this_host(ranks.hosts) if ranks.hosts else 0,
        output=(asked.output or store_path.parent / "runs").absolute() if row is None else row.folder.parent,
        profile=profile,
        run_id=None if row is None else row.run_id,
        arguments={**flat(settings), **own},
        may_change=may_change,
        allow_changed=allowed,
    )


def _new_settings(store_path: Path, asked: Asked, recipe: str) -> Values:
    settings = overlaid({"model": {}, "data": {}, "optimization": {}, "parallel": {}}, load_recipe(recipe).values)
    settings = overlaid(settings, _changes(asked))
    if asked.dataset is None:
        raise ConfigError("No dataset is named.", "--dataset FOLDER, which radvlm build --output FOLDER makes")
    if asked.model is None:
        raise ConfigError("No model is named.", "--model FOLDER, a Hugging Face folder as radvlm convert writes it")
    with ExitStack() as stack:
        store = None
        if store_path.exists():
            store = stack.enter_context(open_store(store_path, create=False, allow_network=True))
        places = find_places(
            store, model=asked.model, dataset=asked.dataset, held_out=asked.held_out, image_root=asked.image_root
        )
    return overlaid(settings, places.values())


def _resumed_settings(store: Store, asked: Asked, row: TrainingRow) -> Values:
    """The run's own settings, with what was given on top."""
    settings = settings_of(read_manifest(row.folder))
    if asked.recipe not in (None, row.recipe):
        settings = overlaid(settings, load_recipe(str(asked.recipe)).values)
    settings = overlaid(settings, _changes(asked))
    data = settings["data"]
    model = asked.model or Path(settings["model"]["path"])
    if not (asked.dataset or asked.model or asked.held_out or asked.image_root):
        check_model(model)
        return settings
    held_out, root = asked.held_out or data["held_out"]["table"], asked.image_root or data["image_root"]
    places = find_places(
        store,
        model=model,
        dataset=asked.dataset or Path(data["table"]),
        held_out=None if held_out is None else Path(held_out),
        image_root=None if root is None else Path(root),
    )
    return overlaid(settings, places.values())


def _changes(asked: Asked) -> Values:
    return overlaid(nested(parse_settings(asked.settings or ())), nested(asked.overrides))


def _with_ranks_of(asked: Asked, before: Values) -> Asked:
    """What was not said about the machines is as the run had it."""
    kept = {"gpus": before["gpus"], "processes": before["processes"], "nodes": before["nodes"]}
    if asked.gpus is not None or asked.processes is not None:
        del kept["gpus"], kept["processes"]
    if asked.hosts is not None or asked.slurm != before["slurm"]:
        del kept["nodes"]
    elif before["hosts"] and asked.nodes is None:
        kept["hosts"] = ",".join(before["hosts"])
    return asked._replace(**{name: value for name, value in kept.items() if getattr(asked, name) is None})


def _ranks(asked: Asked, settings: Values, profile: Profile | None) -> Ranks:
    hosts = named_hosts(asked)
    gpus = gpus_of_a_node(asked, profile)
    if gpus is None:
        require_installed(strategy=settings["parallel"].get("strategy", "zero2"), adapter=bool(settings.get("adapter")))
        gpus = len(gpus_present())
        if gpus == 0:
            raise ConfigError("torch sees no GPU here.", "--gpus 0 trains on the CPU (tiny models only)")
    return Ranks(gpus, asked.processes or 1, len(hosts) or asked.nodes or 1, hosts)


class _Notes(Silent):
    """Passes on notes alone."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def note(self, message: str) -> None:
        self._say(message)
