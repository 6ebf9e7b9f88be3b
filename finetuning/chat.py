"""Conversations as token ids and labels: the chat template of the original training, built piece by piece.

    <|im_start|>system\\n...<|im_end|>\\n<|im_start|>user\\n<image>\\nQuestion<|im_end|>\\n<|im_start|>assistant\\nAnswer<|im_end|>\\n

The template is our own code, never the checkpoint's: those on the Hub have changed over time. Special tokens are put in
by their ids, and the text between them is tokenised with special tokens off. So a report that holds `<|im_end|>` or
`<image>` stays text: it cannot end a turn or ask for a picture.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

IMAGE_TOKEN = "<image>"
IGNORED = -100
"""Label of a position that is not supervised."""
SYSTEM = "You are a helpful assistant."

Mask = Literal["assistant", "llava-next"]
Ids = NDArray[np.int32]


class Turn(NamedTuple):
    """What one side says; human and gpt in turns."""

    role: str
    text: str


class Encoded(NamedTuple):
    """A conversation as the model reads it."""

    ids: Ids
    labels: Ids
    """The ids where they are supervised, else -100; not shifted."""
    literals: int
    """How often the text held what reads like a special token."""


class ConversationError(ValueError):
    """The conversation cannot be trained on; the message says why."""


class Chat:
    """The chat template over one tokenizer."""

    def __init__(self, tokenizer: Any, mask: Mask = "assistant") -> None:
        """Take a fast tokenizer of transformers, or one of `tokenizers`; it is copied. ValueError: it lacks a token."""
        given: Tokenizer = getattr(tokenizer, "backend_tokenizer", tokenizer)
        self._state, self.mask = _all_special(given), mask
        self._open()

    def _open(self) -> None:
        self._tokenizer = Tokenizer.from_str(self._state)
        self._tokenizer.encode_special_tokens = True
        self.start, self.end, self.image = map(self._special, ("<|im_start|>", "<|im_end|>", IMAGE_TOKEN))
        added = [token["content"] for token in json.loads(self._state)["added_tokens"]]
        self._literal = re.compile("|".join(map(re.escape, sorted(added, key=len, reverse=True))))
        newline = self.text_ids("\n")
        if len(newline) != 1:
            raise ValueError("the tokenizer has no token for a newline")
        self._newline = newline[0]
        if {self.start, self.end, self.image} & set(self.text_ids(f"<|im_start|>{IMAGE_TOKEN}<|im_end|>")):
            raise ValueError("the tokenizer makes special tokens of plain text")
        self._roles = {"human": "user\n", "gpt": "assistant\n"}
        self._user, self._assistant = self.text_ids("user\n"), self.text_ids("assistant\n")
        self._system = [self.start, *self.text_ids("system\n" + SYSTEM), self.end, self._newline]

    def __getstate__(self) -> dict[str, Any]:
        return {"_state": self._state, "mask": self.mask}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()

    @property
    def fingerprint(self) -> str:
        """Hash of what decides how many tokens a text has."""
        return hashlib.sha256(f"{SYSTEM}\n{self._state}".encode()).hexdigest()

    def _special(self, token: str) -> int:
        number = self._tokenizer.token_to_id(token)
        if number is None:
            raise ValueError(f"the tokenizer has no token {token}")
        return int(number)

    def text_ids(self, text: str) -> list[int]:
        """Ids of a text in which nothing is a special token."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def encode(self, turns: Sequence[Turn], image_tokens: int) -> Encoded:
        """Encode a conversation about one picture of `image_tokens` tokens. Raises ConversationError."""
        check(turns)
        ids, labels = list(self._system), self._template_labels(self._system)
        literals = 0
        for number, (role, text) in enumerate(turns):
            if number == 0:
                text = after_image(text)
            literals += len(self._literal.findall(text))
            turn = self._turn(role, text, image_tokens if number == 0 else None)
            ids += turn
            labels += self._answer_labels(turn) if role == "gpt" else self._template_labels(turn)
        return Encoded(np.array(ids, np.int32), np.array(labels, np.int32), literals)

    def prompt(self, turns: Sequence[Turn], image_tokens: int) -> list[int]:
        """Ids that an answer is to follow: the turns so far, the last one human, and the head of the answer.

        The turns hold no image token: the picture stands before the first question, as in training. Raises
        ConversationError.
        """
        check_prompt(turns)
        ids = list(self._system)
        for number, (role, text) in enumerate(turns):
            ids += self._turn(role, f"\n{text}" if number == 0 else text, image_tokens if number == 0 else None)
        return [*ids, self.start, *self._assistant]

    def _turn(self, role: str, text: str, image_tokens: int | None) -> list[int]:
        """One turn from its start to the newline after it; `image_tokens`: it shows the picture before its text."""
        if image_tokens is None:
            spoken = self.text_ids(self._roles[role] + text)
        else:
            spoken = [*self._user, *[self.image] * image_tokens, *self.text_ids(text)]
        return [self.start, *spoken, self.end, self._newline]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of new ids, without special tokens."""
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=True)
        return text

    def _template_labels(self, turn: list[int]) -> list[int]:
        """Labels of the system's and the user's turns."""
        if self.mask == "assistant":
            return [IGNORED] * len(turn)
        # The published code supervises these three wherever they stand, in questions, too.
        kept = {self.start, self.end, self._newline}
        return [token if token in kept else IGNORED for token in turn]

    def _answer_labels(self, turn: list[int]) -> list[int]:
        """Labels of an answer: its text and what ends it; as published: all of it."""
        if self.mask == "llava-next":
            return turn
        head = 1 + len(self._assistant)
        return [IGNORED] * head + turn[head:-1] + [IGNORED]

    def piece(self, role: str, text: str, *, first: bool) -> str:
        """The text of a turn as it is tokenised, without the head of the first question (see `overhead`)."""
        return after_image(text) if first else self._roles.get(role, "user\n") + text

    def count(self, pieces: Sequence[str]) -> Ids:
        """Number of tokens of each of `pieces`; fast, on all cores."""
        encoded = self._tokenizer.encode_batch_fast(list(pieces), add_special_tokens=False)
        return np.fromiter(map(len, encoded), np.int32, len(pieces))

    @property
    def overhead(self) -> int:
        """Tokens of a conversation besides its turns: the system's turn, and the head of the first question."""
        return len(self._system) + len(self._user)

    PER_TURN = 3
    """Tokens around each turn: the start, the end, and the newline after it."""


