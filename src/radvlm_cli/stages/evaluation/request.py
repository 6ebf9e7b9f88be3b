"""From options to what is evaluated: model, tasks, test sets, machines; of a new run, or of the one that is resumed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from radvlm_cli.adapters import most_tokens
from radvlm_cli.adapters.protocol import Device, Protocols, Task
from radvlm_cli.documents import load_yaml
from radvlm_cli.errors import ConfigError
from radvlm_cli.stages.evaluation.models import (
    Model,
    backend,
    find_card,
    find_model,
    require_packages,
    wanted_tasks,
    weights_identity,
)
from radvlm_cli.stages.evaluation.runs import arguments_of_run, choose_run
from radvlm_cli.store.engine import open_store
from radvlm_cli.training.launch import Ranks, node_of_this_host
from radvlm_cli.training.machines import gpus_of_a_node, named_hosts
from radvlm_cli.training.program import gpus_present
from radvlm_cli.training.slurm import Profile, load_profile

Values = dict[str, Any]
DTYPES = ("auto", "float32", "bfloat16", "float16")
MACHINES = ("gpus", "processes", "nodes", "hosts", "slurm")
"""What decides no answer: a resumed run may have others."""
MAY_CHANGE = (*MACHINES, "zero_retention")
_KEPT = (
    *("model", "task", "weights", "dataset", "batch", "dtype", "attn", "protocol", "base_url", "limit", "seed"),
    *("max_new_tokens", "set", "zero_retention", *MACHINES),
)


class Asked(NamedTuple):
    """The options as they were given; None where they were not."""

    model: str | None = None
    task: list[str] | None = None
    weights: list[Path] | None = None
    dataset: str | None = None
    gpus: int | None = None
    processes: int | None = None
    batch: str | None = None
    dtype: str | None = None
    attn: str | None = None
    protocol: Protocols | None = None
    base_url: str | None = None
    limit: int | None = None
    seed: int | None = None
    max_new_tokens: int | None = None
    set: list[str] | None = None
    zero_retention: bool | None = None
    """Whether the endpoint is known to keep nothing."""
    output: Path | None = None
    nodes: int | None = None
    hosts: str | None = None
    slurm: bool = False
    profile: Path | None = None
    resume: bool = False
    run: int | None = None
    again: bool = False


class Request(NamedTuple):
    """An evaluation that can be started."""

    model: Model
    tasks: tuple[Task, ...]
    dataset: str | None
    loading: Values
    """Fields of adapters.protocol.Loading, as JSON."""
    batch: int | Literal["auto"]
    limit: int | None
    seed: int
    max_new_tokens: int | None
    ranks: Ranks
    node: int
    """This machine's place among `ranks.hosts`."""
    profile: Profile | None
    """Of the SLURM cluster that the run goes to; None: it runs here."""
    output: Path
    again: bool
    zero_retention: bool
    run_id: int | None
    """The run to resume; None: a new one."""
    arguments: Values
    """As the run's record keeps them."""
    decides: Values
    """What decides the answers besides test set, prompts and most new tokens."""

    def most(self, task: Task) -> int:
        """Most new tokens of an answer."""
        return self.max_new_tokens or most_tokens(self.model.card, task)

    def identity(self, test_set: str, task: Task, prompts: str) -> Values:
        """What decides the answers to a test set of that key, asked with prompts of that hash."""
        decoding = {"greedy": True, "most": self.most(task)}
        return {**self.decides, "test_set": test_set, "prompts": prompts, "decoding": decoding}


