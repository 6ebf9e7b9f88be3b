"""The self-contained HTML page: sections of tables, charts, flows and pictures in, one string of HTML out.

Nothing in it is fetched from anywhere, and its content security policy forbids that it could be.
"""
