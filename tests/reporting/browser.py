"""A headless Chromium, driven over its debugging pipe: just enough to watch a page's network, console and layout."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_TIMEOUT_S = 60


def find_chromium() -> str | None:
    """The program, or None where there is none."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Browser:
    """One page in one browser; `events` holds everything that it reported."""

    def __init__(self, program: str, profile: Path) -> None:
        to_browser, self._to = os.pipe()
        self._from, from_browser = os.pipe()
        # The browser reads from 3 and writes to 4; whatever holds those numbers now must not be in the way.
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 20) for end in (to_browser, from_browser)]
        os.close(to_browser)
        os.close(from_browser)

        def place() -> None:
            for end, number in zip(ends, (3, 4), strict=True):
                os.dup2(end, number)

        self._process = subprocess.Popen(
            [
                *(program, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--no-first-run"),
                *("--disable-dev-shm-usage", "--hide-scrollbars", f"--user-data-dir={profile}", "about:blank"),
            ],
            close_fds=False,
            preexec_fn=place,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for end in ends:
            os.close(end)
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and wait for its answer; RuntimeError where it refuses."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        number = self._number
        answer = self._until(lambda each: each.get("id") == number)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        result: dict[str, Any] = answer["result"]
        return result

    def _until(self, wanted: Any) -> dict[str, Any]:
        end = time.monotonic() + _TIMEOUT_S
        while True:
            while b"\0" in self._buffer:
                line, _, self._buffer = self._buffer.partition(b"\0")
                message: dict[str, Any] = json.loads(line)
                if "method" in message:
                    self.events.append(message)
                if wanted(message):
                    return message
            ready, _, _ = select.select([self._from], [], [], max(end - time.monotonic(), 0))
            if not ready:
                raise TimeoutError("the browser does not answer")
            piece = os.read(self._from, 1 << 20)
            if not piece:
                raise RuntimeError("the browser has ended")
            self._buffer += piece

    def open(self, page: Path, width: int = 1280, height: int = 900, *, phone: bool = False) -> None:
        """Load a file and wait until its charts are drawn (or its load event, where it has none)."""
        self.size(width, height, phone=phone)
        self.call("Page.navigate", url=page.as_uri())
        self.wait_for("Page.loadEventFired")
        waits = "document.querySelector('figure.chart') === null || document.documentElement.dataset.ready === 'yes'"
        end = time.monotonic() + _TIMEOUT_S
        while not self.value(waits):
            if time.monotonic() > end:
                raise TimeoutError("the charts are not drawn")
            time.sleep(0.05)

    def wait_for(self, event: str) -> None:
        """Wait for the next event of that name."""
        self._until(lambda each: each.get("method") == event)

    def size(self, width: int, height: int, *, phone: bool = False) -> None:
        """Set the window's size in CSS pixels."""
        scale = 2 if phone else 1
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=phone
        )

    def media(self, *, scheme: str = "light", kind: str = "") -> None:
        """Prefer light or dark; screen or print (`""` leaves that to what is done)."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", media=kind, features=features)

    def value(self, expression: str) -> Any:
        """The value of a JavaScript expression; RuntimeError where it throws."""
        answer = self.call(
            "Runtime.evaluate",
            expression=expression,
            returnByValue=True,
            awaitPromise=True,
            allowUnsafeEvalBlockedByCSP=False,  # the page's policy holds here too
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"]["text"] + str(answer["result"].get("description")))
        return answer["result"].get("value")

    def key(self, name: str) -> None:
        """Press and release a key: Tab, Enter, Space."""
        codes = {"Tab": 9, "Enter": 13, "Space": 32}
        text = {"Enter": "\r", "Space": " "}.get(name, "")
        given = {"key": " " if name == "Space" else name, "code": name, "windowsVirtualKeyCode": codes[name]}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **given)
        self.call("Input.dispatchKeyEvent", type="keyUp", **given)

    def picture(self, target: Path, *, whole: bool = False, clip: dict[str, float] | None = None) -> None:
        """A screenshot as PNG: of the window, of the whole page, or of a part of it."""
        given: dict[str, Any] = {"captureBeyondViewport": whole or clip is not None}
        if clip is not None:
            given["clip"] = {**clip, "scale": 1}
        target.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", **given)["data"]))

    def print(self, target: Path) -> None:
        """The page as it prints on A4."""
        answer = self.call("Page.printToPDF", printBackground=False, paperWidth=8.27, paperHeight=11.69)
        target.write_bytes(base64.b64decode(answer["data"]))

    def close(self) -> None:
        """End the browser."""
        with contextlib.suppress(OSError, RuntimeError, TimeoutError):
            self._session = None
            self.call("Browser.close")
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._to)
        os.close(self._from)


@contextlib.contextmanager
def browsing(program: str, profile: Path) -> Iterator[Browser]:
    """A browser that is ended whatever happens."""
    browser = Browser(program, profile)
    try:
        yield browser
    finally:
        browser.close()
