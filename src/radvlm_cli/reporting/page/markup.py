"""HTML that is escaped by construction: whatever is not `Markup` already becomes text."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from html import escape
from typing import Any

from radvlm_cli.reporting.tables import printable

VOID = frozenset(("meta", "link", "br", "input", "rect", "image", "use", "path", "line"))
"""Elements that are written without an end tag, or, in SVG, closed at once."""


class Markup(str):
    """Text that is HTML. Only this module makes it of strings; joining it with a plain string gives a plain string."""

    __slots__ = ()


Child = str | int | float | None | Iterable["Child"]


def text(value: str) -> Markup:
    """Text as people wrote it, or models, or file systems: nothing of it is HTML, nothing steers the reader's eye."""
    # Nearly all text has no sign of either kind, which isprintable sees at once.
    return Markup(escape(value if value.isprintable() else printable(value), quote=True))


def element(name: str, /, *children: Child, **attributes: str | int | float | bool | None) -> Markup:
    """An element. `class_` is written class, `aria_label` aria-label; None and False leave an attribute out."""
    given = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in VOID:
        return Markup(f"<{name}{given}/>")
    return Markup(f"<{name}{given}>{join(children)}</{name}>")


def join(children: Iterable[Child]) -> Markup:
    """Children one after another, each escaped unless it is Markup."""
    return Markup("".join(_child(child) for child in children))


def embedded(name: str, content: str) -> Markup:
    """`<style>` or `<script>` around text of ours, which cannot end the element early (ValueError)."""
    if f"</{name}" in content.casefold() or "<!--" in content:
        raise ValueError(f"This text would end its <{name}> early.")
    return Markup(f"<{name}>{content}</{name}>")


def data(value: Any) -> Markup:
    """JSON for a script to read. None of its characters means anything to the HTML parser."""
    written = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for char in "<>&\u2028\u2029":
        written = written.replace(char, f"\\u{ord(char):04x}")
    return Markup(f'<script type="application/json">{written}</script>')


def picture_source(jpeg: bytes) -> Markup:
    """A JPEG as an address that holds it. Base64 needs no escaping, and there is much of it."""
    return Markup(f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode('ascii')}")


def _child(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Markup):
        return child
    if isinstance(child, str):
        return text(child)
    if isinstance(child, int | float):
        return str(child)
    return join(child)


def _attribute(key: str, value: str | int | float | bool | None) -> str:
    name = key.rstrip("_").replace("_", "-")
    if name == "viewbox":
        name = "viewBox"
    if value is None or value is False:
        return ""
    if value is True:
        return f" {name}"
    return f' {name}="{value if isinstance(value, Markup) else text(str(value))}"'
