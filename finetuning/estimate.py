"""What a manifest asks for, in numbers: `python finetuning/estimate.py MANIFEST` prints one JSON object.

With --check only the manifest is read. Otherwise the dataset is counted as the program counts it (and the counts are
kept where the program looks for them): tokens by the tokenizer, pictures by the headers of their files, operations by
the same arithmetic as the MFU. No torch is needed. Exit code 3 and {"error", "hint"} where something is not right.
"""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

if __package__ in (None, ""):  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from finetuning.errors import TrainingError
from finetuning.manifest import Manifest, ManifestError, read_manifest

_PROBES = 512
"""Pairs whose supervised tokens are counted."""
_TEXT = {"vocab_size": 151936, "hidden_size": 4096, "intermediate_size": 22016, "num_hidden_layers": 32}
_TEXT |= {"num_attention_heads": 32, "num_key_value_heads": 32, "tie_word_embeddings": False}
_VISION = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "image_size": 224, "patch_size": 16}
_VISION |= {"num_channels": 3}
"""What transformers takes where a config.json says nothing: Qwen2Config and SiglipVisionConfig."""


def read_config(folder: Path) -> dict[str, Any]:
    """The model's config.json, with the values that it leaves out; ManifestError where it is no such model."""
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ManifestError("model.path", f"{folder / 'config.json'} cannot be read ({error})") from error
    if config.get("model_type") != "llava_onevision":
        raise ManifestError("model.path", f"{folder} is of type {config.get('model_type')}, not llava_onevision")
    config["text_config"] = _TEXT | config.get("text_config", {})
    config["vision_config"] = _VISION | config.get("vision_config", {})
    return config


def count(manifest: Manifest) -> dict[str, Any]:
    """The dataset in numbers, for one pass over it."""
    from tokenizers import Tokenizer

    from finetuning.anyres import Anyres
    from finetuning.chat import Chat
    from finetuning.flops import forward_flops, sizes_of
    from finetuning.lengths import lengths_of, select
    from finetuning.table import open_table

    data, config = manifest.data, read_config(manifest.model.path)
    table = open_table(data.table, data.cache, sha256=data.sha256)
    chat = Chat(Tokenizer.from_file(str(manifest.model.path / "tokenizer.json")), manifest.loss.mask)
    anyres = Anyres.of_config(config)
    lengths = lengths_of(table, chat, anyres, image_root=data.image_root, max_image_side=data.max_image_side)
    rows, dropped = select(lengths, data.max_length)
    tokens, tiles = lengths.tokens[rows].tolist(), int(lengths.tiles[rows].sum())
    supervised = round(_supervised(table, chat, rows) * len(rows))
    parts = {name: SimpleNamespace(**config[name]) for name in ("text_config", "vision_config")}
    tower, rest = forward_flops(sizes_of(SimpleNamespace(**parts)), lengths=tokens, tiles=tiles, supervised=supervised)
    return {
        "pairs": len(table),
        "trained_on": len(rows),
        "dropped": {reason: len(which) for reason, which in dropped.items()},
        "tokens": sum(tokens),
        "longest": max(tokens, default=0),
        "tiles": tiles,
        "most_tiles": int(lengths.tiles[rows].max(initial=0)),
        "supervised": supervised,
        "forward_flops": {"vision tower": tower, "rest": rest},
    }


def _supervised(table: Any, chat: Any, rows: Any) -> float:
    """Mean number of supervised tokens of a pair, over some of them."""
    probes = rows[:: max(1, len(rows) // _PROBES)][:_PROBES].tolist()
    found = [int((chat.encode(table.row(row).turns, 0).labels >= 0).sum()) for row in probes]
    return sum(found) / max(1, len(found))


def main(arguments: list[str]) -> int:
    """Print the numbers, or what is wrong; return the exit code."""
    try:
        manifest = read_manifest(Path(arguments[0]))
        if "--check" in arguments:
            result: dict[str, Any] = {}
        elif find_spec("tokenizers") is None:
            raise ManifestError("", "counting tokens needs tokenizers, which is not installed")
        else:
            result = count(manifest)
    except ManifestError as error:
        print(json.dumps({"error": str(error), "field": error.field}))
        return 3
    except TrainingError as error:
        print(json.dumps({"error": str(error), "hint": error.hint}))
        return 3
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
