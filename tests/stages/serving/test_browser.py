"""The pages in a real browser: they ask nobody else, run nothing planted, and fit a phone.

Slow: starting a browser takes seconds on a busy machine. Skipped where there is no Chromium.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn

from radvlm_cli.stages.serving.application import Served, application
from radvlm_cli.stages.serving.guard import LOOPBACK
from radvlm_cli.stages.serving.pages import Folders
from radvlm_cli.stages.serving.server import listen
from tests.reporting.browser import Browser, browsing, find_chromium
from tests.reporting.planted import planted_store
from tests.stages.serving.asking import BANNER

PROGRAM = find_chromium()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason="no Chromium or Chrome is installed"),
]
PAGES = (
    *("/", "/prediction/1/0", "/prediction/4/0", "/store", "/store/prediction", "/store/answers?evaluation=4"),
    *("/store/evaluation/1", "/store?sql=select+text,+prompt+from+prediction", "/store/none"),
)


class Address:
    """What Browser.open takes: a page by its address."""

    def __init__(self, address: str) -> None:
        self._address = address

    def as_uri(self) -> str:
        return self._address


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The planted store, served."""
    store = planted_store(tmp_path_factory.mktemp("planted"))
    served = Served(store, Folders(None, None), BANNER)
    with listen("127.0.0.1", 0) as listening, application(served, None, LOOPBACK) as app:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join(30)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    assert PROGRAM is not None
    with browsing(PROGRAM, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("width", [1280, 360])
def test_a_page_asks_nobody_else_runs_nothing_planted_and_fits(
    browser: Browser, base: str, page: str, width: int
) -> None:
    browser.events.clear()
    browser.open(Address(f"{base}{page}"), width, 740, phone=width == 360)  # type: ignore[arg-type]
    time.sleep(0.2)
    asked = [
        each["params"]["request"]["url"] for each in browser.events if each["method"] == "Network.requestWillBeSent"
    ]
    assert {address for address in asked if not address.startswith((f"{base}/", "data:"))} == set()
    wrong = [
        each["params"]
        for each in browser.events
        if each["method"] in ("Log.entryAdded", "Runtime.exceptionThrown") and "404" not in str(each["params"])
    ]
    assert wrong == []
    assert browser.value("document.title") != "taken"
    assert browser.value("document.querySelectorAll('.banner').length") == 1
    assert browser.value("document.documentElement.scrollWidth") == width


def test_boxes_are_switched_without_a_script(browser: Browser, base: str) -> None:
    browser.open(Address(f"{base}/prediction/1/0"))  # type: ignore[arg-type]
    shown = "getComputedStyle(document.querySelector('.drawing .true')).display !== 'none'"
    assert browser.value(shown)
    assert browser.value("document.scripts.length") == 0
    browser.value("document.querySelector('#show-true').click()")
    assert not browser.value(shown)
    size = browser.value(
        "(async () => { const image = new Image(); image.src = document.querySelector('image').href.baseVal; "
        "await image.decode(); return [image.naturalWidth, image.naturalHeight]; })()"
    )
    assert size == [600, 700]
