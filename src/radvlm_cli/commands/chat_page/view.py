"""What the page shows of a session, as JSON values, and the files that it offers."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from radvlm_cli.commands.chat_dialogue import answer_of, notes_on, picture_with_boxes, pixels, words_on
from radvlm_cli.commands.output import plain

if TYPE_CHECKING:
    from radvlm_cli.stages.chat import Exchange, Session
    from radvlm_cli.stages.chat_image import Picture

_BROWSERS_SHOW = {"JPEG": "image/jpeg", "PNG": "image/png"}


class View(NamedTuple):
    """A session between two questions: it changes no more, so that any thread may read it."""

    picture: Picture | None
    number: int
    """Counts pictures, so that a browser tells one from the next."""
    exchanges: tuple[Exchange, ...]
    """Of the dialogue at hand."""


def view_of(session: Session, before: View | None = None) -> View:
    """The session as it is now; `before`: as it was last seen."""
    number = 0 if before is None else before.number + (before.picture is not session.looking_at)
    return View(session.looking_at, number, tuple(session.dialogue()))


def page_values(session: Session, view: View) -> dict[str, Any]:
    """All that the page shows. Every text is plain text."""
    tasks = session.model.card.tasks
    return {
        "model": {
            "name": session.model.name,
            "title": session.model.card.title,
            "asks": "conversation" in tasks,
            "reports": "report" in tasks,
            "locates": bool({"region", "abnormality", "phrase"} & tasks),
        },
        "kept": session.run is not None,
        "picture": None if view.picture is None else _picture(view.picture, view.number),
        "exchanges": [] if view.picture is None else [_exchange(said, view.picture.size) for said in view.exchanges],
    }


def _picture(picture: Picture, number: int) -> Mapping[str, Any]:
    return {
        "number": number,
        "name": plain(picture.name),
        "width": picture.size[0],
        "height": picture.size[1],
        "preprocessing": picture.preprocessing,
        "notices": list(picture.notices),
    }


def _exchange(said: Exchange, size: tuple[int, int]) -> Mapping[str, Any]:
    boxes = zip(said.boxes or (), words_on(said), strict=True)
    return {
        "position": said.position,
        "prompt": plain(said.prompt),
        "answer": answer_of(said),
        "notes": list(notes_on(said)),
        "boxes": [{"box": list(box), "words": plain(words), "pixels": pixels(box, size)} for box, words in boxes],
        "seconds": round(said.latency_ms / 1000, 1),
    }


def shown_picture(picture: Picture) -> tuple[str, bytes]:
    """The picture that the model gets: type and content of a file that every browser shows."""
    from PIL import Image

    with Image.open(picture.shown) as opened:
        kind = _BROWSERS_SHOW.get(opened.format or "")
        if kind is not None:
            return kind, picture.shown.read_bytes()
        return "image/png", _png(opened.convert("RGB"))


def boxes_picture(whole: Path, said: Exchange, title: str) -> bytes:
    """A PNG of the picture, in the resolution of the original, with the boxes of an answer."""
    return _png(picture_with_boxes(whole, said, title))


def _png(picture: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()
