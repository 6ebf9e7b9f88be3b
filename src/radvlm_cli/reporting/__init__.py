"""What reports show: row objects with their columns, and the forms in which a table is written.

Rows are named tuples that mean something by themselves (a model on a test set, a metric's difference); `Table` says
how they read. The forms (terminal, Markdown, CSV, JSON, LaTeX, and the HTML page) know tables only.
"""
