"""Which samples of a test set are drawn together."""

from __future__ import annotations


def cluster_of(patient_id: str | None, study_id: str | None, image_id: int | None, sample_id: str) -> str:
    """What is drawn at random together: a patient's samples; of a source that names none those of a study or image."""
    for kind, value in (("patient", patient_id), ("study", study_id), ("image", image_id)):
        if value is not None:
            return f"{kind} {value}"
    return f"sample {sample_id}"
