"""The first page: evaluations with the ways into their answers, questions that are ready to ask, tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from radvlm_cli.reporting.page.markup import Markup, element, join
from radvlm_cli.reporting.served.shell import Banner, Link, anchor, write_page


class Described(NamedTuple):
    """A query, table or view with what it holds."""

    link: Link
    what: str


class EvaluationLine(NamedTuple):
    """An evaluation and what can be looked at."""

    model: str
    test_set: str
    task: str
    answers: str
    links: Sequence[Link]


class HomePage(NamedTuple):
    """What the page shows."""

    store: str
    evaluations: Sequence[EvaluationLine]
    left_out: int
    """Older evaluations."""
    queries: Sequence[Described]
    tables: Sequence[Described]
    views: Sequence[Described]
    sql: Link


def write_home(page: HomePage, banner: Banner) -> str:
    """The HTML."""
    content = join(
        (
            element("p", page.store, class_="made"),
            _evaluations(page),
            _described("Questions, ready to ask", page.queries, anchor(page.sql)),
            _described("Views", page.views),
            _described("Tables", page.tables),
        )
    )
    return write_page("radvlm", banner, (), content)


def _evaluations(page: HomePage) -> Markup:
    title = element("h2", "Evaluations")
    if not page.evaluations:
        return element("section", title, element("p", "Nothing has been evaluated yet: radvlm eval", class_="none"))
    head = element("tr", [element("th", name, scope="col") for name in ("model", "test set", "task", "answers")])
    rows = [
        element(
            "tr",
            element("td", each.model, element("span", [anchor(link) for link in each.links], class_="ways")),
            element("td", each.test_set),
            element("td", each.task),
            element("td", each.answers),
        )
        for each in page.evaluations
    ]
    grid = element("table", element("thead", head), element("tbody", rows))
    frame = element("div", grid, class_="frame", role="region", tabindex="0", aria_label="Evaluations")
    more = element("p", f"{page.left_out:,} older ones are in the table evaluation.", class_="note")
    return element("section", title, frame, more if page.left_out else None)


def _described(title: str, rows: Sequence[Described], after: Markup | None = None) -> Markup:
    listed = [element("li", anchor(row.link), " ", element("span", row.what)) for row in rows]
    return element("section", element("h2", title), element("ul", listed, class_="described"), after)