def make_request(store_path: Path, asked: Asked, *, say: Callable[[str], None]) -> Request:
    """Settle what is evaluated; RadvlmError where it makes no sense or something is missing."""
    run_id = None
    with open_store(store_path, create=False, allow_network=True) as store:
        if asked.resume:
            run_id = choose_run(store, asked.run, say)
            asked = _as_before(asked, arguments_of_run(store, run_id))
        if asked.model is None:
            raise ConfigError("No model is named.", "--model NAME; radvlm eval --list shows which there are")
        # First the task: nobody is to get weights for one that the model cannot do.
        tasks = tuple(wanted_tasks(find_card(asked.model), asked.task or ()))
        model = find_model(store, asked.model, asked.weights or ())
    require_packages(model)
    profile = load_profile(asked.profile) if asked.slurm else None
    ranks = settle_ranks(asked, model, profile)
    device: Device = "cuda" if ranks.gpus else "cpu"
    loading = settle_loading(asked, model, device)
    batch = settle_batch(asked.batch or "auto")
    decides = {
        "model": model.card.name,
        "card": model.card.version,
        "weights": weights_identity(model, say),
        "backend": backend(model),
        "batch": batch,
        **{name: loading[name] for name in ("device", "dtype", "attention", "protocol", "options")},
    }
    said = asked._replace(**ranks._asdict() | {"hosts": ",".join(ranks.hosts) or None})._asdict()
    return Request(
        model=model,
        tasks=tasks,
        dataset=asked.dataset,
        loading=loading,
        batch=batch,
        limit=asked.limit,
        seed=asked.seed or 0,
        max_new_tokens=asked.max_new_tokens,
        ranks=ranks,
        node=node_of_this_host(ranks.hosts) if ranks.hosts else 0,
        profile=profile,
        output=(asked.output or store_path.parent / "evaluations").absolute(),
        again=asked.again,
        zero_retention=bool(asked.zero_retention),
        run_id=run_id,
        arguments=json.loads(json.dumps({name: said[name] for name in _KEPT}, default=str)),
        decides=json.loads(json.dumps(decides)),
    )


def _as_before(asked: Asked, before: Values) -> Asked:
    """What was not said is as the run had it; the machines of one kind together."""
    kept = dict(before)
    if asked.gpus is not None or asked.processes is not None:
        del kept["gpus"], kept["processes"]
    if asked.hosts is not None or asked.nodes is not None or asked.slurm != before["slurm"]:
        kept |= {"nodes": None, "hosts": None}
    if kept.get("hosts"):
        kept["nodes"] = None
    if kept.get("gpus"):
        kept["processes"] = None
    if kept.get("weights"):
        kept["weights"] = [Path(path) for path in kept["weights"]]
    del kept["slurm"]
    return asked._replace(**{name: value for name, value in kept.items() if getattr(asked, name) is None})


def settle_loading(asked: Asked, model: Model, device: Device) -> Values:
    """How the model is loaded: the fields of Loading, as JSON."""
    dtype = asked.dtype or "auto"
    if dtype not in DTYPES:
        raise ConfigError(f"There is no dtype {dtype!r}; there are {', '.join(DTYPES)}.", "--dtype auto")
    if model.name.startswith("endpoint:") and asked.base_url is None:
        raise ConfigError(f"Where {model.name} is served is not said.", "--base-url http://localhost:8000/v1")
    return {
        "weights": [str(path) for path in model.weights],
        "device": device,
        "dtype": dtype,
        "attention": asked.attn,
        "protocol": asked.protocol or "default",
        "base_url": asked.base_url,
        "options": _options(asked.set or ()),
    }


def _options(given: Sequence[str]) -> Values:
    """`--set` options, each NAME=VALUE with the value in YAML."""
    options = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise ConfigError(f"--set {text!r} is not NAME=VALUE.", "--set max_image_side=768")
        options[name.strip()] = load_yaml(value, f"--set {name}")
    return options


def settle_batch(given: str) -> int | Literal["auto"]:
    """How many samples go together."""
    if given == "auto":
        return "auto"
    if not given.isdigit() or int(given) < 1:
        raise ConfigError(f"--batch {given} is neither auto nor a number from 1 on.", "--batch auto")
    return int(given)


def settle_ranks(asked: Asked, model: Model, profile: Profile | None) -> Ranks:
    """On what to run: a model without weights of its own needs no GPU."""
    hosts = named_hosts(asked)
    gpus = gpus_of_a_node(asked, profile) if model.weights else 0
    if gpus != 0 and profile is None and not hosts:
        present = len(gpus_present())
        gpus = present if gpus is None else gpus
        if gpus == 0:
            raise ConfigError("torch sees no GPU here.", "--gpus 0 evaluates on the CPU (slow but for tiny models)")
        if present < gpus:
            hint = f"--gpus {present}" if present else "--gpus 0 evaluates on the CPU (slow but for tiny models)"
            raise ConfigError(f"{gpus} GPUs are asked for; torch sees {present}.", hint)
    return Ranks(gpus or 0, asked.processes or 1, len(hosts) or asked.nodes or 1, hosts)
