"""The leakage check: does training hold a patient, study or image of an evaluation set?

Sources that share patients are compared with one another: MIMIC-CXR with Chest ImaGenome and MS-CXR, CheXpert with
CheXpert Plus, PadChest with PadChest-GR.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from radvlm_cli.store.components import Candidate, Selection, candidates
from radvlm_cli.store.engine import Store


class Shared(NamedTuple):
    """The closest thing that a training record shares with an evaluation set."""

    level: str
    """image, study or patient."""
    identity: str
    """With its cohort, e.g. `mimic patient 10000032`."""
    component: str
    """The evaluation component that holds it."""


class EvaluationIndex:
    """Everything that the evaluation sets hold, by cohort and level."""

    def __init__(self) -> None:
        self._holders: dict[str, dict[str, dict[str | None, str]]] = {}
        """Cohort -> level -> id -> component."""

    @classmethod
    def of(cls, store: Store, selections: Iterable[tuple[str, Selection]]) -> EvaluationIndex:
        """Index the records that qualify for each evaluation component, those beyond its limit too."""
        index = cls()
        for name, selection in selections:
            for record in candidates(store, selection):
                holders = index._holders.setdefault(selection.cohort, {"image": {}, "study": {}, "patient": {}})
                holders["image"].setdefault(record.image_id, name)
                if record.study_id is not None:
                    holders["study"].setdefault(record.study_id, name)
                if record.patient_id is not None:
                    holders["patient"].setdefault(record.patient_id, name)
        return index

    def shared(self, cohort: str, record: Candidate) -> Shared | None:
        """What `record` of `cohort` shares with the evaluation sets; None if nothing."""
        holders = self._holders.get(cohort)
        if holders is None:
            return None
        # From the closest to the widest; written out because a million records pass here.
        if record.image_id in holders["image"]:
            level, identity = "image", record.image_id
        elif record.study_id in holders["study"]:
            level, identity = "study", str(record.study_id)
        elif record.patient_id in holders["patient"]:
            level, identity = "patient", str(record.patient_id)
        else:
            return None
        return Shared(level, f"{cohort} {level} {identity}", holders[level][identity])
