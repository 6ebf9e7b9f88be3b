"""export: what other programs read."""
