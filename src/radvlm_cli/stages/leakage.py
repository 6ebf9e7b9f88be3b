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
        self._holders: dict[tuple[str, str], dict[str, str]] = {}

    @classmethod
    def of(cls, store: Store, selections: Iterable[tuple[str, Selection]]) -> EvaluationIndex:
        """Index the records that qualify for each evaluation component, those beyond its limit too."""
        index = cls()
        for name, selection in selections:
            for record in candidates(store, selection):
                for level, identity in _identities(record):
                    index._holders.setdefault((selection.cohort, level), {}).setdefault(identity, name)
        return index

    def shared(self, cohort: str, record: Candidate) -> Shared | None:
        """What `record` of `cohort` shares with the evaluation sets; None if nothing."""
        for level, identity in _identities(record):
            holder = self._holders.get((cohort, level))
            if holder is not None and (component := holder.get(identity)) is not None:
                return Shared(level, f"{cohort} {level} {identity}", component)
        return None


def _identities(record: Candidate) -> Iterable[tuple[str, str]]:
    """From the closest to the widest."""
    yield "image", record.image_id
    if record.study_id is not None:
        yield "study", record.study_id
    if record.patient_id is not None:
        yield "patient", record.patient_id
