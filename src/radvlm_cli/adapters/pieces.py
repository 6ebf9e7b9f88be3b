"""Text as SentencePiece's ids, exactly as the slow tokenizers of Llama and Mistral made them when the models were
trained: between a picture and the next special token each stretch of text is tokenised by itself.

Special tokens are put in by their ids and never read out of text, so that a report that holds `</s>` cannot end a turn.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sentencepiece import SentencePieceProcessor, sentencepiece_model_pb2

from radvlm_cli.adapters.json_files import read_object
from radvlm_cli.errors import DataError

_FILE = "tokenizer.model"


class Pieces:
    """The tokenizer of a checkpoint's folder."""

    def __init__(self, folder: Path) -> None:
        """Read tokenizer.model, and from tokenizer_config.json how text after a special token is taken.

        DataError: there is no tokenizer.model, or it cannot be read.
        """
        proto = _read(folder / _FILE)
        self._first = SentencePieceProcessor(model_proto=proto.SerializeToString())
        if not _is_legacy(folder):
            proto.normalizer_spec.add_dummy_prefix = False
        self._later = SentencePieceProcessor(model_proto=proto.SerializeToString())
        self.start: int = self._first.bos_id()
        self.end: int = self._first.eos_id()
        self.unknown: int = self._first.unk_id()
        self.size: int = self._first.get_piece_size()
        self.whole_alphabet: bool = proto.trainer_spec.byte_fallback
        """No text yields the unknown token: a character that is in no piece is spelled in bytes."""

    def encode(self, text: str, *, after_special: bool = False) -> list[int]:
        """Ids of text that begins a stretch; `after_special`: that follows a special token such as the end of a turn.

        At the beginning a space is put before the text. After a special token that depends on the checkpoint: the
        `legacy` tokenizer did so there, too.
        """
        ids: list[int] = (self._later if after_special else self._first).encode(text)
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """Text of new ids, without special tokens and space around it."""
        text: str = self._first.decode([token for token in ids if token < self.size])
        return text.strip()


def _read(path: Path) -> Any:
    if not path.is_file():
        raise DataError(f"{path.parent} has no {path.name}.")
    messages: Any = sentencepiece_model_pb2
    proto = messages.ModelProto()
    try:
        proto.ParseFromString(path.read_bytes())
        # Loads it once for its own checks: a file that parses need not be a tokenizer.
        SentencePieceProcessor(model_proto=proto.SerializeToString())
    except Exception as error:  # protobuf's and sentencepiece's own kinds
        raise DataError(f"{path} is no SentencePiece model: {error}", "Get the file again.") from error
    return proto


def _is_legacy(folder: Path) -> bool:
    path = folder / "tokenizer_config.json"
    if not path.is_file():
        return True
    return read_object(path).get("legacy") is not False
