"""The derived files of the published layout, under its names, so that other code that reads them keeps working."""

from __future__ import annotations
