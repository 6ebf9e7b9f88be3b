"""The page of `radvlm chat --web` in a real browser: asked, located, drawn, by keyboard and on a phone.

Slow: starting a browser takes seconds on a busy machine. Skipped where there is no Chromium.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image
from pydicom.data import get_testdata_file

from tests.commands.chat_pages import browsing, session_of
from tests.reporting.browser import Browser, find_chromium
from tests.reporting.browser import browsing as browser_of
from tests.reporting.test_browser import CONTRAST, of

PROGRAM = find_chromium()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason="no Chromium or Chrome is installed"),
]
CT = Path(str(get_testdata_file("CT_small.dcm", download=False)))
EVIL = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
EDGES = """
(() => {
  const film = document.getElementById("picture").getBoundingClientRect();
  return [...document.querySelectorAll("#overlay .edge")].map((edge) => {
    const box = edge.getBoundingClientRect();
    const style = getComputedStyle(edge);
    return [
      (box.left - film.left) / film.width, (box.top - film.top) / film.height,
      (box.right - film.left) / film.width, (box.bottom - film.top) / film.height,
      style.stroke, Number.parseFloat(style.strokeWidth),
    ];
  });
})()
"""
STOP = "(document.activeElement.closest('label') ?? document.activeElement).id || document.activeElement.className"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    assert PROGRAM is not None
    with browser_of(PROGRAM, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@contextmanager
def chat(browser: Browser, folder: Path, *answers: str) -> Iterator[str]:
    """A chat about a picture twice as wide as high; the page is open in the browser. Its address."""
    chest = folder / "chest.png"
    Image.linear_gradient("L").resize((800, 400)).save(chest)
    script = {"answers": {"chest.png": answers}} if answers else {}
    with browsing(session_of(folder, chest, **script)) as page:
        address = f"http://127.0.0.1:{page.port}{page.base}"
        browser.events.clear()
        open_page(browser, address)
        yield address


@pytest.fixture
def url(browser: Browser, tmp_path: Path) -> Iterator[str]:
    """Of a chat with a model that locates everything in the middle."""
    with chat(browser, tmp_path) as address:
        yield address


def open_page(browser: Browser, address: str, width: int = 1280, height: int = 900) -> None:
    browser.size(width, height, phone=width < 500)
    browser.call("Page.navigate", url=address)
    browser.wait_for("Page.loadEventFired")
    wait(browser, "document.documentElement.dataset.ready === 'yes' && (film.hidden || picture.naturalWidth > 0)")


def wait(browser: Browser, condition: str) -> None:
    end = time.monotonic() + 60
    while not browser.value(condition):
        assert time.monotonic() < end, condition
        time.sleep(0.05)


def type_line(browser: Browser, line: str, press: str = "Enter") -> None:
    """Into the field, and a key there; up to the answer."""
    answers = browser.value("document.querySelectorAll('.exchange').length")
    browser.value("document.getElementById('line').focus()")
    browser.call("Input.insertText", text=line)
    browser.key(press)
    if press == "Enter":
        wait(browser, f"document.querySelectorAll('.exchange').length > {answers} && waiting.hidden")


def test_a_dialogue_with_boxes_that_asks_nobody_else(browser: Browser, tmp_path: Path) -> None:
    boxes = "Here: [0.1, 0.0, 0.4, 0.5] and [0.6, 0.5, 1.0, 1.0]."
    with chat(browser, tmp_path, "First.", EVIL, boxes) as url:
        _talk(browser, url)


def _talk(browser: Browser, url: str) -> None:
    type_line(browser, "What is seen?")
    type_line(browser, "And?")
    assert browser.value("document.querySelector('.exchange:last-child .answer').textContent") == EVIL
    assert browser.value("document.querySelectorAll('.exchange img, .exchange script').length") == 0
    assert browser.value("document.querySelectorAll('#overlay *').length") == 0
    type_line(browser, "Where?")
    edges = browser.value(EDGES)
    assert [edge[:4] for edge in edges] == [
        pytest.approx((0.1, 0.0, 0.4, 0.5), abs=0.01),
        pytest.approx((0.6, 0.5, 1.0, 1.0), abs=0.01),
    ]
    assert all(edge[4] == "rgb(255, 160, 46)" and edge[5] >= 2 for edge in edges)
    assert browser.value("[...document.querySelectorAll('.tag')].map((e) => e.textContent)") == ["1", "2"]
    assert browser.value("picture.complete && picture.naturalWidth") == 800
    assert browser.value("document.title") == "radvlm chat"
    assert "Research use only" in browser.value("banner.innerText")

    asked = {params["request"]["url"] for params in of(browser, "Network.requestWillBeSent")}
    assert {each for each in asked if not each.startswith(url)} == set()
    for method in ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled"):
        assert of(browser, method) == [], method


def test_all_can_be_done_by_keyboard(browser: Browser, url: str) -> None:
    stops = []
    for _press in range(20):
        browser.key("Tab")
        stops.append(browser.value(STOP))
        if stops[-1] in stops[:-1]:
            break
    assert [each for each in ("open", "line", "ask", "locate", "report") if each not in stops] == []
    type_line(browser, "heart", press="Tab")  # to Ask
    browser.key("Tab")
    assert browser.value(STOP) == "locate"
    browser.key("Space")
    wait(browser, "document.querySelectorAll('#overlay .edge').length === 1 && waiting.hidden")
    assert browser.value(STOP) == "line"
    assert browser.value("document.querySelector('.tag').textContent") == "1 heart"
    shown = "document.querySelectorAll('#overlay .edge').length"
    browser.value("show.focus()")
    browser.key("Space")
    assert browser.value(shown) == 0
    browser.value("document.querySelector('.shows').focus()")
    browser.key("Enter")
    assert browser.value(shown) == 1
    assert browser.value("document.querySelector('.shows').getAttribute('aria-pressed')") == "true"


def test_another_image_takes_the_boxes_of_the_last_away(browser: Browser, url: str) -> None:
    type_line(browser, "/locate heart")
    root = browser.call("DOM.getDocument")["root"]["nodeId"]
    node = browser.call("DOM.querySelector", nodeId=root, selector="#file")["nodeId"]
    browser.call("DOM.setFileInputFiles", nodeId=node, files=[str(CT)])
    wait(browser, "facts.textContent.startsWith('CT_small.dcm') && picture.complete && waiting.hidden")
    assert browser.value("picture.naturalWidth") == 128
    assert browser.value("document.querySelectorAll('#overlay *, .exchange').length") == 0
    assert "not a radiograph" in browser.value("notices.textContent")


def test_it_goes_on_where_it_was_after_a_reload(browser: Browser, url: str) -> None:
    type_line(browser, "/locate heart")
    open_page(browser, url)
    assert browser.value("document.querySelectorAll('.exchange').length") == 1
    assert browser.value("document.querySelectorAll('#overlay .edge').length") == 1


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_no_sideways_scroll_and_no_squeezed_picture(browser: Browser, url: str, width: int) -> None:
    type_line(browser, "/locate heart")
    open_page(browser, url, width, 740)
    assert browser.value("document.documentElement.scrollWidth") == width
    assert browser.value("picture.clientWidth / picture.clientHeight") == pytest.approx(2, abs=0.02)
    wide = (
        "[...document.querySelectorAll('body *')].filter((e) => e.checkVisibility() && "
        f"e.getBoundingClientRect().right > {width} + 4).map((e) => e.tagName + '.' + e.id).slice(0, 5)"
    )
    assert browser.value(wide) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_is_aa(browser: Browser, url: str, scheme: str) -> None:
    browser.media(scheme=scheme)
    type_line(browser, "/locate heart")
    seen, bad = browser.value(CONTRAST)
    browser.media()
    assert seen > 12
    assert bad == []


def test_a_page_whose_program_has_ended_says_so(browser: Browser) -> None:
    words = [sys.executable, "-m", "radvlm_cli", "chat", "--web", str(CT), "-m", "scripted"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        open_page(browser, process.stdout.readline().strip())
        process.send_signal(signal.SIGINT)
    browser.value("document.getElementById('line').focus()")
    browser.call("Input.insertText", text="Hello?")
    browser.key("Enter")
    wait(browser, "told.textContent.includes('has ended')")
    assert browser.value("line.value") == "Hello?"
    wait(browser, "!ask.disabled")  # to be tried again, once it can be reached
