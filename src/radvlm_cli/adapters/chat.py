"""`chat:HF_ID_OR_FOLDER`: any model that transformers itself knows as image and text to text, by its chat template.

No code of a checkpoint is run. What the checkpoint does not tell (prompts, pixels, form of boxes, where the answer
stands) comes from a profile (profile.py), chosen by name or by `chat:ID@PROFILE`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from radvlm_cli.adapters.computing import described, free_memory
from radvlm_cli.adapters.json_files import read_object
from radvlm_cli.adapters.pictures import answer_readable, described_reading, picture_size
from radvlm_cli.adapters.profile import Profile, choose_profile, known_as, split_name
from radvlm_cli.adapters.protocol import Adapter, Card, Loading, Reply, Request, WeightsNeed
from radvlm_cli.adapters.special_tokens import added_tokens, spelling_out
from radvlm_cli.errors import ConfigError, DataError
from radvlm_cli.hashing import content_hash
from radvlm_cli.records import Turn

if TYPE_CHECKING:
    from PIL.Image import Image

    from radvlm_cli.adapters.encoders import Encoder

_CHARACTERS_PER_TOKEN = 3
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
_UNFIT = re.compile(r"[^\w./-]")


def card_of(rest: str | None) -> Card:
    """The card of `chat:REST`; ConfigError without a REST."""
    if not rest:
        raise ConfigError("chat: which model?", "chat:org/model (a Hugging Face id) or chat:FOLDER")
    model, wanted = split_name(rest)
    if (folder := Path(model).expanduser()).is_dir():
        model = str(folder)
    elif not _HUB_ID.fullmatch(model):
        raise ConfigError(f"{model} is no folder, and no Hugging Face id.", "chat:org/model or chat:FOLDER")
    name, profile = choose_profile(model, wanted)
    if folder.is_dir():
        # Answers are read by the same profile wherever the folder is by then, and the place of it decides none.
        rest = f"{_UNFIT.sub('-', known_as(model))}@{wanted or name}"
    return Card(
        name=f"chat:{rest}",
        title=profile.title,
        tasks=profile.tasks,
        weights=(WeightsNeed(model, profile.revisions.get(model), profile.licence, profile.note),),
        load=partial(_load, profile=profile, profile_name=name),
        prompt=profile.prompt,
        codec=profile.codec,
        extractor=profile.extractor,
        most=profile.most,
        version=profile.version,
    )


def _load(loading: Loading, *, profile: Profile, profile_name: str) -> Adapter:
    from transformers import AutoModelForImageTextToText, AutoTokenizer

    from radvlm_cli.adapters.encoders import make_encoder
    from radvlm_cli.adapters.loading import load_strictly

    if loading.options:
        raise ConfigError(f"chat: has no option {min(loading.options)!r}; a profile of your own can set much.")
    (folder,) = loading.weights
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, ImportError) as error:
        raise DataError(f"The tokenizer in {folder} cannot be loaded: {error}") from error
    template = chat_template(folder, tokenizer)
    model = load_strictly(AutoModelForImageTextToText, folder, loading, trust_remote_code=False)
    encoder = make_encoder(folder, model.config, tokenizer, profile.pixels)
    adapter = ChatAdapter(model, tokenizer, encoder, template, profile, profile_name)
    _check_template(adapter, folder)
    return adapter


def _check_template(adapter: ChatAdapter, folder: Path) -> None:
    """DataError where a question with a picture cannot be put in the words of the chat template."""
    from jinja2 import TemplateError

    try:
        places = adapter.render((Turn("human", "What is seen?"),)).count(adapter.encoder.placeholder)
    except TemplateError as error:
        raise DataError(f"The chat template of {folder} cannot be used: {error}") from error
    if places != 1:
        raise DataError(
            f"The chat template of {folder} has no place for a picture.", "Get chat_template.jinja, or the whole again"
        )


def chat_template(folder: Path, tokenizer: Any) -> str:
    """The chat template of a checkpoint: the processor's, which knows of pictures, before the tokenizer's own."""
    jinja, old = folder / "chat_template.jinja", folder / "chat_template.json"
    if jinja.is_file():
        return jinja.read_text(encoding="utf-8")
    template: Any = read_object(old) if old.is_file() else tokenizer.chat_template
    template = template.get("chat_template", template.get("default")) if isinstance(template, dict) else template
    if not isinstance(template, str):
        raise DataError(
            f"{folder} has no chat template: it is no model to talk to.", "Take the instruction-tuned checkpoint"
        )
    return template


def messages(turns: Sequence[Turn], system: str | None) -> list[dict[str, Any]]:
    """A dialogue in the form that chat templates take: the picture stands in the first turn, before its text."""
    said: list[dict[str, Any]] = []
    if system is not None:
        said.append({"role": "system", "content": [{"type": "text", "text": system}]})
    for number, turn in enumerate(turns):
        content = [{"type": "text", "text": turn.text}]
        if number == 0:
            content.insert(0, {"type": "image"})
        said.append({"role": "user" if turn.role == "human" else "assistant", "content": content})
    return said


class ChatAdapter:
    """A loaded model."""

    batches = True

    def __init__(
        self, model: Any, tokenizer: Any, encoder: Encoder, template: str, profile: Profile, profile_name: str
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.encoder = encoder
        self.template = template
        self.profile = profile
        self.end_ids = _end_ids(model, tokenizer)
        tokens = {encoder.placeholder, *_of_pictures(model, tokenizer), *added_tokens(tokenizer, special=True)}
        # Some prompts show the form of a box with the tokens that are for it.
        self._spelled_out = spelling_out(token for token in tokens if token not in profile.words)
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.convert_ids_to_tokens(min(self.end_ids))
        self.identity: Mapping[str, Any] = {
            **described(model),
            **described_reading(),
            "class": type(model).__name__,
            "pictures": encoder.name,
            "template": content_hash(template),
            "profile": profile_name,
            "system": profile.system,
            "pixels": profile.pixels.model_dump() if profile.pixels else None,
        }

    def cost(self, request: Request) -> int:
        """See Adapter."""
        characters = sum(len(turn.text) for turn in request.turns)
        return self.encoder.tokens(picture_size(request.image)) + characters // _CHARACTERS_PER_TOKEN

    def answer(self, requests: Sequence[Request], most: int) -> list[Reply]:
        """See Adapter."""
        return answer_readable(requests, _in_colour, lambda those, images: self._answer(those, images, most))

    def render(self, turns: Sequence[Turn]) -> str:
        """The text that the model continues, with one placeholder of a picture."""
        spoken = [turn._replace(text=self._spelled_out(turn.text)) for turn in turns]
        text: str = self.tokenizer.apply_chat_template(
            messages(spoken, self.profile.system),
            chat_template=self.template,
            tokenize=False,
            add_generation_prompt=True,
        )
        return text

    def close(self) -> None:
        """See Adapter."""
        self.model = None
        free_memory()

    def _answer(self, requests: Sequence[Request], images: Sequence[Image], most: int) -> list[Reply]:
        from radvlm_cli.adapters.generation import reply

        inputs = self.encoder.encode([self.render(request.turns) for request in requests], images)
        tensors = {
            name: value.to(self.model.device, self.model.dtype if value.is_floating_point() else None)
            for name, value in inputs.tensors.items()
        }
        pad = self.tokenizer.pad_token_id
        return reply(self.model, self._decode, inputs.seen, most=most, end_ids=self.end_ids, pad_id=pad, **tensors)

    def _decode(self, ids: list[int]) -> str:
        text: str = self.tokenizer.decode(ids, skip_special_tokens=True)
        return text.strip()


def _of_pictures(model: Any, tokenizer: Any) -> list[str]:
    """Tokens that stand for a picture, a video and the like; not all tokenizers have them marked as special."""
    told: dict[str, Any] = model.config.to_dict()
    ids = [value for name, value in told.items() if name.endswith(("_token_id", "_token_index"))]
    return [str(token) for token in tokenizer.convert_ids_to_tokens([each for each in ids if isinstance(each, int)])]


def _in_colour(picture: Image) -> Image:
    return picture.convert("RGB")


def _end_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    """Tokens that end an answer: those of generation_config.json and the tokenizer's own."""
    told = model.generation_config.eos_token_id
    ids = set(told if isinstance(told, list) else [told]) | {tokenizer.eos_token_id}
    ids.discard(None)
    if not ids:
        raise DataError("The checkpoint does not tell which token ends an answer.")
    return frozenset(ids)
