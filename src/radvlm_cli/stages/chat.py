"""chat: ask a model about one image, in the words, with the preprocessing and by the parsers of `eval`."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from radvlm_cli.adapters import answers, most_tokens
from radvlm_cli.adapters.batching import is_out_of_memory
from radvlm_cli.adapters.loading import OFFLINE, load_model, loading_of
from radvlm_cli.adapters.protocol import Adapter, Asked, Device, Loading, Reply, Request, Task
from radvlm_cli.errors import ConfigError, RadvlmError
from radvlm_cli.hashing import canonical_json
from radvlm_cli.instructions import abnormality_grounding, anatomical_grounding, phrase_grounding, report_generation
from radvlm_cli.labels import ABNORMALITIES
from radvlm_cli.llm.consent import require_consent
from radvlm_cli.llm.endpoint import find_endpoint
from radvlm_cli.metrics.family import Status
from radvlm_cli.records import Box, Turn
from radvlm_cli.sources.vindr import CLASSES
from radvlm_cli.stages.answering.worker import status_of
from radvlm_cli.stages.chat_image import Picture, at_full_size, open_image
from radvlm_cli.stages.evaluation import request as evaluation_request
from radvlm_cli.stages.evaluation.models import Model, find_model, require_packages, wanted_tasks, weights_words
from radvlm_cli.stages.evaluation.reading import reader
from radvlm_cli.store.chats import ChatRow, keep_turn
from radvlm_cli.store.engine import open_store
from radvlm_cli.store.runs import Run, open_run
from radvlm_cli.store.scores import Answered
from radvlm_cli.store.spool_writer import now

_WORDING = 0
"""Which wording of a question is used: always the same."""
_FINDINGS = {name.casefold(): name for name in (*CLASSES, *ABNORMALITIES)}


class Exchange(NamedTuple):
    """A question and its answer."""

    position: int
    """Place in the session, from 0."""
    dialogue: int
    task: Task
    subject: str | None
    """What was to be located."""
    prompt: str
    answer: str
    """The answer within the text."""
    boxes: tuple[Box, ...] | None
    """Those in the answer; None: the model writes none."""
    status: Status
    parser: str
    reply: Reply
    latency_ms: int


class Conditions(NamedTuple):
    """The model and how it is asked."""

    model: Model
    loading: Loading
    most: int | None
    """Most new tokens of an answer; None: as `eval` has it."""
    base_url: str | None


class Session:
    """A model, a picture, and what was said so far."""

    def __init__(
        self, conditions: Conditions, adapter: Adapter, folder: Path, picture: Picture | None, run: Run | None
    ) -> None:
        self.model, self.looking_at = conditions.model, picture
        self.exchanges: list[Exchange] = []
        self.run = run
        self._conditions, self._adapter, self._folder = conditions, adapter, folder
        self._turns: list[Turn] = []
        self._dialogue = 0

    @property
    def picture(self) -> Picture:
        """The image at hand. ConfigError where there is none yet."""
        if self.looking_at is None:
            raise ConfigError("There is no image yet.", "Open one first")
        return self.looking_at

    def look_at(self, path: Path, *, called: str | None = None) -> Picture:
        """Go on with another image; what was said of the last one is over. DataError where it is none.

        `called`: see open_image.
        """
        self.looking_at = picture = open_image(path, self._folder, called=called)
        self.reset()
        return picture

    def at_full_size(self, picture: Picture) -> Path:
        """See `chat_image.at_full_size`."""
        return at_full_size(picture, self._folder)

    def reset(self) -> None:
        """Begin a new dialogue about the same image."""
        self._dialogue += bool(self.dialogue())
        self._turns = []

    def ask(self, text: str) -> Exchange:
        """Go on with the dialogue. ConfigError where the model holds none."""
        wanted_tasks(self.model.card, ["conversation"])
        return self._exchange("conversation", None, text, self._turns)

    def report(self) -> Exchange:
        """Have a report written, asked for as in `eval`: by itself."""
        (task,) = wanted_tasks(self.model.card, ["report"])
        return self._exchange(task, None, self._prompt(task, None, report_generation.ask(_WORDING)), ())

    def locate(self, phrase: str) -> Exchange:
        """Have a region, a finding or what a sentence says located, asked for as in `eval`: by itself."""
        able = wanted_tasks(self.model.card, ["grounding"])
        task, subject, question = _located(phrase, able)
        return self._exchange(task, subject, self._prompt(task, subject, question), ())

    def dialogue(self) -> list[Exchange]:
        """What belongs to the dialogue at hand."""
        return [each for each in self.exchanges if each.dialogue == self._dialogue]

    def keep(self, said: Exchange) -> None:
        """Write an exchange to the store, if there is one."""
        if self.run is None:
            return
        reply, picture = said.reply, self.picture
        row = ChatRow(
            position=said.position,
            dialogue=said.dialogue,
            image=_writable(picture.called),
            image_sha256=picture.sha256,
            preprocessing=picture.preprocessing,
            model=self.model.name,
            weights=weights_words(self.model, self._conditions.base_url),
            adapter=_writable(canonical_json(dict(self._adapter.identity))),
            task=said.task,
            prompt=said.prompt,
            status=said.status,
            text=reply.text,
            boxes=None if said.boxes is None else canonical_json([list(box) for box in said.boxes]),
            parser=said.parser,
            seen_width=reply.seen and reply.seen[0],
            seen_height=reply.seen and reply.seen[1],
            tokens_in=reply.tokens_in,
            tokens_out=reply.tokens_out,
            latency_ms=said.latency_ms,
            error=reply.error,
            at=now(),
        )
        keep_turn(self.run, row)

    def _prompt(self, task: Task, subject: str | None, question: Turn) -> str:
        return self.model.card.prompt(Asked(task, subject, question.text), self._conditions.loading.protocol)

    def _exchange(self, task: Task, subject: str | None, prompt: str, before: Sequence[Turn]) -> Exchange:
        prompt, subject = _writable(prompt), subject and _writable(subject)
        asked = Turn("human", prompt)
        request = Request(self.picture.name, self.picture.shown, (*before, asked), task)
        most = self._conditions.most or most_tokens(self.model.card, task)
        begun = time.monotonic()
        try:
            (reply,) = self._adapter.answer([request], most)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise RadvlmError(
                "The memory of this device does not hold the picture and the dialogue.",
                "/reset begins a new dialogue; --dtype bfloat16 takes half the memory",
            ) from error
        took = round(1000 * (time.monotonic() - begun))
        reply = reply._replace(text=_writable(reply.text), error=reply.error and _writable(reply.error))
        status, boxes, parser = self._read(task, reply)
        answer = answers.extract(self.model.card.extractor, reply.text).text
        place = (len(self.exchanges), self._dialogue)
        said = Exchange(*place, task, subject, prompt, answer, boxes, status, parser, reply, took)
        self.exchanges.append(said)
        if reply.error is None:
            self._turns += [asked, Turn("gpt", reply.text)]
        return said

    def _read(self, task: Task, reply: Reply) -> tuple[Status, tuple[Box, ...] | None, str]:
        """Status, boxes and parser; boxes are looked for in whatever answer of a model that writes them."""
        card = self.model.card
        sample = Answered(0, "", "", self.picture.size, {}, status_of([reply]), reply.text, reply.seen)
        words, located = (reader(card, what, (), unfinished=True) for what in ("report", "phrase"))
        said = words.read(sample).status
        if card.codec is None:
            return _status(reply, said), None, words.parser
        found = located.read(sample)
        boxes = tuple(Box(*box) for box in (found.content or {}).get("boxes", ()))
        if task in ("report", "conversation"):
            return _status(reply, said), boxes, f"{words.parser}, {located.parser}"
        return _status(reply, found.status), boxes, located.parser


def _status(reply: Reply, read: Status) -> Status:
    return "truncated" if read == "ok" and reply.truncated else read


def _located(phrase: str, able: Sequence[Task]) -> tuple[Task, str, Turn]:
    """Which of the tasks that a model is able to do a phrase is, what is to be located, and the question."""
    plain = " ".join(phrase.split())
    if not plain:
        raise ConfigError("What is to be located?", "/locate left lung")
    name = plain.casefold().rstrip(".")
    if name in anatomical_grounding.REGIONS and "region" in able:
        return "region", name, anatomical_grounding.ask(name, _WORDING)
    if name in _FINDINGS and "abnormality" in able:
        return "abnormality", _FINDINGS[name], abnormality_grounding.ask(_FINDINGS[name], _WORDING)
    task: Task = "phrase" if "phrase" in able else able[0]
    return task, plain, phrase_grounding.ask(plain, _WORDING)


def _writable(text: str) -> str:
    """Without halves of surrogate pairs (JSON and bytes of another encoding give them), which nothing takes."""
    return text.encode("utf-8", "replace").decode("utf-8")


@contextmanager
def open_session(
    image: Path | None,
    asked: evaluation_request.Asked,
    *,
    device: str,
    store: Path | None,
    log: bool,
    allow_network: bool,
    say: Callable[[str], None],
) -> Iterator[Session]:
    """Look at the image, if there is one yet, load the model, and begin a session; the image comes first, as it costs
    least.

    `store` must exist. Exchanges are kept there where `log` is on; without it the store only tells of training runs.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="radvlm-chat-")))
        picture = None if image is None else open_image(image, folder)
        opened = None
        if store is not None:
            opened = stack.enter_context(open_store(store, create=False, allow_network=allow_network))
        if asked.model is None:
            raise ConfigError("No model is named.", "--model NAME; radvlm eval --list shows which there are")
        model = find_model(opened, asked.model, asked.weights or ())
        require_packages(model)
        _require_consent(asked)
        conditions = _conditions(asked, model, device, say)
        if model.weights:
            say(f"Loading {model.card.title} from {weights_words(model, None)}.")
        adapter = load_model(model.card, conditions.loading)
        stack.callback(adapter.close)
        run = None
        if opened is not None and log:
            arguments = {
                "model": model.name,
                "device": conditions.loading.device,
                "protocol": asked.protocol,
                "base_url": asked.base_url,
                "zero_retention": bool(asked.zero_retention),
            }
            run = stack.enter_context(open_run(opened, "chat", arguments, side_by_side=True))
        yield Session(conditions, adapter, folder, picture, run)


def _require_consent(asked: evaluation_request.Asked) -> None:
    """ConfigError where the image would go to somebody else's server that nobody vouches for: it may be a patient's."""
    if asked.base_url is None:
        return
    server = find_endpoint("endpoint", model=None, azure_model=None, base_url=asked.base_url, environ=os.environ)
    require_consent(
        titles=["The image"],
        endpoint=server,
        batch=False,
        zero_retention=bool(asked.zero_retention),
        batch_retention=False,
    )


def _conditions(asked: evaluation_request.Asked, model: Model, device: str, say: Callable[[str], None]) -> Conditions:
    os.environ.update(OFFLINE)
    chosen = _device(model, device)
    values = evaluation_request.settle_loading(asked, model, chosen)
    if model.weights and device == "auto" and chosen == "cpu":
        say("torch sees no GPU here: the CPU answers, which takes minutes with a large model.")
    return Conditions(model, loading_of(json.loads(json.dumps(values))), asked.max_new_tokens, asked.base_url)


def _device(model: Model, wanted: str) -> Device:
    if wanted == "cpu" or not model.weights:
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if wanted == "cuda":
        raise ConfigError("torch sees no GPU here.", "--device cpu (slow but for tiny models)")
    return "cpu"
