"""A dialogue about one image without a terminal in it: a line in, what it led to out. Terminal and page share it."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from radvlm_cli.commands.output import plain
from radvlm_cli.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from PIL.Image import Image

    from radvlm_cli.records import Box
    from radvlm_cli.stages.chat import Exchange, Session

_MOST_WORDS = 40
"""Characters of what is written beside a box."""


class Outcome(NamedTuple):
    """What a line led to."""

    said: Exchange | None = None
    """The model's answer. Whoever shows it also keeps it (`Session.keep`)."""
    lines: tuple[str, ...] = ()
    """A result that no model gave."""
    notes: tuple[str, ...] = ()
    """What is to be told beside."""


class Command(NamedTuple):
    """Something to type."""

    usage: str
    help: str
    do: Callable[[str], Outcome]


class Dialogue:
    """Does what is typed."""

    def __init__(self, session: Session, more: Mapping[str, Command] | None = None) -> None:
        """`more`: commands that make sense only where the lines come from."""
        self.session = session
        self.commands: Mapping[str, Command] = {
            "/report": Command("/report", "have a report written", self._report),
            "/locate": Command("/locate PHRASE", "have a region, a finding or a description located", self._locate),
            "/boxes": Command("/boxes", "the boxes of the last answer, as numbers", self._boxes),
            "/reset": Command("/reset", "begin a new dialogue about this image", self._reset),
            **(more or {}),
            "/help": Command("/help", "this list", self._help),
        }

    def obey(self, line: str) -> Outcome:
        """Do one line: a command, or a question. RadvlmError where that makes no sense."""
        line = line.strip()
        if not line:
            return Outcome()
        if not line.startswith("/"):
            return _answered(self.session.ask(line))
        name, _blank, rest = line.partition(" ")
        if name not in self.commands:
            near = difflib.get_close_matches(name, self.commands, 1)
            raise ConfigError(f"There is no {name}.", f"{near[0] if near else '/help'}")
        return self.commands[name].do(rest.strip())

    def located(self) -> Exchange:
        """The last answer about this image, which must hold boxes (ConfigError)."""
        said = self.session.dialogue()
        if not said:
            raise ConfigError("Nothing was asked yet.", "/locate left lung")
        if said[-1].boxes is None:
            raise ConfigError(f"{self.session.model.name} writes no boxes.", "radvlm eval --list shows which models do")
        if not said[-1].boxes:
            raise ConfigError("The last answer holds no box.", "/locate left lung")
        return said[-1]

    def _report(self, _rest: str) -> Outcome:
        return _answered(self.session.report())

    def _locate(self, phrase: str) -> Outcome:
        return _answered(self.session.locate(phrase))

    def _boxes(self, _rest: str) -> Outcome:
        """Fractions of the picture and pixels of the original."""
        lines, size = [], self.session.picture.size
        for number, box in enumerate(self.located().boxes or (), 1):
            fractions = ", ".join(f"{side:.3f}" for side in box)
            lines.append(f"{number}: [{fractions}] = {pixels(box, size)} pixels")
        return Outcome(lines=tuple(lines))

    def _reset(self, _rest: str) -> Outcome:
        self.session.reset()
        return Outcome(notes=("A new dialogue.",))

    def _help(self, _rest: str) -> Outcome:
        width = max(len(each.usage) for each in self.commands.values())
        listed = [f"{each.usage:<{width}}  {each.help}" for each in self.commands.values()]
        return Outcome(notes=(*listed, "Anything else is asked."))


def _answered(said: Exchange) -> Outcome:
    return Outcome(said=said, notes=notes_on(said))


def answer_of(said: Exchange) -> str:
    """The answer as it may be shown anywhere: no character steers a terminal or turns the direction of writing."""
    return "" if said.reply.error is not None or said.status == "empty" else plain(said.answer)


def notes_on(said: Exchange) -> tuple[str, ...]:
    """What the reader of an answer should know of it."""
    if said.reply.error is not None:
        return (f"No answer: {plain(said.reply.error)}.",)
    notes = []
    if said.status == "empty":
        notes.append("The answer is empty.")
    if said.status == "truncated":
        notes.append("Cut off at the most new tokens (--max-new-tokens).")
    if said.task in ("region", "abnormality", "phrase") and not said.boxes:
        notes.append("The answer holds no box that can be read.")
    return tuple(notes)


def pixels(box: Box, size: tuple[int, int]) -> str:
    """Upper left and lower right corner, in pixels of a picture of that width and height."""
    left, top, right, bottom = (round(side * size[number % 2]) for number, side in enumerate(box))
    return f"({left}, {top}) - ({right}, {bottom})"


def words_on(said: Exchange) -> tuple[str, ...]:
    """What is written beside each box of an answer: its number, and what was to be located."""
    words = f" {_short(said.subject)}" if said.subject else ""
    return tuple(f"{number}{words}" for number in range(1, 1 + len(said.boxes or ())))


def _short(text: str) -> str:
    if len(text) <= _MOST_WORDS:
        return text
    whole, _blank, _cut = text[: _MOST_WORDS - 3].rpartition(" ")
    return f"{whole or text[: _MOST_WORDS - 3]}..."


def picture_with_boxes(picture: Path, said: Exchange, title: str) -> Image:
    """A copy of a picture with the boxes that the model of that title gave, and a line below that says so."""
    from radvlm_cli.pictures import Mark, draw_boxes

    marks = [Mark(box, words) for box, words in zip(said.boxes or (), words_on(said), strict=True)]
    caption = f"Boxes as {title} gave them. Research use only, not for clinical use."
    return draw_boxes(picture, marks, caption=caption)


def transcript(picture: str, exchanges: Sequence[Exchange], model: str) -> str:
    """A dialogue about the picture of that name as text that a terminal can show."""
    head = f"{model} on {picture}. Research use only.\n"
    return plain(head + "".join(f"\n> {each.prompt}\n\n{each.answer}\n" for each in exchanges))
