"""The dialogue of `radvlm chat` in a terminal: lines from the keyboard or a pipe, and what is printed."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from radvlm_cli.commands.chat_dialogue import Command, Dialogue, Outcome, answer_of, picture_with_boxes, transcript
from radvlm_cli.commands.output import say
from radvlm_cli.errors import ConfigError, RadvlmError

if TYPE_CHECKING:
    from radvlm_cli.stages.chat import Exchange, Session

_PROMPT = "> "


def check_target(target: Path, image: Path) -> None:
    """ConfigError where boxes on that image cannot be drawn into a file of that name, or would be over the image."""
    from radvlm_cli.pictures import check_format

    check_format(target)
    if target.exists() and image.exists() and target.samefile(image):
        raise ConfigError("The boxes would be drawn over the image itself.", "--save-boxes another file")


class Ended(KeyboardInterrupt):
    """The terminal was closed, or somebody ends the program: unlike Ctrl-C this ends a dialogue."""


class Talk:
    """Does what is typed, and prints answers to stdout and all else to stderr."""

    def __init__(self, session: Session, *, save_boxes: Path | None = None, quiet: bool = False) -> None:
        """`quiet`: answers are not printed."""
        self.session, self.save_boxes, self.quiet = session, save_boxes, quiet
        self.saved: Path | None = None
        """Where boxes were drawn last."""
        self.ended = False
        more = {
            "/save": Command("/save FILE", "the picture with those boxes (.png, .jpg), or the dialogue", self._save),
            "/image": Command("/image FILE", "look at another image", self._image),
            "/quit": Command("/quit", "end; Ctrl-C stops an answer", self._quit),
        }
        self.dialogue = Dialogue(session, more)

    def introduce(self) -> None:
        """Say what the model looks at, and what the user should know of it."""
        picture = self.session.picture
        say(f"{picture.name}: {picture.size[0]} x {picture.size[1]}, preprocessing {picture.preprocessing}.")
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
            except Ended:
                raise
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
        outcome = self.dialogue.obey(line)
        if outcome.said is not None and not self.quiet and (answer := answer_of(outcome.said)):
            print(answer, flush=True)
        for result in outcome.lines:
            print(result, flush=True)
        for note in outcome.notes:
            say(note)
        if outcome.said is not None:
            self.session.keep(outcome.said)
            if self.save_boxes is not None and outcome.said.boxes:
                self.draw(outcome.said, self.save_boxes)

    def draw(self, said: Exchange, target: Path) -> None:
        """Draw the boxes of an answer into a copy of the picture, in the resolution of the original."""
        from radvlm_cli.pictures import save

        check_target(target, self.session.picture.path)
        whole = self.session.at_full_size(self.session.picture)
        save(picture_with_boxes(whole, said, self.session.model.card.title), target)
        self.saved = target
        count = len(said.boxes or ())
        say(f"{count} box{'es' if count != 1 else ''} drawn into {target}.")

    def _image(self, name: str) -> Outcome:
        if not name:
            raise ConfigError("Which image?", "/image FILE")
        self.session.look_at(Path(name))
        self.introduce()
        return Outcome()

    def _save(self, name: str) -> Outcome:
        """A picture with boxes, or the dialogue as text."""
        from radvlm_cli.files import atomic_write
        from radvlm_cli.pictures import FORMATS

        target = Path(name).expanduser()
        if not name:
            raise ConfigError("Save to which file?", "/save boxes.png, or /save dialogue.txt")
        if target.exists():
            raise ConfigError(f"{target} is there already.", "/save ANOTHER")
        if target.suffix.lower() in FORMATS:
            self.draw(self.dialogue.located(), target)
            return Outcome()
        said = self.session.dialogue()
        if not said:
            raise ConfigError("Nothing was asked yet.", "/report")
        with atomic_write(target) as stream:
            stream.write(transcript(self.session.picture.name, said, self.session.model.name))
        return Outcome(notes=(f"{len(said)} question{'s' if len(said) != 1 else ''} and answers in {target}.",))

    def _quit(self, _rest: str) -> Outcome:
        self.ended = True
        return Outcome()
