"""The page in a real browser: it asks nobody for anything, draws all it should, and fits a phone.

Slow: starting a browser takes seconds on a busy machine. Skipped where there is no Chromium.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.reporting.browser import Browser, browsing, find_chromium

PROGRAM = find_chromium()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason="no Chromium or Chrome is installed"),
]
# Contrast of the text of an element with what is behind it, as WCAG 2 counts it. Of text that can be seen only.
CONTRAST = """
(() => {
  const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => {
    const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const [x, y, z] = [r, g, b].map((v) => linear(v / 255));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const colour = parse(getComputedStyle(each).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return parse(getComputedStyle(document.documentElement).colorScheme === "dark" ? "0 0 0" : "255 255 255");
  };
  const bad = [];
  let seen = 0;
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.checkVisibility() || element.closest("script, .drawing")) continue;
    const style = getComputedStyle(element);
    const ink = parse(element instanceof SVGElement ? style.fill : style.color);
    const [a, b] = [light(ink), light(behind(element))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    seen += 1;
    if (contrast < 4.5) bad.push([element.tagName, element.className.toString(), contrast.toFixed(2)].join(" "));
  }
  return [seen, [...new Set(bad)].slice(0, 10)];
})()
"""
MARKS = """
[...document.querySelectorAll("figure.chart")].map((chart) => [
  chart.dataset.drawn,
  Number(chart.dataset.marks),
  chart.querySelectorAll(".plot svg .role-mark path, .plot svg .role-mark line").length,
  chart.querySelector("figcaption").textContent,
])
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    assert PROGRAM is not None
    with browsing(PROGRAM, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def opened(browser: Browser, page: Path) -> Browser:
    """The page, loaded once for the tests that look at it on a laptop."""
    browser.open(page)
    return browser


def of(browser: Browser, method: str) -> list[dict[str, Any]]:
    return [event["params"] for event in browser.events if event["method"] == method]


def test_no_request_leaves_the_page(opened: Browser, page: Path) -> None:
    asked = [params["request"]["url"] for params in of(opened, "Network.requestWillBeSent")]
    assert asked[0] == page.as_uri()
    assert [url[:40] for url in asked[1:] if not url.startswith(("data:image/", page.as_uri()))] == []


def test_the_console_is_silent(opened: Browser) -> None:
    for method in ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled"):
        assert of(opened, method) == [], method


def test_the_policy_holds_against_a_script_that_asks(opened: Browser) -> None:
    tried = opened.value("fetch('http://127.0.0.1:9/').then(() => 'asked', (error) => error.message)")
    assert tried == "Failed to fetch"
    assert opened.value("(() => { try { return eval('1') } catch (error) { return error.name } })()") == "EvalError"
    blocked = [params["entry"]["text"] for params in of(opened, "Log.entryAdded")]
    assert any("connect-src 'none'" in text for text in blocked)
    opened.events.clear()


def test_no_planted_script_ran(opened: Browser) -> None:
    assert opened.value("document.title") == "Report of radvlm"
    assert opened.value("document.querySelectorAll('.sample script, .sample img, table script').length") == 0


def test_every_chart_is_drawn_with_all_its_marks_and_folds_its_numbers(opened: Browser) -> None:
    charts = opened.value(MARKS)
    assert len(charts) >= 8
    assert [chart for chart in charts if chart[0] != "yes" or chart[2] != chart[1]] == []
    assert opened.value("document.querySelectorAll('figure.chart details.numbers[open]').length") == 0


@pytest.mark.parametrize("kind", ["true", "predicted"])
def test_boxes_are_switched_without_a_script(opened: Browser, kind: str) -> None:
    boxes = f"[...document.querySelectorAll('.group[open] .drawing .{kind}')]"
    shown = f"{boxes}.filter((box) => box.getClientRects().length).length"
    before = opened.value(shown)
    assert before > 3
    opened.value(f"document.getElementById('show-{kind}').focus()")
    opened.key("Space")
    assert opened.value(shown) == 0
    opened.key("Space")
    assert opened.value(shown) == before


def test_everything_can_be_reached_by_keyboard(browser: Browser, page: Path) -> None:
    browser.open(page)
    stops = []
    for _press in range(400):
        browser.key("Tab")
        stop = browser.value(
            "(() => { const e = document.activeElement; return e === document.body ? null : [e.tagName, "
            "e.id || e.getAttribute('href') || e.getAttribute('aria-label') || e.textContent.slice(0, 30)]; })()"
        )
        if stop is None or stop in stops[:1]:
            break
        stops.append(stop)
    names = json.dumps(stops)
    assert stops[0][1] == "#content"  # first of all past the contents
    wanted = ("#provenance", "show-true", "show-predicted", "show-texts", "show-large", "The numbers")
    assert [each for each in wanted if each not in names] == []
    groups = browser.value("document.querySelectorAll('details.group > summary').length")
    assert sum("phrase" in stop[1] or "findings" in stop[1] for stop in stops if stop[0] == "SUMMARY") >= groups // 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_is_aa(browser: Browser, page: Path, scheme: str) -> None:
    browser.media(scheme=scheme)
    browser.open(page)
    browser.value("document.querySelectorAll('details').forEach((each) => { each.open = true })")
    seen, bad = browser.value(CONTRAST)
    browser.media()
    assert seen > 300
    assert bad == []


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_no_sideways_scroll(browser: Browser, page: Path, width: int) -> None:
    browser.open(page, width, 740, phone=width < 500)
    browser.value("document.querySelectorAll('details').forEach((each) => { each.open = true })")
    assert browser.value("document.documentElement.scrollWidth") == width
    wide = (
        "[...document.querySelectorAll('body *')].filter((e) => e.checkVisibility() && "
        f"!e.closest('.frame, nav, .defined, .skip, svg *') && e.getBoundingClientRect().right > {width} + 1)"
        ".map((e) => e.tagName + '.' + e.className).slice(0, 5)"
    )
    assert browser.value(wide) == []


def test_a_print_has_charts_and_their_numbers_and_leaves_out_what_is_folded(
    browser: Browser, page: Path, tmp_path: Path
) -> None:
    browser.open(page)
    browser.media(kind="print")
    seen = "(selector) => [...document.querySelectorAll(selector)].filter((e) => e.checkVisibility()).length"
    numbers = browser.value(f"({seen})('details.numbers table')")
    charts, switches = browser.value(f"({seen})('.plot svg')"), browser.value(f"({seen})('.switches')")
    groups = browser.value(f"({seen})('.group')")
    browser.media()
    assert charts == numbers >= 8
    assert (switches, groups) == (0, 1)
    browser.print(tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")


def test_without_scripts_the_numbers_stand_open(browser: Browser, page: Path) -> None:
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.call("Page.navigate", url=page.as_uri())
        browser.wait_for("Page.loadEventFired")
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)
    charts = browser.value("document.querySelectorAll('figure.chart').length")
    assert browser.value("document.querySelectorAll('figure.chart details.numbers[open] table').length") == charts


def test_a_public_page_is_silent_too(browser: Browser, public_page: Path) -> None:
    browser.events.clear()
    browser.open(public_page, 360, 740, phone=True)
    asked = [params["request"]["url"] for params in of(browser, "Network.requestWillBeSent")]
    assert asked == [public_page.as_uri()]
    assert of(browser, "Log.entryAdded") == []
    assert browser.value("document.documentElement.scrollWidth") == 360
