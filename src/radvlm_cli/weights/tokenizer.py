"""The tokenizer of a Hub folder: the checkpoint's own, with the two placeholders added behind its last token."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from radvlm_cli.errors import DataError
from radvlm_cli.weights.configs import CHAT_TEMPLATE, read_json

IMAGE, VIDEO = "<image>", "<video>"
_END_OF_TURN, _END_OF_TEXT = "<|im_end|>", "<|endoftext|>"
_LONGEST = 32768
_NEEDED = (("tokenizer.json",), ("vocab.json", "merges.txt"))


class Written(NamedTuple):
    """What the configuration needs to know of the tokenizer."""

    size: int
    """One more than the largest id."""
    image_id: int
    video_id: int
    end_ids: list[int]
    """Ends of an answer: of the turn, and of the text."""
    pad_id: int


def find_tokenizer(*folders: Path) -> Path:
    """The first folder with a tokenizer; DataError if none has one."""
    for folder in folders:
        if any(all((folder / name).is_file() for name in names) for names in _NEEDED):
            return folder
    looked = ", ".join(str(folder) for folder in folders)
    raise DataError(
        f"No tokenizer (tokenizer.json, or vocab.json and merges.txt) in {looked}.",
        "--tokenizer DIR: a folder with the tokenizer that the checkpoint was trained with",
    )


def write_tokenizer(source: Path, output: Path) -> Written:
    """Write tokenizer.json, tokenizer_config.json, special_tokens_map.json and chat_template.jinja.

    They are in the words of transformers 4.45, which also 5.23 reads: the list of special tokens that 5 writes stops 4.
    """
    tokenizer = _load(source)
    ids: dict[str, int] = tokenizer.get_vocab()
    lacking = [token for token in (_END_OF_TURN, _END_OF_TEXT) if token not in ids]
    if lacking:
        raise DataError(f"The tokenizer in {source} has no {lacking[0]}: it is not Qwen2's.", "--tokenizer DIR")
    tokenizer.add_tokens([token for token in (IMAGE, VIDEO) if token not in ids], special_tokens=True)
    ids = tokenizer.get_vocab()
    _save(tokenizer, output, model_max_length=_longest(source))
    end, text = ids[_END_OF_TURN], ids[_END_OF_TEXT]
    return Written(max(ids.values()) + 1, ids[IMAGE], ids[VIDEO], [end, text], text)


def _load(source: Path) -> Any:
    """Qwen2's tokenizer whatever config.json beside it says, from these files alone."""
    from transformers import Qwen2Tokenizer

    try:
        return Qwen2Tokenizer.from_pretrained(str(source), local_files_only=True)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"The tokenizer in {source} cannot be read: {error}", "--tokenizer DIR") from error


def _longest(source: Path) -> int:
    path = source / "tokenizer_config.json"
    given = read_json(path).get("model_max_length") if path.is_file() else None
    return given if isinstance(given, int) and given < 10**9 else _LONGEST


def _save(tokenizer: Any, output: Path, *, model_max_length: int) -> None:
    tokenizer.backend_tokenizer.save(str(output / "tokenizer.json"))
    added = {
        str(number): {
            "content": token.content,
            "lstrip": token.lstrip,
            "normalized": token.normalized,
            "rstrip": token.rstrip,
            "single_word": token.single_word,
            "special": token.special,
        }
        for number, token in sorted(tokenizer.added_tokens_decoder.items())
    }
    others = [t["content"] for t in added.values() if t["special"] and t["content"] != _END_OF_TEXT]
    special = {
        "eos_token": _END_OF_TURN,
        "pad_token": _END_OF_TEXT,
        "unk_token": tokenizer.unk_token,
        "additional_special_tokens": others,
    }
    config = {
        "add_prefix_space": False,
        "added_tokens_decoder": added,
        "bos_token": None,
        "clean_up_tokenization_spaces": False,
        "errors": "replace",
        "model_max_length": model_max_length,
        "processor_class": "LlavaOnevisionProcessor",
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        **special,
    }
    for name, value in (("tokenizer_config.json", config), ("special_tokens_map.json", special)):
        (output / name).write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (output / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
