"""The store in a browser: Datasette over a connection that cannot write, and pages of our own in front of it."""
