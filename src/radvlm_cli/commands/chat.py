"""radvlm chat: ask a model about one image."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from radvlm_cli.commands import eval_options as given_as
from radvlm_cli.commands import options
from radvlm_cli.commands.chat_talk import Ended, Talk, check_target
from radvlm_cli.commands.output import print_json, say
from radvlm_cli.config import configured_settings, zero_retention_confirmed
from radvlm_cli.errors import ConfigError, Interrupted

if TYPE_CHECKING:
    from radvlm_cli.stages.chat import Session

_RESEARCH = "Research use only, not for clinical use."


class Device(StrEnum):
    """Where the model computes."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


Model = Annotated[
    str | None,
    typer.Option("-m", "--model", help="As for eval: radvlm:PATH_OR_RUN, a folder, llavaov, chat:HF_ID, scripted."),
]
Prompt = Annotated[
    list[str] | None,
    typer.Option("-p", "--prompt", help="Ask this, print the answer and end. May be repeated; /report and the like."),
]
SaveBoxes = Annotated[
    Path | None, typer.Option("--save-boxes", help="Picture (.png, .jpg) to draw the boxes of the last answer into.")
]
Web = Annotated[
    bool, typer.Option("--web", help="A page on this machine instead of the terminal; IMAGE may be left out.")
]
NoLog = Annotated[bool, typer.Option("--no-log", help="Keep nothing of what is said in the store.")]
DeviceName = Annotated[Device, typer.Option("--device", help="Where the model computes.")]


def chat(
    image: Annotated[Path | None, typer.Argument(help="A .jpg, .png or .dcm file.", show_default=False)] = None,
    model: Model = None,
    prompt: Prompt = None,
    save_boxes: SaveBoxes = None,
    web: Web = False,
    no_log: NoLog = False,
    weights: given_as.Weights = None,
    device: DeviceName = Device.auto,
    dtype: given_as.DTypeName = None,
    attn: given_as.AttentionName = None,
    protocol: given_as.ProtocolName = None,
    base_url: given_as.BaseUrl = None,
    max_new_tokens: given_as.MaxNewTokens = None,
    set: given_as.Settings = None,
    zero_retention: given_as.ZeroRetention = False,
    data_dir: options.DataDir = None,
    store: options.StorePath = None,
    as_json: options.Json = False,
    allow_network_store: options.AllowNetworkStore = False,
) -> None:
    """Ask a model about one image: one question with -p, else a dialogue (/help says what can be typed).

    It sees the image and is read as in eval. Exchanges are kept in the store, if there is one. See docs/chat.md.

    Examples:

      radvlm chat chest.dcm --model radvlm:models/radvlm-7b

      radvlm chat chest.jpg --model radvlm:12 -p "/locate left lung" --save-boxes boxes.png

      radvlm chat --web --model radvlm:models/radvlm-7b
    """
    given = dict(locals())
    _check(given)
    say(_RESEARCH)

    from radvlm_cli.stages.chat import open_session
    from radvlm_cli.stages.evaluation.request import Asked

    names = ("model", "weights", "dtype", "attn", "protocol", "base_url", "max_new_tokens", "set")
    asked = Asked(**{name: given[name] for name in names})
    asked = asked._replace(zero_retention=zero_retention_confirmed(zero_retention) or None)
    try:
        with (
            _ended_in_order() as at_the_end,
            open_session(
                image,
                asked,
                device=device.value,
                store=_store(given),
                log=not no_log,
                allow_network=allow_network_store,
                say=say,
            ) as session,
        ):
            _talk(session, given)
            at_the_end()  # a closed terminal is an end of input first, and its signal would come amid the tidying up
    except KeyboardInterrupt as error:
        raise Interrupted("Stopped.") from error
    if any(said.status == "error" for said in session.exchanges):
        raise typer.Exit(4)


def _check(given: Mapping[str, Any]) -> None:
    """ConfigError for options that do not go together."""
    if given["web"]:
        for name, words in (("prompt", "-p"), ("save_boxes", "--save-boxes"), ("as_json", "--json")):
            if given[name]:
                raise ConfigError(f"{words} does not go with --web: the page does that.", "radvlm chat --web IMAGE")
        return
    if given["image"] is None:
        raise ConfigError("Which image?", "radvlm chat IMAGE, or radvlm chat --web")
    if given["as_json"] and not given["prompt"]:
        raise ConfigError("--json goes with a question.", 'radvlm chat IMAGE -p "What is seen?" --json')
    if given["save_boxes"] is not None:
        check_target(given["save_boxes"], given["image"])


@contextmanager
def _ended_in_order() -> Iterator[Callable[[], None]]:
    """SIGTERM and a closed terminal remove the copies of images, too, and the store knows of the end.

    To be called once all is said: a signal that is there by then is raised, later ones interrupt nothing.
    """

    def at_the_end() -> None:
        for number in wanted:
            signal.signal(number, signal.SIG_IGN)

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        at_the_end()
        raise Ended

    wanted = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is signal.SIG_DFL]
    for number in wanted:
        signal.signal(number, on_signal)
    try:
        yield at_the_end
    finally:
        for number in wanted:
            signal.signal(number, signal.SIG_DFL)


def _talk(session: Session, given: Mapping[str, Any]) -> None:
    if given["web"]:
        from radvlm_cli.commands.chat_page.serving import serve

        serve(session, say)
        return
    talk = Talk(session, save_boxes=given["save_boxes"], quiet=given["as_json"])
    talk.introduce()
    if given["prompt"]:
        _once(talk, given["prompt"], as_json=given["as_json"])
    else:
        talk.over()


def _store(given: dict[str, Any]) -> Path | None:
    """The store, if there is one; said once where nothing will be kept for want of it."""
    where = configured_settings(data_dir=given["data_dir"], store=given["store"])
    if where is not None and where.store.exists():
        return where.store
    if not given["no_log"] and where is not None:
        say(f"There is no store at {where.store}: nothing of this is kept.")
    return None


def _once(talk: Talk, prompts: list[str], *, as_json: bool) -> None:
    for each in prompts:
        talk.obey(sys.stdin.read() if each == "-" else each)
    if as_json:
        print_json(_document(talk.session, talk.saved))


def _document(session: Session, saved: Path | None) -> dict[str, Any]:
    picture = session.picture
    return {
        "image": str(picture.path),
        "width": picture.size[0],
        "height": picture.size[1],
        "preprocessing": picture.preprocessing,
        "notices": list(picture.notices),
        "model": session.model.name,
        "run": None if session.run is None else session.run.id,
        "exchanges": [
            {
                "task": said.task,
                "subject": said.subject,
                "prompt": said.prompt,
                "status": said.status,
                "answer": said.answer,
                "boxes": None if said.boxes is None else [list(box) for box in said.boxes],
                "parser": said.parser,
                "error": said.reply.error,
                "ms": said.latency_ms,
            }
            for said in session.exchanges
        ],
        "saved": saved and str(saved),
    }
