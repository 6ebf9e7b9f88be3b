"""Pictures of samples with true and predicted boxes, drawn by the page itself: sharp at any size, hidden by CSS."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from radvlm_cli.reporting.page.markup import Markup, element, join, picture_source
from radvlm_cli.reporting.samples import DrawnBox, Picture, Sample, SampleGroup
from radvlm_cli.reporting.tables import number

_LONG = 260
"""Characters from which on a text is folded."""
_HEAD = 150
_SIDE = 512
"""Longer side of the drawing where there is no picture."""


class Gallery(NamedTuple):
    """All groups of a page."""

    groups: Sequence[SampleGroup]


def gallery_markup(gallery: Gallery) -> Markup:
    """The switches, the pictures (each file once), and the groups."""
    pictures = {
        sample.picture.key: sample.picture for group in gallery.groups for sample in group.samples if sample.picture
    }
    places = {key: f"picture-{place}" for place, key in enumerate(pictures)}
    defined = [_defined(places[key], picture) for key, picture in pictures.items()]
    store = element(
        "svg", element("defs", defined), width=0, height=0, aria_hidden="true", focusable="false", class_="defined"
    )
    boxed = [place for place, group in enumerate(gallery.groups) if any(each.predicted for each in group.samples)]
    opened = boxed[0] if boxed else 0
    groups = [_group(group, places, opened=place == opened) for place, group in enumerate(gallery.groups)]
    return element("div", switches(), store, groups, class_="gallery")


def switches(*, texts: bool = True) -> Markup:
    """Switches that show and hide boxes by style alone, in all of a `gallery`; `texts`: captions and size, too."""

    def switch(name: str, label: Markup | str, on: bool) -> Markup:
        return element("label", element("input", type="checkbox", id=name, checked=on), label, for_=name)

    true = join((_swatch("true"), "true boxes"))
    predicted = join((_swatch("predicted"), "predicted boxes"))
    return element(
        "fieldset",
        element("legend", "Show"),
        switch("show-true", true, True),
        switch("show-predicted", predicted, True),
        switch("show-texts", "texts", True) if texts else None,
        switch("show-large", "larger", False) if texts else None,
        class_="switches",
    )


def _swatch(kind: str) -> Markup:
    line = element("rect", x=2, y=2, width=22, height=12, class_="line")
    return element("svg", element("g", line, class_=kind), viewbox="0 0 26 16", class_="swatch", aria_hidden="true")


def _defined(place: str, picture: Picture) -> Markup:
    source = picture_source(picture.jpeg)
    return element("image", id=place, width=picture.width, height=picture.height, href=source)


def _group(group: SampleGroup, places: dict[str, str], opened: bool) -> Markup:
    figures = [_figure(group, sample, places) for sample in group.samples]
    note = element("p", group.note, class_="note")
    summary = element("summary", element("h3", group.title))
    return element("details", summary, note, element("div", figures, class_="grid"), class_="group", open=opened)


def _figure(group: SampleGroup, sample: Sample, places: dict[str, str]) -> Markup:
    return element("figure", _drawing(sample, places), _caption(group, sample), class_="sample")


def _drawing(sample: Sample, places: dict[str, str]) -> Markup:
    picture = sample.picture
    return drawing(sample, element("use", href=f"#{places[picture.key]}") if picture else None)


def drawing(sample: Sample, ground: Markup | None) -> Markup:
    """The boxes of a sample over `ground`, which is as large as its picture; without a picture, over nothing."""
    if sample.picture and ground is not None:
        width, height = sample.picture.width, sample.picture.height
    else:
        width, height = _size(sample.aspect)
        ground = join(
            (
                element("rect", width=width, height=height, class_="blank"),
                element("text", sample.missing or "", x=width / 2, y=height - 14, class_="said")
                if sample.missing
                else "",
            )
        )
    return element(
        "svg",
        ground,
        _boxes("true", sample.true, width, height),
        _boxes("predicted", sample.predicted, width, height),
        viewbox=f"0 0 {width} {height}",
        role="img",
        aria_label=_alt(sample),
        class_="drawing",
    )


def _size(aspect: float) -> tuple[int, int]:
    return (_SIDE, max(round(_SIDE / aspect), 1)) if aspect >= 1 else (max(round(_SIDE * aspect), 1), _SIDE)


def _boxes(kind: str, boxes: Sequence[DrawnBox], width: int, height: int) -> Markup | None:
    if not boxes:
        return None
    return element("g", [_box(box, width, height) for box in boxes], class_=kind)


def _box(box: DrawnBox, width: int, height: int) -> Markup:
    x, y = box.x_min * width, box.y_min * height
    sides = (f"{max(box.x_max - box.x_min, 0) * width:.1f}", f"{max(box.y_max - box.y_min, 0) * height:.1f}")
    place = {"x": f"{x:.1f}", "y": f"{y:.1f}", "width": sides[0], "height": sides[1]}
    drawn = [element("rect", class_="halo", **place), element("rect", class_="line", **place)]
    if box.label:
        # Above the box, or inside it where there is no room above.
        at = y - 6 if y > 24 else y + 20
        drawn.append(element("text", box.label, x=f"{min(x + 2, width - 60):.1f}", y=f"{at:.1f}"))
    return join(drawn)


def _alt(sample: Sample) -> str:
    parts = [f"Chest X-ray of sample {sample.name}" if sample.picture else f"Sample {sample.name}, without its picture"]
    for boxes, what in ((sample.true, "true"), (sample.predicted, "predicted")):
        parts.append(f"{len(boxes)} {what} {'box' if len(boxes) == 1 else 'boxes'}")
    return ", ".join(parts)


def _caption(group: SampleGroup, sample: Sample) -> Markup:
    badges = [element("span", sample.why, class_=f"badge {sample.why}")]
    if sample.score is not None and group.metric:
        badges.append(element("span", f"{group.metric} {number(sample.score)}", class_="badge score"))
    if sample.status != "ok":
        badges.append(element("span", sample.status, class_="badge wrong"))
    facts = [
        ("asked", sample.prompt),
        ("answer", sample.answer),
        ("read as", sample.read),
        ("right", sample.right),
    ]
    listed = [join((element("dt", name), element("dd", _folded(said)))) for name, said in facts if said is not None]
    return element(
        "figcaption",
        element("p", badges, class_="badges"),
        element("p", sample.name, " · " if sample.person else None, sample.person, class_="id"),
        element("dl", listed) if listed else None,
        _rounds(sample.rounds),
    )


def _folded(said: str) -> Markup:
    if not said.strip():
        return element("em", "nothing")
    if len(said) <= _LONG:
        return element("span", said)
    head = said[:_HEAD].rsplit(" ", 1)[0]
    return element("details", element("summary", f"{head} …"), element("div", said), class_="long")


def _rounds(rounds: Iterable[tuple[str, str, str]]) -> Markup | None:
    listed = [
        element(
            "li",
            element("p", question, class_="question"),
            element("dl", element("dt", "answer"), element("dd", _folded(answer)), _right(right)),
        )
        for question, answer, right in rounds
    ]
    if not listed:
        return None
    summary = element("summary", f"{len(listed)} rounds")
    return element("details", summary, element("ol", listed), class_="rounds")


def _right(right: str) -> Markup | None:
    return join((element("dt", "right"), element("dd", _folded(right)))) if right else None
