"""Random BERT-like models of a few thousand weights, saved as the hub has them."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import ByteLevelBPETokenizer
from transformers import (
    BertConfig,
    BertTokenizer,
    DistilBertConfig,
    DistilBertForMaskedLM,
    RobertaConfig,
    RobertaForMaskedLM,
    RobertaTokenizer,
)

from tests.metrics.texts import WORDS

LAYERS, POSITIONS = 3, 40
_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_PIECES = ["opa", "##city", "##cities", "##ly", "##s", "##x", "x", "(", ")", "/", "5", "6", ";", "!"]


def save_bert_tokenizer(folder: Path) -> int:
    """A WordPiece tokenizer; the size of its vocabulary."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = list(dict.fromkeys([*_SPECIAL, *(word for word in WORDS if "opaci" not in word), *_PIECES]))
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    BertTokenizer(str(folder / "vocab.txt"), model_max_length=POSITIONS).save_pretrained(folder)
    return len(vocabulary)


def save_bert_config(folder: Path, vocabulary: int) -> BertConfig:
    """Configuration of a BERT beside its tokenizer."""
    config = BertConfig(
        vocab_size=vocabulary,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=POSITIONS,
        attn_implementation="eager",
    )
    config.save_pretrained(folder)
    return config


def save_distilbert(folder: Path, layers: int = LAYERS) -> Path:
    """As distilbert-base-uncased: with the head that fills in masks."""
    config = DistilBertConfig(
        vocab_size=save_bert_tokenizer(folder),
        dim=16,
        hidden_dim=24,
        n_layers=layers,
        n_heads=2,
        max_position_embeddings=POSITIONS,
        initializer_range=0.5,
    )
    torch.manual_seed(0)
    DistilBertForMaskedLM(config).save_pretrained(folder)
    return folder


def save_distilroberta(folder: Path, *, space_first: bool = False) -> Path:
    """As distilroberta-base: byte-level tokens, positions that begin at 2, no pooler.

    `space_first`: the tokenizer puts a space before a text, as the hub's does not.
    """
    folder.mkdir(parents=True)
    bytewise = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    bytewise.train_from_iterator([" " + " ".join(WORDS)] * 3, vocab_size=400, special_tokens=special)
    bytewise.save_model(str(folder))
    names = (str(folder / "vocab.json"), str(folder / "merges.txt"))
    RobertaTokenizer(*names, model_max_length=POSITIONS, add_prefix_space=space_first).save_pretrained(folder)
    config = RobertaConfig(
        vocab_size=bytewise.get_vocab_size(),
        hidden_size=16,
        num_hidden_layers=LAYERS,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=POSITIONS + 2,
        type_vocab_size=1,
        initializer_range=0.5,
    )
    torch.manual_seed(1)
    RobertaForMaskedLM(config).save_pretrained(folder)
    return folder
