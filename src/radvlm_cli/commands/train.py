"""radvlm train: fine-tune LLaVA-OneVision on a built dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from radvlm_cli.commands import options
from radvlm_cli.commands import train_options as given_as
from radvlm_cli.commands.output import print_json, print_table, say
from radvlm_cli.commands.running import DETACHING, places_in_hints, stage_run, unrecorded, with_places
from radvlm_cli.config import Settings, load_settings
from radvlm_cli.errors import ConfigError

if TYPE_CHECKING:
    from radvlm_cli.stages.training.request import Request
    from radvlm_cli.stages.training.train import Trained

_STOPPING = "Stopping: the program saves a checkpoint and ends; once more to stop at once."


def train(
    gpus: given_as.Gpus = None,
    processes: given_as.Processes = None,
    recipe: given_as.RecipeName = None,
    dataset: given_as.Dataset = None,
    model: given_as.Model = None,
    held_out: given_as.HeldOut = None,
    image_root: given_as.ImageRoot = None,
    output: given_as.Output = None,
    data_dir: options.DataDir = None,
    store: options.StorePath = None,
    resume: options.Resume = False,
    run: given_as.RunNumber = None,
    allow_changed: given_as.AllowChanged = None,
    list_runs: given_as.ListRuns = False,
    follow: given_as.Follow = None,
    stop: given_as.Stop = None,
    preflight: given_as.Preflight = False,
    dry_run: options.DryRun = False,
    learning_rate: given_as.LearningRate = None,
    vision_learning_rate: given_as.VisionRate = None,
    global_batch: given_as.GlobalBatch = None,
    epochs: given_as.Epochs = None,
    max_steps: given_as.MaxSteps = None,
    seed: given_as.Seed = None,
    adapter: given_as.AdapterKind = None,
    label_mask: given_as.LabelMask = None,
    loss_norm: given_as.LossNorm = None,
    max_length: given_as.MaxLength = None,
    settings: given_as.Settings = None,
    strategy: given_as.StrategyName = None,
    micro_batch: given_as.MicroBatch = None,
    max_image_side: given_as.MaxImageSide = None,
    packing: given_as.PackingTokens = None,
    attn: given_as.AttentionName = None,
    compile: given_as.Compile = None,
    workers: given_as.Workers = None,
    save_minutes: given_as.SaveMinutes = None,
    save_steps: given_as.SaveSteps = None,
    evaluate_steps: given_as.EvaluateSteps = None,
    report_to: given_as.ReportTo = None,
    nodes: options.Nodes = None,
    slurm: options.Slurm = False,
    profile: options.ProfileFile = None,
    hosts: options.Hosts = None,
    as_json: options.Json = False,
    allow_network_store: options.AllowNetworkStore = False,
) -> None:
    """Fine-tune LLaVA-OneVision: checkpoints that are complete or absent, resumable to the step on any number of GPUs.

    Ctrl-C saves a checkpoint and stops; --resume goes on. See docs/training.md.

    Examples:

      radvlm train --gpus 8 --dataset datasets/train --model models/llava-onevision-qwen2-7b-si-hf

      radvlm train --gpus 4 --resume
    """
    given = dict(locals())
    with places_in_hints():
        _chosen(load_settings(data_dir=data_dir, store=store), given)


def _chosen(where: Settings, given: dict[str, Any]) -> None:
    """Do what the options choose: look at runs, plan one, try it, or train."""
    if given["list_runs"] or given["stop"] is not None or given["follow"] is not None:
        _look(where, given)
        return
    if given["run"] is not None and not given["resume"]:
        raise ConfigError("--run goes with --resume.", f"radvlm train --resume --run {given['run']}")

    from radvlm_cli.stages.training.request import Asked, make_request

    own = {name: given[name] for name in Asked._fields if name in given}
    request = make_request(where.store, Asked(**own, overrides=given_as.overrides(given)), say=say)
    if given["dry_run"]:
        _dry_run(request, given["as_json"])
    elif given["preflight"]:
        _preflight(request, given["as_json"])
    else:
        _train(where, request, given)


def _train(where: Settings, request: Request, given: dict[str, Any]) -> None:
    from radvlm_cli.stages.training.inputs import check_machine, warn_of_room
    from radvlm_cli.stages.training.train import submit
    from radvlm_cli.stages.training.train import train as stage

    if request.profile is None:
        check_machine(request.settings, request.ranks)
    with stage_run(
        "train",
        request.arguments,
        where,
        resume=request.run_id is not None,
        allow_network=given["allow_network_store"],
        stopping=_STOPPING,
        side_by_side=True,
        run_id=request.run_id,
        may_change=request.may_change,
    ) as run:
        warn_of_room(request.settings, request.output, run.progress)
        done = stage(run, request) if request.profile is None else submit(run, request)
    _print(done, given["as_json"])


def _print(done: Trained, as_json: bool) -> None:
    if as_json:
        print_json(done.row())
    elif done.job_id is not None:
        say(with_places(f"Run {done.run_id} waits in SLURM as job {done.job_id}: radvlm train --follow {done.run_id}"))
        print(done.job_id)
    else:
        loss = "" if done.loss is None else f", loss {done.loss:.4f}"
        say(f"Run {done.run_id} is done: {done.step:,} steps{loss}." if done.step else f"Run {done.run_id} is done.")
        print(done.final or done.checkpoint or done.folder)


def _dry_run(request: Request, as_json: bool) -> None:
    from radvlm_cli.stages.training.plan import plan, plan_rows
    from radvlm_cli.training import slurm

    script = None
    if request.profile is not None:
        folder = request.output / "RUN"
        ranks = request.ranks
        script = slurm.render(request.profile, run_id=0, folder=folder, ranks=ranks)
    say("Counting the dataset; the counts are kept for training.")
    found = plan(request.settings, request.ranks, request.output)
    if as_json:
        print_json({**found._asdict(), "script": script})
        return
    print_table(plan_rows(found), title="radvlm train would need about:")
    if script is not None:
        print(f"\nand submit this script:\n\n{script}", end="")


def _preflight(request: Request, as_json: bool) -> None:
    from radvlm_cli.stages.training.inputs import check_machine
    from radvlm_cli.stages.training.plan import preflight

    check_machine(request.settings, request.ranks)
    with unrecorded() as (progress, stop):
        measured = preflight(request.settings, request.ranks, request.output, progress=progress, stop=stop)
    print_json(measured) if as_json else print_table([measured], title="Three steps on real data:")


def _look(where: Settings, given: dict[str, Any]) -> None:
    """--list, --stop and --follow."""
    from radvlm_cli.stages.training.runs import arguments_of_run, followed_run, list_runs, stop_run
    from radvlm_cli.stages.training.train import follow
    from radvlm_cli.store.engine import open_store

    run_id, network = given["follow"], given["allow_network_store"]
    with open_store(where.store, create=False, allow_network=network) as store:
        if given["list_runs"]:
            rows = list_runs(store)
            print_json(rows) if given["as_json"] else print_table(rows, spare=("started", "recipe"))
            return
        if given["stop"] is not None:
            row = stop_run(store, given["stop"])
            resume = with_places(f"radvlm train --resume --run {row.run_id}")
            say(f"Run {row.run_id} saves a checkpoint and ends. Go on: {resume}")
            return
        arguments = arguments_of_run(store, followed_run(store, run_id).run_id)
    with stage_run(
        *("train", arguments, where),
        resume=True,
        allow_network=network,
        stopping=DETACHING,
        side_by_side=True,
        run_id=run_id,
    ) as run:
        done = follow(run)
    _print(done, given["as_json"])
