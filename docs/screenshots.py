"""Make the pictures in docs/images/ from a folder that `make demo` left: the real program, a real browser.

    python -m docs.screenshots [DEMO]

It runs from the root of a checkout. What is seen is what a user sees at that moment: paths, times and (for a model that
is trained anew) numbers are those of the demo it is given, so give it one in a folder with a short name. Needs Chromium.
"""

from __future__ import annotations

import fcntl
import html
import os
import pty
import struct
import subprocess
import sys
import tempfile
import termios
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.text import Text

from tests.reporting.browser import NAMES, Browser, browsing, find_chromium

IMAGES = Path(__file__).parent / "images"
LARGEST = 250_000
"""Bytes of a picture: readers wait for it."""
COLUMNS = 98
TRAINED = "radvlm:demo/models/trained"
TEST_SET = "mscxr-phrase-test"
"""What is shown of the samples: phrases whose boxes the demo's model has learned to find."""
SHOWN = (
    ("report",),
    ("report", "compare", TRAINED, "scripted", "--test-set", TEST_SET),
)
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
    program = find_chromium()
    if program is None:
        print(f"There is no Chromium (looked for {', '.join(NAMES)} in PATH): apt-get install chromium", file=sys.stderr)
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
    said = "".join(f"\x1b[1m$ radvlm {' '.join(each)}\x1b[0m\n{_typed(each, demo)}\n" for each in SHOWN)
    page = scratch / "terminal.html"
    page.write_text(_FRAME.format(code=_coloured(said.rstrip())), encoding="utf-8")
    browser.open(page, 1200, 900)
    _shoot(browser, "terminal.png", "document.body", scale=1.6)


def _typed(arguments: tuple[str, ...], demo: Path) -> str:
    """What `radvlm` writes to a terminal, colours included. CalledProcessError where it fails."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 60, COLUMNS, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")}
    environment |= {"RADVLM_STORE": str(demo / "radvlm.db"), "TERM": "xterm-256color"}
    command = [sys.executable, "-m", "radvlm_cli", *arguments]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
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
    browser.open(page, 1000, 900)
    _shoot(browser, "report-results.png", "document.querySelector('#results')", scale=1.5, height=720)
    samples = (
        "[...document.querySelectorAll('#samples details')]"
        f".find(e => e.textContent.startsWith({TEST_SET!r}) && e.textContent.includes({TRAINED!r}))"
    )
    browser.value("document.querySelectorAll('#samples details').forEach(e => { e.open = false })")
    browser.value(f"({samples}).open = true")
    _shoot(browser, "report-samples.png", samples, scale=1.5, height=720)


def _shoot(browser: Browser, name: str, element: str, *, scale: float, height: float | None = None) -> None:
    """A picture of an element, from its top; in few enough colours to stay small."""
    x, y, width, whole = browser.value(
        f"(r => [r.x + scrollX, r.y + scrollY, r.width, r.height])(({element}).getBoundingClientRect())"
    )
    target = IMAGES / name
    clip = {"x": x, "y": y, "width": width, "height": min(height or whole, whole)}
    size = {"width": 1200, "height": 900, "deviceScaleFactor": scale, "mobile": False}
    browser.call("Emulation.setDeviceMetricsOverride", **size)
    browser.picture(target, clip=clip)
    Image.open(target).convert("RGB").quantize(128).save(target, optimize=True)
    if target.stat().st_size > LARGEST:
        raise RuntimeError(f"{html.escape(str(target))} has {target.stat().st_size:,} bytes, more than {LARGEST:,}")
    print(f"{target} ({target.stat().st_size:,} bytes)")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
