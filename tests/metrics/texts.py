"""Pairs of texts to hold metrics against their oracles: random ones, and what goes wrong in real answers."""

from __future__ import annotations

import random

WORDS = """
the heart is normal in size no effusion pneumothorax left right lower lobe consolidation opacity opacities mild
mildly enlarged cardiomegaly seen . , : lungs are clear and unchanged catheter tip 2.5 cm above carina
""".split()  # noqa: SIM905
EDGES = [
    ("", "no effusion is seen ."),
    ("no effusion is seen .", "no effusion is seen ."),
    (". . , !", "the lungs are clear ."),
    ("effusion", "effusion"),
    ("effusion", "the heart is normal in size with no effusion or pneumothorax seen at all today ."),
    ("the " * 30, "the heart is normal in size ."),
    ("Kein Pleuraerguß, Herzgröße normal \N{EN DASH} 胸部 clear", "kein pleuraerguß herzgröße normal 胸部 clear"),
    ("No effusion.No pneumothorax;heart NORMAL (5/6)", "no effusion. no pneumothorax; heart normal (5/6)"),
    ("  no \n effusion\t", "no effusion"),
]


def pairs(count: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Predictions that share something with their references, then the edge cases."""
    rng = random.Random(seed)
    predictions, references = [], []
    for _ in range(count):
        reference = [rng.choice(WORDS) for _ in range(rng.randint(1, 40))]
        prediction = [word if rng.random() < 0.7 else rng.choice(WORDS) for word in reference if rng.random() < 0.9]
        predictions.append(" ".join(prediction).capitalize() or "x")
        references.append(" ".join(reference))
    edges = [*zip(*EDGES, strict=True)]
    return [*predictions, *edges[0]], [*references, *edges[1]]
