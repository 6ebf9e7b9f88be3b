"""One prediction: the picture with true and predicted boxes, what was asked, said and right, and how it scored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from radvlm_cli.reporting.page.gallery import drawing, switches
from radvlm_cli.reporting.page.markup import Markup, element, join
from radvlm_cli.reporting.samples import Sample
from radvlm_cli.reporting.served.shell import Banner, Link, anchor, write_page
from radvlm_cli.reporting.tables import number


class Fact(NamedTuple):
    """Something known of the sample or the answer."""

    name: str
    value: str
    href: str | None = None


class Judged(NamedTuple):
    """What a judging model said of the answer."""

    judge: str
    status: str
    text: str


class PredictionPage(NamedTuple):
    """What the page shows."""

    sample: Sample
    answered: str
    """`model on test set`."""
    source: str | None
    """Address of the picture in this server."""
    trail: Sequence[Link]
    neighbours: Sequence[Link]
    """The answers before and after it."""
    scores: Sequence[tuple[str, float]]
    facts: Sequence[tuple[str, Sequence[Fact]]]
    """By heading."""
    judged: Sequence[Judged]
    raw: Sequence[tuple[str, str]]
    """As the store has it: title and text."""


def write_prediction(page: PredictionPage, banner: Banner) -> str:
    """The HTML."""
    content = join(
        (
            element("p", page.answered, class_="made"),
            element("p", [anchor(link) for link in page.neighbours], class_="neighbours") if page.neighbours else None,
            element("div", _picture(page), _said(page), class_="prediction"),
            [_facts(title, facts) for title, facts in page.facts if facts],
            [_judged(each) for each in page.judged],
            [_raw(title, text) for title, text in page.raw],
        )
    )
    return write_page(page.sample.name, banner, page.trail, content)


def _picture(page: PredictionPage) -> Markup:
    picture = page.sample.picture
    ground = None
    if picture and page.source:
        ground = element("image", width=picture.width, height=picture.height, href=page.source)
    boxed = page.sample.true or page.sample.predicted
    figure = element("figure", drawing(page.sample, ground), class_="sample")
    whole = element("p", element("a", "The picture alone", href=page.source), class_="note") if ground else None
    return element("div", switches(texts=False) if boxed else None, figure, whole, class_="gallery")


def _said(page: PredictionPage) -> Markup:
    sample = page.sample
    facts = [("asked", sample.prompt), ("answer", sample.answer), ("read as", sample.read), ("right", sample.right)]
    listed = [join((element("dt", name), element("dd", _text(said)))) for name, said in facts if said is not None]
    rounds = [
        element(
            "li",
            element("p", question, class_="question"),
            element("dl", element("dt", "answer"), element("dd", _text(answer)), _right(right)),
        )
        for question, answer, right in sample.rounds
    ]
    return element(
        "div",
        element("p", _badges(page), class_="badges"),
        element("dl", listed) if listed else None,
        element("ol", rounds, class_="dialogue") if rounds else None,
        class_="said-of-it",
    )


def _badges(page: PredictionPage) -> list[Markup]:
    wrong = page.sample.status != "ok"
    badges = [element("span", page.sample.status, class_="badge wrong" if wrong else "badge")]
    return badges + [element("span", f"{title} {number(value)}", class_="badge score") for title, value in page.scores]


def _text(said: str) -> Markup:
    return element("span", said) if said.strip() else element("em", "nothing")


def _right(right: str) -> Markup | None:
    return join((element("dt", "right"), element("dd", _text(right)))) if right else None


def _facts(title: str, facts: Sequence[Fact]) -> Markup:
    rows = [
        join(
            (
                element("dt", fact.name),
                element("dd", element("a", fact.value, href=fact.href) if fact.href else fact.value),
            )
        )
        for fact in facts
    ]
    return element("section", element("h2", title), element("dl", rows, class_="facts"))


def _judged(each: Judged) -> Markup:
    return element("section", element("h2", f"{each.judge}: {each.status}"), element("pre", each.text, tabindex="0"))


def _raw(title: str, text: str) -> Markup:
    return element("details", element("summary", title), element("pre", text, tabindex="0"), class_="folded")
