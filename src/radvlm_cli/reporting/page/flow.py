"""The flow of samples as a figure: what was eligible, what was asked, and how the answers came out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from radvlm_cli.reporting.flow import OUTCOMES, Answers, Flow
from radvlm_cli.reporting.page.markup import Markup, element


class FlowFigure(NamedTuple):
    """All test sets of a page."""

    flows: Sequence[Flow]


def flow_markup(figure: FlowFigure) -> Markup:
    """One part for each test set; text and bars, without a script."""
    return element("div", [_flow(flow) for flow in figure.flows], class_="flows")


def _flow(flow: Flow) -> Markup:
    test_set = flow.test_set
    steps = [
        _step("published", test_set.expected, None),
        _step("eligible", flow.found, None),
        _step("left out", _sum(flow.unusable, flow.removed), _why(flow)),
        _step("samples", test_set.samples, f"{test_set.patients:,} patients" if flow.named else "no patients named"),
    ]
    return element(
        "section",
        element("h3", test_set.name, element("small", f"{test_set.task}, {test_set.source}")),
        element("ol", [step for step in steps if step is not None], class_="steps"),
        [_answers(answers, test_set.samples) for answers in flow.answers],
        class_="flow",
    )


def _step(what: str, count: int | None, remark: str | None) -> Markup | None:
    if count is None:
        return None
    return element(
        "li", element("b", f"{count:,}"), element("span", what), element("small", remark) if remark else None
    )


def _sum(*counts: int | None) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _why(flow: Flow) -> str | None:
    parts = [
        f"{count:,} {why}"
        for count, why in ((flow.unusable, "without a readable image"), (flow.removed, "also in training"))
        if count
    ]
    return ", ".join(parts) or None


def _answers(answers: Answers, samples: int) -> Markup:
    counts = [(status, answers.outcomes.get(status, 0)) for status in OUTCOMES]
    parts = [
        element("span", class_=f"part {status}", style=f"width:{100 * count / max(samples, 1):.3f}%")
        for status, count in counts
        if count
    ]
    said = [
        element("li", element("i", class_=f"part {status}"), f"{count:,} {status}") for status, count in counts if count
    ]
    return element(
        "div",
        element("p", element("b", answers.model), f" #{answers.evaluation}: {answers.asked:,} asked", class_="model"),
        element("div", parts, class_="bar", aria_hidden="true"),
        element("ul", said, class_="outcomes"),
        class_="answers",
    )
