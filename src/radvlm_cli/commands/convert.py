"""radvlm convert: checkpoints of every form as one Hugging Face folder."""

from __future__ import annotations

from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from radvlm_cli.commands import options
from radvlm_cli.commands.output import print_json, say
from radvlm_cli.commands.running import all_or_nothing, stage_run, unrecorded
from radvlm_cli.config import configured_settings

if TYPE_CHECKING:
    from radvlm_cli.stages.convert import Converted


class Type(StrEnum):
    """Types of weights."""

    bfloat16 = "bfloat16"
    float16 = "float16"
    float32 = "float32"


def convert(
    path: Annotated[Path, typer.Argument(help="Checkpoint, adapter, or run of radvlm train.", show_default=False)],
    output: Annotated[
        Path | None, typer.Option("--output", help="Folder to make.", show_default="PATH_hf beside the input")
    ] = None,
    base: Annotated[
        Path | None, typer.Option("--base", help="Model of an adapter.", show_default="the one that the adapter names")
    ] = None,
    tokenizer: Annotated[
        Path | None,
        typer.Option("--tokenizer", help="Folder with the tokenizer.", show_default="the checkpoint's, or its base's"),
    ] = None,
    vision_config: Annotated[
        Path | None,
        typer.Option("--vision-config", help="JSON of another SigLIP tower.", show_default="so400m-patch14-384"),
    ] = None,
    dtype: Annotated[Type | None, typer.Option(help="Type to write.", show_default="the checkpoint's own")] = None,
    add_rows: Annotated[
        bool, typer.Option("--add-rows", help="Lengthen an embedding that has no row left for <image> and <video>.")
    ] = False,
    verify: Annotated[
        bool,
        typer.Option("--verify/--no-verify", help="Read the folder anew, compare every tensor, generate an answer."),
    ] = True,
    force: Annotated[bool, typer.Option("--force", help="Replace the output folder if it exists.")] = False,
    data_dir: options.DataDir = None,
    store: options.StorePath = None,
    as_json: options.Json = False,
    allow_network_store: options.AllowNetworkStore = False,
) -> None:
    """Convert a checkpoint to one Hugging Face folder that transformers and vLLM load.

    Takes lmms-lab and LLaVA-NeXT checkpoints, DeepSpeed shards, LoRA adapters (merged), and runs of radvlm train.
    Works offline. Every tensor must be known; any that is missing, left over or misshapen is named.

    Examples:

      radvlm convert checkpoints/llava-onevision-qwen2-7b-si --output models/onevision-7b

      radvlm convert runs/12 --base models/onevision-7b --output models/radvlm-7b
    """
    from radvlm_cli.stages.convert import Options, output_of, record
    from radvlm_cli.stages.convert import convert as stage

    wanted = Options(
        source=path,
        output=output,
        base=base,
        tokenizer=tokenizer,
        vision_config=vision_config,
        dtype=dtype.value if dtype else None,
        add_rows=add_rows,
        verify=verify,
        force=force,
    )
    paths = {"source": path, "output": output_of(wanted), "base": base, "tokenizer": tokenizer, "vision": vision_config}
    places = {name: str(place.absolute()) for name, place in paths.items() if place is not None}
    arguments = {**places, "dtype": wanted.dtype, "add_rows": add_rows, "verify": verify}
    settings = configured_settings(data_dir=data_dir, store=store)
    with all_or_nothing(), ExitStack() as stack:
        if settings is None:
            progress, stop = stack.enter_context(unrecorded())
            converted = stage(wanted, progress=progress, stop=stop)
        else:
            run = stack.enter_context(
                stage_run("convert", arguments, settings, resume=False, allow_network=allow_network_store)
            )
            with all_or_nothing():
                converted = stage(wanted, progress=run.progress, stop=run.stop)
            record(run, converted)
    _print(converted, as_json, recorded=settings is not None)


def _print(converted: Converted, as_json: bool, *, recorded: bool) -> None:
    if as_json:
        print_json({**converted._asdict(), "recorded": recorded})
        return
    size = f"{converted.tensors:,} tensors, {_bytes(converted.bytes)}, {converted.dtype}"
    if not converted.files:
        say(f"Nothing to do: {converted.output} is in the Hub's layout already ({size}). --output DIR writes it anew.")
    else:
        tied = "lm_head tied to the embedding" if converted.tied else "lm_head of its own"
        say(f"Converted {converted.kind}: {size}, {tied}, in {converted.seconds:,.0f} s.")
    if converted.verified is not None:
        say(f"Verified: {converted.verified:,} tensors equal to the source, all finite.")
        say(f"Generation: {converted.generation}{'' if converted.answer is None else f': {converted.answer!r}'}")
    if not recorded:
        say("Not recorded: neither a store nor a data folder is set (--store, DATA_DIR).")
    print(converted.output)


def _bytes(size: int) -> str:
    return f"{size / 1e9:,.2f} GB" if size >= 10**9 else f"{size / 1e6:,.2f} MB"
