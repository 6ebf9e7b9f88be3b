"""What prepare reads from the datasets."""

from __future__ import annotations

from sqlalchemy import Index, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from radvlm_cli.store.tables.columns import WITHOUT_ROWID, column


class Image(SQLModel, table=True):
    """One image of a source."""

    id: int | None = Field(default=None, primary_key=True)
    source: str = column("Source that owns the image: mimic, chexpert, chexpert-plus, vindr, padchest, ...")
    image_id: str = column("The dataset's own id.")
    patient_id: str | None = column("The dataset's own id.", default=None)
    study_id: str | None = column("The dataset's own id.", default=None)
    split: str | None = column("train, validation or test in the official release.", default=None)
    view: str | None = column("PA, AP, LATERAL, ... as the dataset writes it.", default=None)
    root: str = column("data or derived: what `path` is relative to.")
    path: str = column("POSIX path of the 8-bit file to show to a model.")
    width: int | None = column("Columns of the original image, pixels.", default=None)
    height: int | None = column("Rows of the original image, pixels.", default=None)
    sex: str | None = column("F or M.", default=None)
    age: int | None = column("Years.", default=None)
    labels: str | None = column(
        "JSON object, finding -> 1 present, 0 absent, -1 uncertain; not mentioned is left out.", default=None
    )
    status: str = column("Of the file: present, missing, failed or unchecked.")
    reason: str | None = column("Why the file is missing or failed.", default=None)
    run_id: int = column("The run that last changed the row.", foreign_key="run.id")
    # Checks would double the cost of a million rows; `radvlm db check` looks at the values instead.
    __table_args__ = (
        UniqueConstraint("source", "image_id"),
        Index("ix_image_report", "source", "split", "status", "view", "sex", "age"),
        Index("ix_image_absent", "status", sqlite_where=text("status IN ('missing','failed')")),
    )


class Report(SQLModel, table=True):
    """One radiology report, by study, in sections. A section is NULL where the report has none."""

    id: int | None = Field(default=None, primary_key=True)
    source: str = column("mimic, chexpert-plus, padchest or openi.")
    study_id: str = column("The dataset's own id.")
    patient_id: str | None = column("The dataset's own id.", default=None)
    split: str | None = column("train, validation or test in the official release.", default=None)
    language: str = column("ISO 639-1.")
    findings: str | None = column("Findings section.", default=None)
    impression: str | None = column("Impression section.", default=None)
    last_paragraph: str | None = column("Last paragraph, where there is neither findings nor impression.", default=None)
    comparison: str | None = column("Comparison section.", default=None)
    history: str | None = column("Indication or clinical history.", default=None)
    text: str | None = column("The whole text where the source gives no sections.", default=None)
    origin: str = column("sections, custom-rule, adopted or published: how the sections came about.")
    run_id: int = column("The run that last changed the row.", foreign_key="run.id")
    __table_args__ = (UniqueConstraint("source", "study_id"),)


class Grounding(SQLModel, table=True):
    """Boxes for one named thing on one image; of kind `region`, for all anatomical regions of the image at once."""

    source: str = Field(primary_key=True, description="Source of the annotation: imagenome, vindr, mscxr, padchest-gr.")
    image_id: int = Field(
        primary_key=True, foreign_key="image.id", ondelete="CASCADE", description="The image that the boxes lie on."
    )
    ordinal: int = Field(primary_key=True, description="Position among this source's groundings of the image, from 0.")
    kind: str = column("region, abnormality or phrase.")
    split: str | None = column("The annotation's own split, which may differ from the image's.", default=None)
    label: str | None = column("Class or category name; NULL for kind region.", default=None)
    phrase: str | None = column("The sentence that the boxes ground.", default=None)
    boxes: str = column(
        "JSON list of [x_min, y_min, x_max, y_max], each 0-1 of the original image; may be empty. "
        "For kind region a JSON object of region -> such a list; see the view `region`."
    )
    detail: str | None = column("JSON object of what else the source says.", default=None)
    run_id: int = column("The run that last changed the row.", foreign_key="run.id")
    __table_args__ = (Index("ix_grounding_kind", "kind"), WITHOUT_ROWID)
