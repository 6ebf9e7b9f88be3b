"""Walk through the documentation: `python -m tests.walk [--install] [--keep FOLDER] [PAGE[:LINE] ...]` (`make walk`).

A fresh clone, one bash, every block of commands in the order of the pages. The first surprise ends it: an exit code
that is not expected, a traceback, a warning. What is not run as it is written is listed at the end, with the reason.
After it is mended and committed, `--keep FOLDER PAGE:LINE` goes on from there in the folder that was kept.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from tests.fakes.fixtures import server_process
from tests.walk.pages import ROOT, Block, blocks_of, commands_of, pages, read_blocks
from tests.walk.setting import make_setting
from tests.walk.shell import Shell, surprise_in

WALKED = (
    *("README.md", "docs/tutorial.md", "docs/report.md", "docs/chat.md", "docs/export.md"),
    *("docs/eval.md", "docs/convert.md", "docs/training.md", "docs/texts.md"),
)
"""Pages whose blocks are run, in this order; after the tutorial in the demo. All other blocks say why they are not."""
PATIENCE_S = 1800.0


class Surprise(Exception):
    """What a newcomer would not have expected."""


class Walk:
    """Goes from command to command, and keeps count."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self.run = 0
        self.changed: list[str] = []
        self.skipped: list[str] = []

    def take(self, block: Block) -> None:
        """Run a block's commands. Surprise at the first that does not do as the page says."""
        commands = commands_of(block)
        if whole := block.note("skip"):
            self.skipped += [f"{block.place}: {len(commands)} commands: {whole[0].reason}"]
            return
        for command in commands:
            self._take_command(block, command)

    def _take_command(self, block: Block, written: str) -> None:
        for note in block.note("without"):
            if written.startswith(note.old):
                self.skipped.append(f"{block.place}: {note.old}: {note.reason}")
                return
        command = written
        for note in block.note("swap"):
            if note.old in command:
                command = command.replace(note.old, note.new)
                self.changed.append(f"{block.place}: {note.old} -> {note.new}: {note.reason}")
        expected = next((int(note.new) for note in block.note("code") if written.startswith(note.old)), 0)
        print(f"\n[{block.place}] $ {command}", flush=True)
        said = self._shell.run(command, patience_s=PATIENCE_S)
        print(said.text.rstrip(), flush=True)
        print(f"[{said.seconds:,.1f} s]", flush=True)
        if said.code != expected:
            ended = "took too long" if said.code is None else f"ended with exit code {said.code}, not {expected}"
            raise Surprise(f"{block.place}: {command}\n{ended}")
        if line := surprise_in(said.text):
            raise Surprise(f"{block.place}: {command}\nsaid: {line}")
        self.run += 1

    def summary(self) -> str:
        """What was run, and what was not run as it is written."""
        parts = [f"{self.run} commands run."]
        parts += ["", f"{len(self.changed)} times something else stood in a command's place:", *_once(self.changed)]
        parts += ["", f"{len(self.skipped)} times commands were left out:", *_once(self.skipped)]
        return "\n".join(parts)


def _once(lines: list[str]) -> list[str]:
    return [f"{line} ({n} times)" if n > 1 else line for line, n in Counter(lines).items()]


def main() -> int:
    """Walk; 1 at a surprise."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("pages", nargs="*", default=WALKED, help="instead of all that are walked")
    parser.add_argument("--install", action="store_true", help="let `make` install, rather than borrow our packages")
    parser.add_argument(
        "--demo", type=Path, help="a demo made before, copied into the clone: `make demo` goes on there"
    )
    parser.add_argument("--keep", type=Path, help="a folder for clone and phantoms, which stays")
    told = parser.parse_args()
    begun = time.monotonic()
    with ExitStack() as stack:
        folder = told.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="walk-")))
        folder.mkdir(exist_ok=True)
        server = stack.enter_context(server_process("--answers", "tests.walk.answers:helpful"))
        setting = make_setting(folder.absolute(), server, borrow=not told.install)
        if told.demo and not (setting.clone / "demo").exists():
            shutil.copytree(told.demo, setting.clone / "demo")
        walk = Walk(stack.enter_context(Shell(setting.clone, setting.environment, folder)))
        try:
            if told.pages != WALKED:
                walk.take(blocks_of(ROOT / "docs" / "tutorial.md")[0])  # enters the demo
            for name, _, line in (page.partition(":") for page in told.pages):
                for block in read_blocks((setting.clone / name).read_text(encoding="utf-8"), name):
                    if block.line >= int(line or 0):
                        walk.take(block)
        except Surprise as surprise:
            print(f"\nSurprise: {surprise}\n\n{walk.summary()}", flush=True)
            return 1
    others = [page for page in pages() if str(page.relative_to(ROOT)) not in WALKED]
    told_off = [
        f"{block.place}: {len(commands_of(block))} commands: {block.note('skip')[0].reason}"
        for page in others
        for block in blocks_of(page)
        if block.note("skip")
    ]
    print("\n".join([f"\n{walk.summary()}", "", "Pages that are not walked:", *(told_off or ["none has commands"])]))
    print(f"\nNo surprise in {(time.monotonic() - begun) / 60:,.1f} min.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
