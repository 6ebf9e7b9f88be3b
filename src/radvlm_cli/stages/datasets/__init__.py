"""build: the instruction dataset."""
