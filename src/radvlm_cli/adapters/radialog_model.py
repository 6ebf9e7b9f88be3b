"""RaDialog (the LLaVA version): Vicuna with merged LoRA weights behind BioViL-T's image encoder.

    <s>A chat between ... USER: <picture>. Question ASSISTANT: Answer</s>USER: Question ASSISTANT:

Three repositories are needed: LLaVA-1.5 for the language model and the tokenizer; RaDialog's own for what was trained,
LoRA and the rest; BioViL-T for the statistics of the image encoder's batch norms, which no training saves.

The picture is seen in every turn. `paper` does as the published evaluation did, which from the second turn on left the
picture out: those answers are given blind. The findings that a classifier of the authors' predicts are in no prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from radvlm_cli.adapters.biovil import CROP, prepare
from radvlm_cli.adapters.computing import described, free_memory
from radvlm_cli.adapters.generation import pad_left, reply
from radvlm_cli.adapters.pictures import answer_readable, described_reading
from radvlm_cli.adapters.pieces import Pieces
from radvlm_cli.adapters.protocol import Loading, Reply, Request
from radvlm_cli.adapters.radialog_parts import Parts, load_parts
from radvlm_cli.records import Turn

SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant acting as an experienced radiologist. "
    "The assistant gives professional, detailed, and polite answers to the user's questions."
)
_PLACES = 196
"""Tokens of a picture."""


def load(loading: Loading) -> RaDialog:
    """Load it from its three folders. DataError naming what does not fit."""
    return RaDialog(load_parts(loading), Pieces(loading.weights[0]), loading)


class Stretches(NamedTuple):
    """The ids of a conversation around the picture."""

    before: list[int]
    after: list[int]
    picture: bool
    """Whether the picture stands between the two; if not, the model does not see it."""


class RaDialog:
    """RaDialog, loaded."""

    batches = True

    def __init__(self, parts: Parts, pieces: Pieces, loading: Loading) -> None:
        self._parts, self._pieces, self._blind = parts, pieces, loading.protocol == "paper"
        self.identity: Mapping[str, Any] = {
            "template": "vicuna_v1, text in stretches",
            "picture": "shortest side 512, centre crop 448, minimum to maximum",
            "seen": "in the first turn only" if self._blind else "in every turn",
            "predicted findings": "none",
            **described(parts.language),
            **described_reading(),
        }

    def cost(self, request: Request) -> int:
        """Tokens of the prompt, those of the picture included."""
        before, after, picture = self.encode(request.turns)
        return len(before) + _PLACES * picture + len(after)

    def encode(self, turns: Sequence[Turn]) -> Stretches:
        """Ids of a conversation that ends with a question."""
        pieces = self._pieces
        picture = not self._blind or len(turns) == 1
        head = [pieces.start, *pieces.encode(f"{SYSTEM} USER: ")]
        opening = ". "
        if not picture:
            head, opening = [pieces.start], f"{SYSTEM} USER: "
        ids: list[int] = []
        for number in range(0, len(turns), 2):
            text = f"{opening}{turns[number].text} ASSISTANT:"
            if number + 1 < len(turns):
                ids += [*pieces.encode(f"{text} {turns[number + 1].text}", after_special=number > 0), pieces.end]
            else:
                ids += pieces.encode(text, after_special=number > 0)
            opening = "USER: "
        return Stretches(head, ids, picture)

    def answer(self, requests: Sequence[Request], most: int) -> list[Reply]:
        """Answer a batch; see Adapter."""
        return answer_readable(requests, prepare, lambda those, pixels: self._answer(those, pixels, most))

    def inputs(self, requests: Sequence[Request], pixels: Sequence[Tensor]) -> dict[str, Tensor]:
        """What the language model takes: embeddings padded on the left (rows, length, width), and their mask."""
        language = self._parts.language
        embed = language.get_input_embeddings()
        rows = []
        with torch.inference_mode():
            seen = self._parts.look(torch.stack(list(pixels)))
            for request, picture in zip(requests, seen, strict=True):
                stretches = self.encode(request.turns)
                before, after = (embed(torch.tensor(ids, device=language.device)) for ids in stretches[:2])
                rows.append(torch.cat([before, picture, after] if stretches.picture else [before, after]))
            padded = pad_left(rows)
        return {"inputs_embeds": padded.rows, "attention_mask": padded.mask}

    def _answer(self, requests: Sequence[Request], pixels: Sequence[Tensor], most: int) -> list[Reply]:
        end, seen = self._pieces.end, [(CROP, CROP)] * len(requests)
        inputs = self.inputs(requests, pixels)
        return reply(self._parts.language, self._pieces.decode, seen, most=most, end_ids={end}, pad_id=end, **inputs)

    def close(self) -> None:
        """Give back the memory of the model."""
        del self._parts
        free_memory()
