"""What the HTML page of `radvlm report` shows: one module for each part, and `contents`, which puts them together."""
