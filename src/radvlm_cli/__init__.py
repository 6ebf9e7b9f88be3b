"""radvlm: from chest X-ray datasets to an evaluated vision-language model, over one SQLite store."""

__version__ = "0.1.0"
