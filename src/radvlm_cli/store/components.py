"""Which records of the store a component of an instruction dataset is made of: one SELECT per task."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from radvlm_cli.store.engine import Store
from radvlm_cli.store.queries import OWN_I

COHORT = {
    "mimic": "mimic",
    "imagenome": "mimic",
    "mscxr": "mimic",
    "chexpert": "chexpert",
    "chexpert-plus": "chexpert",
    "padchest": "padchest",
    "padchest-gr": "padchest",
}
"""Sources that share patients, studies and images; a source not named is its own cohort."""

_IMAGES_OF = {"imagenome": "mimic", "mscxr": "mimic"}


def image_owner(source: str) -> str:
    """The source whose images a source describes: mostly itself."""
    return _IMAGES_OF.get(source, source)


FRONTAL = {
    "mimic": "i.view IN ('PA', 'AP')",
    "padchest": "i.view IN ('PA', 'AP')",
    "padchest-gr": "i.view IN ('PA', 'AP')",
    "chexpert": "i.view IS NOT 'LATERAL'",
    "chexpert-plus": "i.view IS NOT 'LATERAL'",
}
"""What each dataset calls a frontal image, as the published counts have it; no entry: all are."""

_IMAGE = "i.id, i.image_id, i.root, i.path, i.status, i.patient_id, i.study_id, i.width, i.height"


class Selection(NamedTuple):
    """Which records a component asks for."""

    task: str
    source: str
    splits: tuple[str, ...]
    paper: bool = False
    """Choose as the published code does, defects included (see the tasks below)."""

    @property
    def image_source(self) -> str:
        """The source that owns the images."""
        return image_owner(self.source)

    @property
    def cohort(self) -> str:
        """The group of sources that share patients with this one."""
        return COHORT.get(self.source, self.source)


class Candidate(NamedTuple):
    """One record of a component: an image and what is to be said of it."""

    image: int
    """Row id."""
    image_id: str
    root: str
    path: str
    status: str
    patient_id: str | None
    study_id: str | None
    width: int | None
    height: int | None
    content: Any
    """Text, labels, boxes or turns, as the task has it."""
    name: str | None
    """Label or phrase that the boxes belong to."""
    grounding: int | None
    report: int | None
    curated_text: int | None
    conversation: int | None

    @property
    def key(self) -> str:
        """What tells this record from the others of its component."""
        return self.image_id if self.grounding is None else f"{self.image_id}-{self.grounding}"


def candidates(store: Store, selection: Selection) -> Iterator[Candidate]:
    """Stream the records of a component, ordered by image and grounding."""
    sql, parameters = _TASKS[selection.task](selection)
    return map(Candidate._make, store.rows(sql, parameters))


def frontal_images(store: Store, selection: Selection) -> int:
    """How many frontal images the splits of a component hold."""
    where, parameters = _where(selection)
    return int(store.value(f"SELECT count(*) FROM image i WHERE {where}", parameters))


_Query = tuple[str, list[Any]]


def _where(selection: Selection) -> _Query:
    source, frontal = selection.image_source, FRONTAL.get(selection.image_source, "1")
    where, parameters = f"{OWN_I} AND {frontal}", [source] * 3
    if "all" in selection.splits:
        return where, parameters
    marks = ", ".join("?" * len(selection.splits))
    return f"{where} AND i.split IN ({marks})", [*parameters, *selection.splits]


def _reports(selection: Selection) -> _Query:
    where, parameters = _where(selection)
    sql = (
        f"SELECT {_IMAGE}, c.text, NULL, NULL, r.id, c.id, NULL FROM image i "
        "JOIN curated_text c ON c.source = i.source AND c.study_id = i.study_id "
        "LEFT JOIN report r ON r.source = i.source AND r.study_id = i.study_id "
        f"WHERE {where} ORDER BY i.id"
    )
    return sql, parameters


def _labels(selection: Selection) -> _Query:
    """The published code joins MIMIC-CXR's labels to the official section table, which lacks 54 studies."""
    where, parameters = _where(selection)
    if selection.paper and selection.source == "mimic":
        where += (
            " AND EXISTS (SELECT 1 FROM report r WHERE r.source = i.source AND r.study_id = i.study_id "
            "AND r.origin <> 'custom-rule')"
        )
    sql = (
        f"SELECT {_IMAGE}, i.labels, NULL, NULL, NULL, NULL, NULL FROM image i "
        f"WHERE {where} AND i.labels IS NOT NULL ORDER BY i.id"
    )
    return sql, parameters


