"""What the page asks for, and what it gets."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http import HTTPStatus
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NoReturn

from radvlm_cli.commands.chat_dialogue import Dialogue, Outcome, transcript
from radvlm_cli.commands.chat_page.desk import Desk, Job
from radvlm_cli.commands.chat_page.server import (
    MOST_UPLOAD,
    Answer,
    Asked,
    Body,
    PageServer,
    Refused,
    is_number,
    json_answer,
)
from radvlm_cli.commands.chat_page.view import View, boxes_picture, page_values, shown_picture, view_of
from radvlm_cli.errors import DataError, RadvlmError

if TYPE_CHECKING:
    from radvlm_cli.stages.chat import Exchange, Session

_FILES = {"": "page.html", "page.js": "page.js", "page.css": "page.css", "icon.svg": "icon.svg"}
_KINDS = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_PATIENCE_S = 20.0
"""So long a browser waits for a job before it is told that it is not done; it asks again then."""
_PIECE = 1 << 20
_SUFFIXES = (".png", ".jpg", ".jpeg", ".dcm", ".dicom")
_LONGEST_NAME = 120


class Page:
    """The page of a session: what it shows, and the desk that does what it wants."""

    def __init__(self, session: Session, uploads: Path) -> None:
        """`uploads`: an empty folder for files from the browser."""
        self.desk = Desk()
        self._session, self._dialogue, self.uploads = session, Dialogue(session), uploads
        self._view = view_of(session)
        self._received = 0
        self._lock = threading.Lock()

    def routes(self, asked: Asked) -> Answer:
        """Answer a request, in any thread. Refused where that cannot be."""
        if asked.body is not None:
            return self._posted(asked.path, asked.query, asked.body)
        view, (first, _slash, rest) = self._view, asked.path.partition("/")
        if asked.path in _FILES:
            name = _FILES[asked.path]
            return Answer(_KINDS[Path(name).suffix], files(__package__).joinpath(name).read_bytes())
        if asked.path == "state":
            return json_answer({**page_values(self._session, view), "most_upload": MOST_UPLOAD})
        if first == "job" and is_number(rest):
            return self._waited(self.desk.find(int(rest)))
        if first == "picture" and rest == str(view.number) and (picture := view.picture) is not None:
            return _from_file(lambda: Answer(*shown_picture(picture)))
        if first == "boxes" and (said := _exchange_at(view, rest.removesuffix(".png"))) is not None:
            return _from_file(lambda: self._drawn(view, said))
        if asked.path == "dialogue.txt" and view.picture is not None:
            text = transcript(view.picture.name, view.exchanges, self._session.model.name)
            return Answer("text/plain", text.encode("utf-8", "replace"), save_as="dialogue.txt")
        _absent()

    def _posted(self, path: str, query: Mapping[str, str], body: Body) -> Answer:
        if path == "say":
            line = _line(body)
            return self._handed_in(lambda: self._done(lambda: self._dialogue.obey(line)))
        if path == "image":
            if body.kind != "application/octet-stream":
                raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "An image is sent as application/octet-stream.")
            name = _plain_name(query.get("name", ""))
            file = self._receive(name, body)
            return self._handed_in(lambda: self._done(lambda: self._look_at(file, name)), unless=file)
        _absent()

    def _handed_in(self, do: Callable[[], Mapping[str, Any]], *, unless: Path | None = None) -> Answer:
        job = self.desk.hand_in(do)
        if job is None:
            if unless is not None:
                unless.unlink(missing_ok=True)
            raise Refused(HTTPStatus.TOO_MANY_REQUESTS, "Too many questions wait for their answers.")
        return json_answer({"job": job.number, "ahead": self.desk.ahead(job)}, HTTPStatus.ACCEPTED)

    def _waited(self, job: Job | None) -> Answer:
        if job is None:
            _absent()
        if job.done.wait(_PATIENCE_S) and job.result is not None:
            return json_answer({"done": True, **job.result})
        return json_answer({"done": False, "ahead": self.desk.ahead(job)})

    def _done(self, do: Callable[[], Outcome]) -> Mapping[str, Any]:
        """Do something at the desk: what came of it, and the page as it is then."""
        told: dict[str, Any] = {"lines": [], "notes": [], "error": None, "hint": None}
        try:
            outcome = do()
            # An answer's own notes stand beside it.
            told |= {"lines": list(outcome.lines), "notes": list(outcome.notes) if outcome.said is None else []}
            if outcome.said is not None:
                self._session.keep(outcome.said)
        except RadvlmError as error:
            told |= {"error": error.message, "hint": error.hint}
        self._view = view_of(self._session, self._view)
        return {**told, "state": page_values(self._session, self._view)}

    def _receive(self, name: str, body: Body) -> Path:
        with self._lock:
            self._received += 1
            number = self._received
        suffix = Path(name).suffix.lower()
        file = self.uploads / f"{number}{suffix if suffix in _SUFFIXES else ''}"
        left = body.length
        try:
            with file.open("wb") as stream:
                while left and (piece := body.stream.read(min(left, _PIECE))):
                    stream.write(piece)
                    left -= len(piece)
        except OSError as error:
            file.unlink(missing_ok=True)
            raise Refused(HTTPStatus.INSUFFICIENT_STORAGE, f"The file is not taken: {error.strerror}.") from error
        if left:
            file.unlink()
            raise Refused(HTTPStatus.BAD_REQUEST, "The file was cut off on its way.")
        return file

    def _look_at(self, file: Path, name: str) -> Outcome:
        before = self._session.looking_at
        try:
            self._session.look_at(file, called=name)
        except DataError:
            file.unlink()
            raise
        if before is not None and before.path.parent == self.uploads:
            before.path.unlink()
        return Outcome()

    def _drawn(self, view: View, said: Exchange) -> Answer:
        assert view.picture is not None
        with self._lock:  # two threads would write one file
            whole = self._session.at_full_size(view.picture)
        return Answer("image/png", boxes_picture(whole, said, self._session.model.card.title), save_as="boxes.png")


def _absent() -> NoReturn:
    raise Refused(HTTPStatus.NOT_FOUND, "There is nothing here.")


def _from_file(make: Callable[[], Answer]) -> Answer:
    """An answer made of a file that the next image may just now replace."""
    try:
        return make()
    except (DataError, OSError) as error:
        raise Refused(HTTPStatus.NOT_FOUND, "The picture is gone.") from error


def _exchange_at(view: View, position: str) -> Exchange | None:
    return next((said for said in view.exchanges if str(said.position) == position and said.boxes), None)


def _line(body: Body) -> str:
    """The one line of a question."""
    if body.kind != "application/json":
        raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "A question is sent as application/json.")
    try:
        said = json.loads(body.stream.read(body.length))
        line = said["line"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise Refused(HTTPStatus.BAD_REQUEST, 'A question is {"line": TEXT}.') from error
    if not isinstance(line, str):
        raise Refused(HTTPStatus.BAD_REQUEST, 'A question is {"line": TEXT}.')
    # Halves of surrogate pairs, which JSON can hold, go into no file or tokenizer.
    return line.encode("utf-8", "replace").decode()


def _plain_name(name: str) -> str:
    """The last part of a file's name, without what would steer a terminal."""
    last = name.replace("\\", "/").rpartition("/")[2]
    kept = "".join(char for char in last if char.isprintable())[-_LONGEST_NAME:]
    return kept if kept.strip(". ") else "image"


@contextmanager
def served_page(session: Session) -> Iterator[tuple[str, Page]]:
    """The page, and its address, while the body runs; nothing is done at its desk but by whoever works there."""
    with TemporaryDirectory(prefix="radvlm-uploads-") as uploads:
        page = Page(session, Path(uploads))
        with PageServer(page.routes) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="page", daemon=True)
            thread.start()
            try:
                yield server.url, page
            finally:
                server.shutdown()
                thread.join()


def serve(session: Session, say: Callable[[str], None]) -> None:
    """Print the page's address and answer what is asked there, until Ctrl-C."""
    with served_page(session) as (url, page):
        say("Open this in a browser on this machine; the address is a secret of yours. Ctrl-C here ends it.")
        print(url, flush=True)
        try:
            page.desk.work()
        except KeyboardInterrupt:
            with suppress(OSError):  # a terminal that was closed takes no words
                say("\nEnded; nothing is kept of the question in hand." if page.desk.busy else "\nEnded.")
