"""The page as a whole: head with its policy, banner, contents, sections, and the scripts that draw the charts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.resources import files
from typing import NamedTuple

from radvlm_cli.reporting.page.charts import Chart
from radvlm_cli.reporting.page.flow import FlowFigure, flow_markup
from radvlm_cli.reporting.page.gallery import Gallery, gallery_markup
from radvlm_cli.reporting.page.markup import Markup, data, element, embedded, join
from radvlm_cli.reporting.page.tables import table_markup
from radvlm_cli.reporting.tables import Table

POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'none'; "
    "base-uri 'none'; form-action 'none'"
)
"""Nothing may be fetched, sent, or evaluated from text."""


class Card(NamedTuple):
    """A number at a glance."""

    value: str
    what: str
    remark: str | None = None


class Cards(NamedTuple):
    """Numbers side by side."""

    cards: Sequence[Card]


class Words(NamedTuple):
    """A paragraph."""

    text: str


class Folded(NamedTuple):
    """Tables that are shown on demand."""

    title: str
    tables: Sequence[Table]


Leaf = Table | Chart | FlowFigure | Gallery | Cards | Words | Folded


class Beside(NamedTuple):
    """Columns side by side where there is room, one below another where there is none."""

    columns: Sequence[Sequence[Leaf]]


Block = Leaf | Beside


class Section(NamedTuple):
    """A part of the page with a place in its contents."""

    id: str
    title: str
    blocks: Sequence[Block]


class Page(NamedTuple):
    """What a page shows."""

    title: str
    made: str
    """When, from what, by what."""
    banner: str
    """Who may see it."""
    restricted: bool
    """Whether the banner warns."""
    sections: Sequence[Section]


def write_page(page: Page) -> str:
    """The HTML. Text of models, reports and files is escaped; ValueError for nothing a store can hold."""
    charts = any(isinstance(block, Chart) for section in page.sections for block in _leaves(section.blocks))
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        element("meta", name="robots", content="noindex, nofollow, noarchive"),
        element("title", page.title),
        embedded("style", _packaged("style.css")),
    )
    body = element(
        "body",
        element("a", "To the content", href="#content", class_="skip"),
        _header(page),
        element("main", [_section(section) for section in page.sections], id="content", tabindex="-1"),
        element("footer", element("p", "Research use only: nothing here is fit for the care of a patient.")),
        _scripts() if charts else None,
    )
    return f'<!DOCTYPE html>\n<html lang="en">\n{head}\n{body}\n</html>\n'


def _leaves(blocks: Sequence[Block]) -> Iterator[Leaf]:
    for block in blocks:
        if isinstance(block, Beside):
            yield from (leaf for column in block.columns for leaf in column)
        else:
            yield block


def _header(page: Page) -> Markup:
    links = [element("li", element("a", part.title, href=f"#{part.id}")) for part in page.sections]
    return join(
        (
            element(
                "header",
                element("h1", page.title),
                element("p", page.made, class_="made"),
                element("p", page.banner, class_="banner warns" if page.restricted else "banner", role="note"),
            ),
            element("nav", element("ul", links), aria_label="Contents", tabindex="0"),
        )
    )


def _section(section: Section) -> Markup:
    blocks = [_block(block) for block in section.blocks]
    return element("section", element("h2", section.title), blocks, id=section.id, class_="part-of-page", tabindex="-1")


def _block(block: Block) -> Markup:
    match block:
        case Table():
            return table_markup(block)
        case Chart():
            return _chart(block)
        case FlowFigure():
            return flow_markup(block)
        case Gallery():
            return gallery_markup(block)
        case Words():
            return element("p", block.text, class_="words")
        case Folded():
            tables = [table_markup(table) for table in block.tables]
            return element("details", element("summary", block.title), tables, class_="folded")
        case Beside():
            columns = [element("div", [_block(leaf) for leaf in column]) for column in block.columns]
            return element("div", columns, class_="beside")
        case Cards():
            return element("ul", [_card(card) for card in block.cards], class_="cards")


def _card(card: Card) -> Markup:
    remark = element("small", card.remark) if card.remark else None
    return element("li", element("b", card.value), element("span", card.what), remark)


def _chart(chart: Chart) -> Markup:
    """A place to draw in, and the numbers: open until the chart is drawn, and in print."""
    plot = element("div", class_="plot", role="img", aria_label=chart.alt)
    numbers = element(
        "details",
        element("summary", "The numbers"),
        table_markup(chart.table, heading=False),
        open=True,
        class_="numbers",
    )
    title = element("figcaption", element("h3", chart.title))
    note = element("p", chart.note, class_="note") if chart.note else None
    return element("figure", title, plot, note, numbers, data(chart.spec), class_="chart", data_marks=chart.marks)


def _scripts() -> Markup:
    return join((embedded("script", _packaged("vega/vega.js")), embedded("script", _packaged("script.js"))))


def _packaged(name: str) -> str:
    return files("radvlm_cli.reporting.page").joinpath(name).read_text(encoding="utf-8")