def after_image(text: str) -> str:
    """What follows the image token in the first question; the token is moved to the front from wherever it stands."""
    if text.startswith(IMAGE_TOKEN + "\n"):
        return text[len(IMAGE_TOKEN) :]
    return "\n" + text.replace(IMAGE_TOKEN, "", 1).strip()


def check(turns: Sequence[Turn]) -> None:
    """Raise ConversationError where a conversation is not question and answer in turns about one picture."""
    _check_order(turns)
    if turns[-1].role != "gpt":
        raise ConversationError("the last question has no answer")
    if IMAGE_TOKEN not in turns[0].text:
        raise ConversationError("the first question has no image token")
    if not all(turn.text.strip() for turn in turns[1::2]):
        raise ConversationError("an answer is empty")


def check_prompt(turns: Sequence[Turn]) -> None:
    """Raise ConversationError where turns do not end with a question to answer."""
    _check_order(turns)
    if turns[-1].role != "human":
        raise ConversationError("the last turn is no question")


def _check_order(turns: Sequence[Turn]) -> None:
    if not turns:
        raise ConversationError("the conversation is empty")
    if any(turn.role != ("human", "gpt")[number % 2] for number, turn in enumerate(turns)):
        raise ConversationError("human and gpt do not take turns, human first")


def turns_of(spoken: Iterable[dict[str, str]]) -> tuple[Turn, ...]:
    """Turns of the `conversations` of a built dataset: a list of {from, value}."""
    return tuple(Turn(each["from"], each["value"]) for each in spoken)


def _all_special(tokenizer: Tokenizer) -> str:
    """The tokenizer as JSON with each added token marked special: only those are left alone in plain text."""
    document = json.loads(tokenizer.to_str())
    for token in document["added_tokens"]:
        token["special"] = True
    document["truncation"] = document["padding"] = None
    return json.dumps(document)
