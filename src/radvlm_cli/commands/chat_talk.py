"""The dialogue of `radvlm chat`: what can be typed, and what is printed."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from radvlm_cli.commands.output import plain, say
from radvlm_cli.errors import ConfigError, RadvlmError

if TYPE_CHECKING:
    from radvlm_cli.records import Box
    from radvlm_cli.stages.chat import Exchange, Session

_PROMPT = "> "
_MOST_WORDS = 40
"""Characters of what is written beside a box."""


class Command(NamedTuple):
    """Something to type."""

    usage: str
    help: str
    do: Callable[[Talk, str], None]


class Talk:
    """Does what is typed, and prints answers to stdout and all else to stderr."""

    def __init__(self, session: Session, *, save_boxes: Path | None = None, quiet: bool = False) -> None:
        """`quiet`: answers are not printed."""
        self.session, self.save_boxes, self.quiet = session, save_boxes, quiet
        self.saved: Path | None = None
        """Where boxes were drawn last."""
        self.ended = False

    def introduce(self) -> None:
        """Say what the model looks at, and what the user should know of it."""
        picture = self.session.picture
        say(f"{picture.path.name}: {picture.size[0]} x {picture.size[1]}, preprocessing {picture.preprocessing}.")
        for notice in picture.notices:
            say(f"Warning: {notice}")

    def over(self) -> None:
        """Do line by line what is typed, or piped in, to the end. A mistake of the user ends nothing."""
        typed = sys.stdin.isatty()
        if typed:
            with suppress(ImportError):  # lines can be edited and called back, where Python has it
                import readline  # noqa: F401
            say("Ask something; /help shows what else can be typed.")
        while not self.ended:
            line = None
            try:
                line = input(_PROMPT if typed else "")
                self.obey(line)
            except EOFError:
                break
            except KeyboardInterrupt:
                say(
                    "\n/quit ends, and so does Ctrl-D."
                    if line is None
                    else "\nStopped; nothing is kept of that question."
                )
            except RadvlmError as error:
                say(f"Error: {error.message}" + (f"\nTry:  {error.hint}" if error.hint else ""))

    def obey(self, line: str) -> None:
        """Do one line: a command, or a question. RadvlmError where that makes no sense."""
        line = line.strip()
        if not line:
            return
        if not line.startswith("/"):
            self.answer(self.session.ask(line))
            return
        name, _blank, rest = line.partition(" ")
        if name not in COMMANDS:
            near = difflib.get_close_matches(name, COMMANDS, 1)
            raise ConfigError(f"There is no {name}.", f"{near[0] if near else '/help'}")
        COMMANDS[name].do(self, rest.strip())

    def answer(self, said: Exchange) -> None:
        """Print an answer, keep it, and draw its boxes if that was asked for."""
        if said.reply.error is not None:
            say(f"No answer: {plain(said.reply.error)}.")
        elif said.status == "empty":
            say("The answer is empty.")
        elif not self.quiet:
            print(plain(said.answer), flush=True)
        if said.status == "truncated":
            say("Cut off at the most new tokens (--max-new-tokens).")
        self.session.keep(said)
        if self.save_boxes is not None and said.boxes:
            self.draw(said, self.save_boxes)
        elif said.task in ("region", "abnormality", "phrase") and not said.boxes and said.reply.error is None:
            say("The answer holds no box that can be read.")

    def draw(self, said: Exchange, target: Path) -> None:
        """Draw the boxes of an answer into a copy of the picture."""
        from radvlm_cli.pictures import Mark, save_boxes

        model, boxes = self.session.model.card.title, said.boxes or ()
        words = f" {_short(said.subject)}" if said.subject else ""
        marks = [Mark(box, f"{number}{words}") for number, box in enumerate(boxes, 1)]
        caption = f"Boxes as {model} gave them. Research use only, not for clinical use."
        save_boxes(self.session.picture.shown, marks, target, caption=caption)
        self.saved = target
        say(f"{len(marks)} box{'es' if len(marks) != 1 else ''} drawn into {target}.")


def _short(text: str) -> str:
    return text if len(text) <= _MOST_WORDS else f"{text[: _MOST_WORDS - 3]}..."


def _report(talk: Talk, _rest: str) -> None:
    talk.answer(talk.session.report())


def _locate(talk: Talk, phrase: str) -> None:
    talk.answer(talk.session.locate(phrase))


def _image(talk: Talk, name: str) -> None:
    if not name:
        raise ConfigError("Which image?", "/image FILE")
    talk.session.look_at(Path(name))
    talk.introduce()


def _reset(talk: Talk, _rest: str) -> None:
    talk.session.reset()
    say("A new dialogue.")


def _boxes(talk: Talk, _rest: str) -> None:
    """Fractions of the picture and pixels of the original."""
    size = talk.session.picture.size
    for number, box in enumerate(_last(talk).boxes or (), 1):
        fractions = ", ".join(f"{side:.3f}" for side in box)
        print(f"{number}: [{fractions}] = {_pixels(box, size)} pixels", flush=True)


def _pixels(box: Box, size: tuple[int, int]) -> str:
    left, top, right, bottom = (round(side * size[number % 2]) for number, side in enumerate(box))
    return f"({left}, {top}) - ({right}, {bottom})"


def _last(talk: Talk) -> Exchange:
    """The last answer about this image, which must hold boxes."""
    said = talk.session.dialogue()
    if not said:
        raise ConfigError("Nothing was asked yet.", "/locate left lung")
    if said[-1].boxes is None:
        raise ConfigError(f"{talk.session.model.name} writes no boxes.", "radvlm eval --list shows which models do")
    if not said[-1].boxes:
        raise ConfigError("The last answer holds no box.", "/locate left lung")
    return said[-1]


def _save(talk: Talk, name: str) -> None:
    """A picture with boxes, or the dialogue as text."""
    from radvlm_cli.files import atomic_write
    from radvlm_cli.pictures import FORMATS

    target = Path(name).expanduser()
    if not name:
        raise ConfigError("Save to which file?", "/save boxes.png, or /save dialogue.txt")
    if target.exists():
        raise ConfigError(f"{target} is there already.", "/save ANOTHER")
    if target.suffix.lower() in FORMATS:
        talk.draw(_last(talk), target)
        return
    said = talk.session.dialogue()
    if not said:
        raise ConfigError("Nothing was asked yet.", "/report")
    with atomic_write(target) as stream:
        stream.write(f"{talk.session.model.name} on {talk.session.picture.path.name}. Research use only.\n")
        for each in said:
            stream.write(f"\n> {each.prompt}\n\n{each.answer}\n")
    say(f"{len(said)} question{'s' if len(said) != 1 else ''} and answers in {target}.")


def _help(_talk: Talk, _rest: str) -> None:
    width = max(len(each.usage) for each in COMMANDS.values())
    for each in COMMANDS.values():
        say(f"{each.usage:<{width}}  {each.help}")
    say("Anything else is asked. Ctrl-C stops an answer.")


def _quit(talk: Talk, _rest: str) -> None:
    talk.ended = True


COMMANDS: Mapping[str, Command] = {
    "/report": Command("/report", "have a report written", _report),
    "/locate": Command("/locate PHRASE", "have a region, a finding or a description located", _locate),
    "/boxes": Command("/boxes", "the boxes of the last answer, as numbers", _boxes),
    "/save": Command("/save FILE", "the picture with those boxes (.png, .jpg), or the dialogue (.txt)", _save),
    "/image": Command("/image FILE", "look at another image", _image),
    "/reset": Command("/reset", "begin a new dialogue about this image", _reset),
    "/help": Command("/help", "this list", _help),
    "/quit": Command("/quit", "end", _quit),
}
