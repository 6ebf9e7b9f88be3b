"""How long do prepare and build take on tables of the published size, and how much memory?

    python benchmarks/prepare_and_build.py [--scale 1.0] [--folder bench]

Prints CPU seconds (user + system, children included), wall seconds, peak resident memory and pairs per second. The
yardstick in the same run is a lean script over the same generated files: list, read and write them as one JSON file.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from million_pairs import write_world


class Cost(NamedTuple):
    """What one command took."""

    cpu_s: float
    wall_s: float
    peak_mib: float

    def line(self, name: str) -> str:
        """One row of the result."""
        return f"{name:28} {self.cpu_s:8.1f} CPU s {self.wall_s:8.1f} s wall {self.peak_mib:8.0f} MiB"


def measure(*command: str) -> Cost:
    """Run a command to its end."""
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdout=sys.stderr)
    _pid, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 4):
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return Cost(usage.ru_utime + usage.ru_stime, time.perf_counter() - begun, usage.ru_maxrss / 1024)


def lean_loop(world: Path, output: Path) -> None:
    """Read every generated file and write all texts as one JSON array: the least that any build must do."""
    folders = [
        "MIMIC-CXR-JPG/filtered_reports",
        "MIMIC-CXR-JPG/conversations/train/standard",
        "MIMIC-CXR-JPG/conversations/train/grounding",
        "CheXpert/filtered_reports",
        "PadChest/conversations/train/grounding",
    ]
    with output.open("w") as stream:
        stream.write("[\n")
        for folder in folders:
            for entry in os.scandir(world / folder):
                text = Path(entry.path).read_text()
                json.dump({"id": entry.name, "text": text}, stream)
                stream.write(",\n")
        stream.write("{}]\n")


def main() -> None:
    """Make the world if it is not there, then measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the published size")
    parser.add_argument("--folder", type=Path, default=Path("bench"), help="where the world is made (about 6 GB)")
    parser.add_argument("--lean", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    world, store = options.folder / f"world-{options.scale}", options.folder / f"store-{options.scale}" / "radvlm.db"
    if options.lean:
        lean_loop(world, options.folder / "lean.json")
        return
    if not (world / "complete").exists():
        begun = time.perf_counter()
        write_world(world, options.scale)
        (world / "complete").touch()
        print(f"made the world in {time.perf_counter() - begun:.0f} s", file=sys.stderr)
    for leftover in store.parent.glob("radvlm*"):
        leftover.unlink()
    radvlm = (sys.executable, "-m", "radvlm_cli")
    where = ("--data-dir", str(world), "--store", str(store), "--derived-dir", str(store.parent / "derived"))
    lean = measure(sys.executable, __file__, "--scale", str(options.scale), "--folder", str(options.folder), "--lean")
    prepare = measure(*radvlm, "prepare", "--source", "all", "--tables-only", *where)
    again = measure(*radvlm, "prepare", "--source", "all", "--tables-only", *where)
    build = measure(*radvlm, "build", "--output", str(store.parent / "train"), *where)
    with (store.parent / "train" / "train.json").open() as stream:
        pairs = sum(1 for line in stream if line.startswith("{"))
    print(lean.line("lean loop over the files"))
    print(prepare.line("radvlm prepare"))
    print(again.line("radvlm prepare, again"))
    print(build.line("radvlm build"))
    total = prepare.cpu_s + build.cpu_s
    print(
        f"{pairs:,} pairs; prepare + build {total:.1f} CPU s ({total / lean.cpu_s:.2f} x the lean loop), "
        f"build {pairs / build.cpu_s:,.0f} pairs per CPU second, {pairs / build.wall_s:,.0f} per second"
    )
    print(
        f"store {store.stat().st_size / 2**20:,.0f} MiB; this process's children peaked at "
        f"{resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024:,.0f} MiB"
    )


if __name__ == "__main__":
    main()
