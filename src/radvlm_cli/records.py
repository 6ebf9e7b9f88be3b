"""What flows between the stages: plain immutable tuples with names.

Boxes, everywhere: `(x_min, y_min, x_max, y_max)`, each 0-1 of the width or height of the original image, origin at
the top left, `x_min < x_max` and `y_min < y_max`.

They are NamedTuples rather than frozen dataclasses because a full `prepare` makes eight million of them: one is
built in a fifth of the time, and goes into SQLite as it is.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Split = Literal["train", "validation", "test"]


class Box(NamedTuple):
    """One box: normalised xyxy of the original image (see the module)."""

    x_min: float
    y_min: float
    x_max: float
    y_max: float


class Image(NamedTuple):
    """One image of a source, whether or not its file is there."""

    source: str
    """Name of the source that owns the image, e.g. `mimic`."""
    image_id: str
    """The dataset's own id: DICOM id, relative path without suffix, or file name."""
    patient_id: str | None
    study_id: str | None
    split: Split | None
    """The split of the official release; None where the release has none."""
    view: str | None
    """`PA`, `AP`, `LATERAL`, ... as the dataset writes it; None where unknown."""
    root: Literal["data", "derived"]
    """Which root `path` is relative to: the data folder, or the folder of files made by `prepare`."""
    path: str
    """POSIX path of the file to show to a model (8 bit), relative to its root."""
    width: int | None
    """Columns of the original image in pixels; None where no table says and no file was read."""
    height: int | None
    sex: Literal["F", "M"] | None
    age: int | None
    """Years; None where unknown."""
    labels: str | None
    """Canonical JSON object of finding -> 1 present, 0 absent, -1 uncertain; findings not mentioned are left out.
    None where the source gives no label at all for the image."""
    status: Literal["present", "missing", "failed", "unchecked"]
    """Of the file at `path`."""
    reason: str | None
    """Why the status is `missing` or `failed`."""


class Report(NamedTuple):
    """One radiology report, by study. A section is None where the report has none."""

    source: str
    study_id: str
    patient_id: str | None
    split: Split | None
    language: str
    """ISO 639-1."""
    findings: str | None
    impression: str | None
    last_paragraph: str | None
    comparison: str | None
    history: str | None
    """Indication or clinical history."""
    text: str | None
    """The whole text where the source gives no sections, else None."""
    origin: str
    """How the sections came about: `sections`, `custom-rule`, `adopted`, `published`."""


class Grounding(NamedTuple):
    """Boxes for one named thing on one image; of kind `region`, for all anatomical regions of the image at once."""

    source: str
    """The source of the annotation: `imagenome`, `vindr`, `mscxr`, `padchest-gr`."""
    image_source: str
    image_id: str
    """With `image_source`, the image that the boxes lie on."""
    kind: Literal["region", "abnormality", "phrase"]
    ordinal: int
    """Position among the groundings of this source and image, from 0, stable between runs."""
    split: Split | None
    """The annotation's own split, which may differ from the image's."""
    label: str | None
    """Class or category name; None for kind `region`."""
    phrase: str | None
    """The sentence that the boxes ground, for kind `phrase`."""
    boxes: str
    """Canonical JSON list of boxes, six decimals; may be empty. For kind `region` an object of region -> such a list:
    36 regions of 243,310 images would make nine million rows, eight in ten of the whole store."""
    detail: str | None
    """Canonical JSON object of what else the source says (other reader's boxes, progression, ...)."""


class Outcome(NamedTuple):
    """Why an item is not, or not wholly, there. Yielded by sources beside records; kept in the store."""

    item: str
    """The dataset's own id of the image, study, file or box."""
    status: Literal["skipped", "failed"]
    reason: str
    """One sentence without the item's id, so that equal reasons can be counted."""


class Turn(NamedTuple):
    """One utterance of a dialogue."""

    role: Literal["human", "gpt"]
    text: str


Status = Literal["ok", "truncated", "filtered", "refused", "rejected", "failed"]
"""ok; truncated: cut off at max_tokens; filtered: by the provider's content filter; refused: by the model; rejected:
the endpoint does not take the request (400); failed: no answer after all attempts, to be asked again next time."""


class Usage(NamedTuple):
    """Tokens of a language model call as the endpoint counts them; None where it does not say."""

    input: int | None = None
    cached: int | None = None
    """Of the input."""
    output: int | None = None
    reasoning: int | None = None
    """Of the output."""


class Answer(NamedTuple):
    """How a call to a language model ended."""

    status: Status
    text: str | None = None
    usage: Usage = Usage()
    cost: float | None = None
    """US dollars; None where no price is known."""
    model: str | None = None
    """As the endpoint reports it."""
    fingerprint: str | None = None
    request_id: str | None = None
    finish_reason: str | None = None
    error: str | None = None
    """Code and kind, never a prompt's words."""
    http_status: int | None = None
    latency_ms: int | None = None
    """Of the attempt that was answered."""
    attempts: int = 1
    tier: Literal["standard", "batch"] = "standard"


class JudgeReply(NamedTuple):
    """What a judging model said of one sample."""

    status: str
    """`ok`; `empty`: there was nothing to judge, as the sample's own answer is empty or failed, and it counts as 0;
    anything else: the judge failed, and the sample has no score."""
    text: str
    """As the judge wrote it; '' where there was nothing to judge."""
