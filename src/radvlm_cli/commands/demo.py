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
        int, typer.Option(help="Ordinary patients per source; the more, the more there is to learn from.")
    ] = 100,
    fast: Annotated[bool, typer.Option("--fast", help="Leave training out: about a minute.")] = False,
) -> None:
    """Run the pipeline on phantom data: no key, no download, no GPU.

    Writes a small synthetic world in the official layouts of all sources, then types the same commands that you
    would, up to the scores of a tiny model that it trains for two minutes. Run it again and it goes on where it
    stopped.

    Examples:

      radvlm demo

      radvlm demo --data-only /tmp/phantoms --patients 300
    """
    from radvlm_cli.demo.world import write_world
    from radvlm_cli.stages.demo import (
        compare_models,
        compare_with_truth,
        evaluate_models,
        run_commands,
        train_tiny,
        write_page,
    )

    # As it was given: a relative folder gives commands, and a model's name, that can be read and typed.
    world = data_only or keep / "data"
    say(f"Phantom datasets, seed {seed}: {world}")
    # Demo texts are written by the commands themselves; --data-only gives a world that has them.
    manifest = write_world(world, seed=seed, patients=patients, with_generated=bool(data_only))
    if data_only:
        print(world)
        return
    run_commands(keep, world)
    rows = compare_with_truth(keep, manifest)
    print_table(rows, title="Built, beside the phantom world's own count")
    wrong = [row for row in rows if row["true"] != row["built"] or not row["built"]]
    if wrong:
        say(f"{len(wrong)} components are empty or differ from the manifest.")
        raise typer.Exit(4)
    evaluate_models(keep, world, None if fast else train_tiny(keep, world))
    print_table(compare_models(keep), title="\nScores on held-out phantoms, with 95% intervals (n: samples):")
    print(write_page(keep, world))
