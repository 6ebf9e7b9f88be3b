"""The page as a file: what is in it, what never is."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from radvlm_cli.reporting.page.page import POLICY
from tests.reporting.planted import SECRETS

SCRIPTED = "document.title='taken'"


class Reader(HTMLParser):
    """Elements with their attributes, and the text of scripts and of everything else."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        (self.scripts if self.open else self.words).append(data)


@pytest.fixture(scope="module")
def read(page: Path) -> Reader:
    return Reader(page)


def test_the_policy_comes_before_anything_that_could_fetch(read: Reader) -> None:
    tags = [tag for tag, _attributes in read.elements]
    policies = [attributes for _tag, attributes in read.elements if "http-equiv" in attributes]
    assert [each["content"] for each in policies] == [POLICY]
    assert tags.index("meta") < min(tags.index(tag) for tag in ("style", "script", "image"))


def test_nothing_refers_to_another_place(read: Reader) -> None:
    for tag, attributes in read.elements:
        for name in ("src", "href", "action", "data", "poster", "srcset", "background"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:image/jpeg;base64,")), (tag, name, value)
    assert not {"link", "iframe", "object", "embed", "base", "form", "img"} & {tag for tag, _ in read.elements}


def test_planted_text_is_text_and_no_handler_comes_of_it(read: Reader) -> None:
    assert not [name for _tag, attributes in read.elements for name in attributes if name.startswith("on")]
    code = [script for script in read.scripts if SCRIPTED in script]
    assert all(script.lstrip().startswith("{") for script in code)  # data of charts, which no parser runs
    words = "".join(read.words)
    assert f"<script>{SCRIPTED}</script>" in words
    assert "ANSWERTEXT" in words
    assert "REPORTTEXT" in words


def test_data_of_charts_cannot_end_their_script(page: Path) -> None:
    blocks = re.findall(r'<script type="application/json">(.*?)</script>', page.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 8
    assert not [block for block in blocks if "<" in block]
    assert any("\\u003cscript\\u003e" in block for block in blocks)  # the planted model name


def test_what_steers_a_reader_is_shown_as_an_escape(read: Reader) -> None:
    words = "".join(read.words)
    assert "\\u202e" in words
    assert "\u202e" not in words
    assert "\x1b" not in words


def test_a_picture_is_in_the_page_once_however_many_samples_show_it(read: Reader) -> None:
    images = [attributes["href"] or "" for tag, attributes in read.elements if tag == "image"]
    uses = [attributes for tag, attributes in read.elements if tag == "use"]
    assert len(images) == 1
    assert len(uses) > 10
    assert base64.b64decode(images[0].partition(",")[2]).startswith(b"\xff\xd8")
    assert "image not found" in "".join(read.words)  # the sample whose file is gone


def test_the_banner_names_whom_the_data_bind(read: Reader) -> None:
    assert "Credentialed data: this page holds images, texts and ids of mimic" in "".join(read.words)


def test_every_chart_has_its_numbers_beside_it(read: Reader) -> None:
    charts = [attributes for tag, attributes in read.elements if attributes.get("class") == "chart"]
    numbers = [attributes for tag, attributes in read.elements if attributes.get("class") == "numbers"]
    assert len(charts) == len(numbers) >= 8
    assert all("open" in attributes for attributes in numbers)  # shown until a script has drawn the chart


def test_every_section_of_the_contents_is_there(read: Reader) -> None:
    ids = [attributes["id"] for _tag, attributes in read.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [attributes["href"] for tag, attributes in read.elements if tag == "a"]
    assert {(link or "")[1:] for link in links} <= set(ids)
    assert {"flow", "results", "boxes", "findings", "samples", "data", "training", "cost", "provenance"} <= set(ids)


def test_a_public_page_has_no_pixels_no_texts_and_no_ids(public_page: Path) -> None:
    text = public_page.read_text(encoding="utf-8")
    assert not [secret for secret in SECRETS if secret in text]
    assert "data:image" not in text
    assert "phrase-test-0" not in text  # ids of samples
    assert "Public form" in text
    assert len(re.findall(r"sample [0-9a-f]{12}", text)) > 10
    assert 'class="true"' in text  # boxes alone tell nothing of anybody


def test_a_public_page_names_a_sample_the_same_each_time(public_page: Path, planted: Path, tmp_path: Path) -> None:
    from tests.reporting.conftest import _page

    again = _page(planted, tmp_path / "again.html", public=True)
    names = [re.findall(r"sample [0-9a-f]{12}", each.read_text(encoding="utf-8")) for each in (public_page, again)]
    assert names[0] == names[1]