def _regions(selection: Selection) -> _Query:
    """Training images are in the training split of both MIMIC-CXR and Chest ImaGenome; test images in MIMIC-CXR's test.

    The published code takes all its images from MIMIC-CXR train, whatever split it is asked for.
    """
    parameters: list[Any] = []
    own_split = "IS NOT NULL"  # those of the images to avoid is
    if selection.paper or not {"test", "all"} & set(selection.splits):
        own_split = f"IN ({', '.join('?' * len(selection.splits))})"
        parameters += selection.splits
    where, image_parameters = _where(selection._replace(splits=("train",)) if selection.paper else selection)
    sql = (
        f"SELECT {_IMAGE}, g.boxes, NULL, NULL, NULL, NULL, NULL FROM grounding g CROSS JOIN image i "
        f"ON i.id = g.image_id WHERE g.source = 'imagenome' AND g.split {own_split} AND {where} ORDER BY g.image_id"
    )
    return sql, parameters + image_parameters


def _groundings(selection: Selection) -> _Query:
    where, parameters = _where(selection)
    name = "g.phrase" if selection.task == "phrase-grounding" else "g.label"
    kind = "phrase" if selection.task == "phrase-grounding" else "abnormality"
    sql = (
        f"SELECT {_IMAGE}, g.boxes, {name}, g.ordinal, NULL, NULL, NULL FROM grounding g "
        f"CROSS JOIN image i ON i.id = g.image_id WHERE g.source = ? AND g.kind = ? AND g.boxes <> '[]' "
        f"AND {name} IS NOT NULL AND {where} ORDER BY g.image_id, g.ordinal"
    )
    return sql, [selection.source, kind, *parameters]


def _detections(selection: Selection) -> _Query:
    where, parameters = _where(selection)
    found = (
        "(SELECT json_group_array(json_array(label, json(boxes))) FROM (SELECT label, boxes FROM grounding g "
        "WHERE g.source = i.source AND g.image_id = i.id AND g.kind = 'abnormality' AND g.boxes <> '[]' "
        "ORDER BY g.ordinal))"
    )
    # An image whose boxes, or one of them, could not be read or placed must not pass for one without findings.
    # The item of an outcome is the image's id, or begins with it and a blank.
    where += (
        " AND NOT EXISTS (SELECT 1 FROM outcome o WHERE o.stage = 'prepare' AND o.subject = i.source "
        "AND o.step = 'groundings' AND o.item BETWEEN i.image_id AND i.image_id || '!' AND o.status = 'failed')"
    )
    sql = f"SELECT {_IMAGE}, {found}, NULL, NULL, NULL, NULL, NULL FROM image i WHERE {where} ORDER BY i.id"
    return sql, parameters


def _conversations(selection: Selection) -> _Query:
    where, parameters = _where(selection)
    kind = "grounded" if selection.task == "grounded-conversation" else "standard"
    sql = (
        f"SELECT {_IMAGE}, v.turns, NULL, NULL, NULL, NULL, v.id FROM conversation v "
        f"CROSS JOIN image i ON i.id = v.image_id WHERE v.source = ? AND v.kind = ? AND {where} ORDER BY v.image_id"
    )
    return sql, [selection.source, kind, *parameters]


_TASKS: dict[str, Callable[[Selection], _Query]] = {
    "report": _reports,
    "classification": _labels,
    "region-grounding": _regions,
    "abnormality-grounding": _groundings,
    "abnormality-detection": _detections,
    "phrase-grounding": _groundings,
    "conversation": _conversations,
    "grounded-conversation": _conversations,
}
