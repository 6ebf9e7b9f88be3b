"""Figures that docs/costs.py does not compute, each with where it comes from: measured, published, assumed."""

from __future__ import annotations

from typing import Any

GPUS = 8
STUDIES = 227_835 + 187_711
"""Published: MIMIC-CXR's, CheXpert Plus' of train and valid. Those without frontal image or text cost nothing."""
REPORT_TOKENS = (48, 144)
"""Measured: the mean of 3,927 Open-i reports. Assumed: three times that, for longer ones."""
TOLD_BESIDE = 60
"""Assumed: view, sex, labels of a dialogue's message. (Phantoms, n = 77: 80 to 140 with the report.)"""
DISTINCT = (3_073 / 3_927, 1.0)
"""Measured on Open-i: equal texts are asked about once."""
CALLS_EACH = (1.0, 264 / 210)
"""No repairs; measured with SmolLM2-135M, n = 210."""
FILM = {"mimic": (2544, 3056), "chexpert": (2320, 2828), "vindr": (853, 1024), "padchest-gr": (1024, 1024)}
"""Width and height of the commonest size (MIMIC-CXR, CheXpert: published; the others as `prepare` converts them)."""
TEXT_TOKENS, ANSWER_TOKENS = 110, 45
"""Assumed: of a pair beside its picture's 7,000, and of them supervised."""
LONGEST, MOST_TILES = 7_450, 31
"""Computed: a film of MIMIC-CXR at full resolution with its text; as in docs/training.md."""
DICOM_FILES, DICOM_BYTES = 18_000, 192 * 2**30
"""Published: VinDr-CXR."""
DICOM_PER_CORE_S = (39.8, 4.7)
"""Measured (n = 6, 2500 x 3000, 12 bits): uncompressed, and JPEG 2000, to 1024 pixels."""
CORES = 16
"""Assumed; two processes were measured, at 1.9 to 2.0 times one."""
PREPARE_S, GRAPHS_S = 85, 25
"""Measured at full size (two cores, n = 1): all tables, of which scene graphs of 13 KB; real ones have up to 40 KB."""
BUILD_S = 34
"""Measured at full size (n = 1, two cores)."""
BENCH_PAIRS, BENCH_JSON, BENCH_STORE = 59_884, 39_268_520, 107_249_664
"""Measured (benchmarks/prepare_and_build.py --scale 0.05): pairs, bytes of train.json, of the store."""
TOKENS_PER_S = 39
"""Published: Qwen2.5-7B in bfloat16, one answer at a time, transformers on an A100 (Qwen's speed benchmark)."""
UNPUBLISHED = {"vindr-detection-test": 3_000, "padchest-gr-phrase-test": 1_285}
"""Test images of VinDr-CXR; PadChest-GR's pairs as a later paper counted them."""
ROUNDS, WRITTEN = 8, {"report": 100, "conversation": 50, "grounded-conversation": 50}
"""Assumed: rounds of a dialogue, of 5 to 10; tokens of an answer, else 30 (a box has 20)."""
GREEN_S = 2.2
"""Published by RadEval: GREEN's 7B, a report on an A100."""
HTML_S = (4, 15)
"""Measured by benchmarks/year.py: on a quiet machine, and the worst beside other work."""
DISK_BYTES_PER_S = (1e9, 1e8)
"""Assumed: a local disk, a busy network file system."""

_VISION = {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 26, "image_size": 384}
_VISION |= {"patch_size": 14, "num_attention_heads": 16, "num_channels": 3}


def _config(hidden: int, inner: int, layers: int, heads: int, keys: int, vocabulary: int, tied: bool) -> dict[str, Any]:
    text = {"hidden_size": hidden, "intermediate_size": inner, "num_hidden_layers": layers, "vocab_size": vocabulary}
    text |= {"num_attention_heads": heads, "num_key_value_heads": keys, "tie_word_embeddings": tied}
    pinpoints = [[384 * h, 384 * w] for h in range(1, 7) for w in range(1, 7)]
    return {"text_config": text, "vision_config": _VISION, "image_grid_pinpoints": pinpoints}


MODELS = {
    "7b": _config(3584, 18_944, 28, 28, 4, 152_064, False),
    "0.5b": _config(896, 4_864, 24, 14, 2, 151_936, True),
}
"""config.json of LLaVA-OneVision, published."""
