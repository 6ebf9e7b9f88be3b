"""Make the pictures in docs/images/ from a folder that `make demo` left: the real program, a real browser.

    python -m docs.screenshots [DEMO]

It runs from the root of a checkout and needs Chromium. What is seen is what a user sees at that moment: paths and times
are those of the demo that it is given, so give it one in a folder with a short name.
"""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.text import Text

from tests.reporting.browser import NAMES, Browser, browsing, find_chromium

IMAGES = Path(__file__).parent / "images"
LARGEST = 250_000
"""Bytes of a picture: readers wait for it."""
COLUMNS = 98
WIDTH = 1100
MARGIN = 6
"""Pixels of the page: its window's width, and what is seen around what is pictured."""
TRAINED = "radvlm:demo/models/trained"
TEST_SET = "mscxr-phrase-test"
"""What is shown of the samples: phrases whose boxes the demo's model has learned to find, more or less."""
RESULTS = ("imagenome-region-test", "vindr-abnormality-test")
"""Charts that stand side by side."""
FILM = "demo/data/VinDr-CXR/test/12636301f34854b3e03d36d7bad54958.dicom"
"""A held-out phantom with an enlarged heart; the demo's phantoms are always the same."""
SHOWN = (
    ("radvlm report", ("report",)),
    (
        f'film={FILM}\n$ radvlm chat $film --model {TRAINED} -p "/locate cardiomegaly" -p /boxes',
        ("chat", FILM, "--model", TRAINED, "--no-log", "-p", "/locate cardiomegaly", "-p", "/boxes"),
    ),
)
"""What is typed, and the arguments that this comes to (and --no-log: the demo stays as it is)."""
_FRAME = """<!doctype html><meta charset="utf-8"><style>
body {{ margin: 0; padding: 12px; background: #fff; display: inline-block }}
div {{ border: 1px solid #c8ccd4; border-radius: 8px; overflow: hidden }}
p {{ margin: 0; padding: 7px 12px; background: #eceef2; color: #555; font: 12px sans-serif }}
i {{ display: inline-block; width: 10px; height: 10px; border-radius: 5px; background: #c8ccd4; margin-right: 6px }}
pre {{ margin: 0; padding: 12px 14px; font: 13px/1.35 "DejaVu Sans Mono", "Liberation Mono", monospace }}
</style><div><p><i></i><i></i><i></i></p><pre>{code}</pre></div>"""


def main(arguments: list[str]) -> int:
    """Write every picture, and say where; 1 with what is missing where one cannot be made."""
    demo = Path(arguments[0] if arguments else "demo").absolute()
    if demo.name != "demo":
        print(f"{demo} is shown under its name, which must be demo", file=sys.stderr)
        return 1
    program = find_chromium()
    if program is None:
        print(
            f"There is no Chromium (looked for {', '.join(NAMES)} in PATH): apt-get install chromium", file=sys.stderr
        )
        return 1
    if not (demo / "radvlm.db").is_file():
        print(f"There is no demo in {demo}: make demo", file=sys.stderr)
        return 1
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, browsing(program, Path(scratch) / "profile") as browser:
        browser.media(scheme="light")
        _picture_terminal(browser, demo, Path(scratch))
        _picture_page(browser, demo, Path(scratch))
    return 0


def _picture_terminal(browser: Browser, demo: Path, scratch: Path) -> None:
    said = "\n".join(f"\x1b[1m$ {typed}\x1b[0m\n{_typed(arguments, demo)}" for typed, arguments in SHOWN)
    page = scratch / "terminal.html"
    page.write_text(_FRAME.format(code=_coloured(said.rstrip())), encoding="utf-8")
    browser.open(page, WIDTH, 900)
    _sharpen(browser, 1.6)
    _shoot(browser, "terminal.png", ["document.querySelector('div')"])


def _typed(arguments: tuple[str, ...], demo: Path) -> str:
    """What `radvlm` writes to a terminal, colours included. CalledProcessError where it fails."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 60, COLUMNS, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")}
    environment |= {"RADVLM_STORE": str(demo / "radvlm.db"), "TERM": "xterm-256color"}
    command = [sys.executable, "-m", "radvlm_cli", *arguments]
    with subprocess.Popen(
        command, cwd=demo.parent, stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    ) as process:
        os.close(theirs)
        said = b""
        while True:
            try:
                said += os.read(ours, 65536)
            except OSError:  # Linux's way to say that the other end is closed
                break
    os.close(ours)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, said)
    return said.decode().replace("\r\n", "\n")


def _coloured(said: str) -> str:
    console = Console(record=True, width=COLUMNS + 2, file=open(os.devnull, "w"), force_terminal=True)  # noqa: SIM115
    console.print(Text.from_ansi(said), soft_wrap=True)
    return console.export_html(inline_styles=True, code_format="{code}").strip()


def _picture_page(browser: Browser, demo: Path, scratch: Path) -> None:
    page = scratch / "report.html"
    command = [sys.executable, "-m", "radvlm_cli", "report", "--html", str(page), "--store", str(demo / "radvlm.db")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    browser.open(page, WIDTH, 900)
    _sharpen(browser, 1.2)
    headings = "[...document.querySelectorAll('#results h3')]"
    charts = [f"{headings}.find(e => e.textContent === {name!r}).closest('figure')" for name in RESULTS]
    _shoot(browser, "report-results.png", charts)
    groups = "[...document.querySelectorAll('#samples details.group')]"
    browser.value(f"{groups}.forEach(e => {{ e.open = e.textContent.startsWith({TEST_SET!r}) }})")
    # The samples by chance: neither the worst nor the best.
    samples = f"{groups}.find(e => e.open && e.textContent.includes({TRAINED!r})).querySelectorAll('.badge.random')"
    _shoot(browser, "report-samples.png", [f"{samples}[{number}].closest('figure')" for number in range(4)])


def _sharpen(browser: Browser, scale: float) -> None:
    """More pixels of the screen for one of the page."""
    size = {"width": WIDTH, "height": 900, "deviceScaleFactor": scale, "mobile": False}
    browser.call("Emulation.setDeviceMetricsOverride", **size)


def _shoot(browser: Browser, name: str, elements: Sequence[str]) -> None:
    """A picture of elements that stand beside one another; in few enough colours to stay small."""
    places = [
        browser.value(f"(r => [r.left + scrollX, r.top + scrollY, r.right + scrollX, r.bottom + scrollY])({box})")
        for box in (f"({element}).getBoundingClientRect()" for element in elements)
    ]
    left, top = (min(place[side] for place in places) - MARGIN for side in (0, 1))
    right, bottom = (max(place[side] for place in places) + MARGIN for side in (2, 3))
    target = IMAGES / name
    clip = {"x": max(left, 0), "y": max(top, 0), "width": right - max(left, 0), "height": bottom - max(top, 0)}
    browser.picture(target, clip=clip)
    Image.open(target).convert("RGB").quantize(128).save(target, optimize=True)
    size = target.stat().st_size
    if size > LARGEST:
        raise RuntimeError(f"{target} has {size:,} bytes, more than {LARGEST:,}")
    print(f"{target} ({size:,} bytes)")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
