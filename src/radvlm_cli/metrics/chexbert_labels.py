"""What CheXbert reads from a report: its heads, and the classes of a head."""

from __future__ import annotations

from radvlm_cli.labels import CHEXPERT_ORDER, NO_FINDING

LABELS = (*CHEXPERT_ORDER, NO_FINDING)
"""In the order of CheXbert's heads."""
FIVE = ("Cardiomegaly", "Edema", "Consolidation", "Atelectasis", "Pleural Effusion")
BLANK, POSITIVE, NEGATIVE, UNCERTAIN = range(4)
"""Classes of a head; that of No Finding has the first two."""
