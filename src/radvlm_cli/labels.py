"""The one vocabulary of findings: the fourteen CheXpert labels, in the alphabetical order of MIMIC-CXR.

Values in the store: 1 present, 0 absent, -1 uncertain; a finding that was not mentioned is left out (unknown is not
negative). What to make of -1 is chosen at build.
"""

from __future__ import annotations

NO_FINDING = "No Finding"
FINDINGS = (
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Edema",
    "Enlarged Cardiomediastinum",
    "Fracture",
    "Lung Lesion",
    "Lung Opacity",
    NO_FINDING,
    "Pleural Effusion",
    "Pleural Other",
    "Pneumonia",
    "Pneumothorax",
    "Support Devices",
)
ABNORMALITIES = tuple(name for name in FINDINGS if name != NO_FINDING)
CHEXPERT_ORDER = (
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)
"""The abnormalities as CheXpert's tables and CheXbert's heads have them."""
ALIASES = {"Airspace Opacity": "Lung Opacity"}
"""Names that other releases of the same labels use (MIMIC-CXR 2.1.0 test set, CheXlocalize)."""
