"""radvlm demo: the whole pipeline on phantoms."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from radvlm_cli.commands.output import print_table, say


def demo(
    data_only: Annotated[
        Path | None, typer.Option("--data-only", help="Write the phantom datasets to this folder and stop.")
    ] = None,
    keep: Annotated[Path, typer.Option("--keep", help="Folder for everything that the demo makes.")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="Another seed gives other phantoms.")] = 0,
    patients: Annotated[
        int | None,
        typer.Option(help="Ordinary patients per source; hundreds of them make enough images to learn from."),
    ] = None,
    fast: Annotated[bool, typer.Option("--fast", help="Leave training out.")] = False,
) -> None:
    """Run the pipeline on phantom data: no key, no download, no GPU.

    Writes a small synthetic world in the official layouts of all sources, then types the same commands that you
    would. Run it again and it goes on where it stopped.

    Examples:

      radvlm demo

      radvlm demo --data-only /tmp/phantoms --patients 300
    """
    from radvlm_cli.demo.world import PATIENTS, write_world
    from radvlm_cli.stages.demo import compare_with_truth, run_commands, train_tiny

    world = (data_only or keep / "data").absolute()
    say(f"Phantom datasets, seed {seed}: {world}")
    # Demo texts are written by the commands themselves; --data-only gives a world that has them.
    patients = PATIENTS if patients is None else patients
    manifest = write_world(world, seed=seed, patients=patients, with_generated=bool(data_only))
    if data_only:
        print(world)
        return
    run_commands(keep.absolute(), world)
    rows = compare_with_truth(keep.absolute(), manifest)
    print_table(rows, title="Built, beside the phantom world's own count")
    wrong = [row for row in rows if row["true"] != row["built"] or not row["built"]]
    if wrong:
        say(f"{len(wrong)} components are empty or differ from the manifest.")
        raise typer.Exit(4)
    if not fast:
        train_tiny(keep.absolute())
    print(keep.absolute() / "datasets" / "train" / "train.json")
