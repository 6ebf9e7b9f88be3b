"""What all of these pages have in common: head with its policy, way back, banner, footer."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import NamedTuple

from radvlm_cli.reporting.page.markup import Markup, element

POLICY = (
    "default-src 'none'; img-src 'self'; style-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
"""No script at all, and nothing from anywhere else."""
STYLE = "/-/radvlm/pages.css"
DATASETTE_STYLE = "/-/radvlm/datasette.css"

_LONG = 30
"""Characters of a title from which on it is set smaller."""


class Link(NamedTuple):
    """Words that lead somewhere in this server."""

    words: str
    href: str


class Banner(NamedTuple):
    """Who may see the pages."""

    text: str
    restricted: bool
    """Whether it warns."""


def write_page(title: str, banner: Banner, trail: Sequence[Link], content: Markup) -> str:
    """A whole page. Everything that is not Markup already becomes text."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", title),
        element("link", rel="stylesheet", href=STYLE),
    )
    body = element(
        "body",
        element("a", "To the content", href="#content", class_="skip"),
        element("nav", element("ul", [_item(link) for link in trail]), aria_label="Where this is") if trail else None,
        element("header", element("h1", title, class_="long" if len(title) > _LONG else None), banner_markup(banner)),
        element("main", content, id="content", tabindex="-1"),
        element("footer", element("p", "Research use only: nothing here is fit for the care of a patient.")),
    )
    return f'<!DOCTYPE html>\n<html lang="en">\n{head}\n{body}\n</html>\n'


def anchor(link: Link) -> Markup:
    """A link as HTML."""
    return element("a", link.words, href=link.href)


def style_of_pages() -> str:
    """The style of the report's page, and what these add to it."""
    report = files("radvlm_cli.reporting.page").joinpath("style.css").read_text(encoding="utf-8")
    return report + _packaged("pages.css")


def style_of_datasette() -> str:
    """What Datasette's own pages get on top of their style."""
    return _packaged("datasette.css")


def banner_markup(banner: Banner) -> Markup:
    """The banner by itself."""
    return element("p", banner.text, class_="banner warns" if banner.restricted else "banner", role="note")


def _item(link: Link) -> Markup:
    return element("li", anchor(link))


def _packaged(name: str) -> str:
    return files("radvlm_cli.reporting.served").joinpath(name).read_text(encoding="utf-8")
