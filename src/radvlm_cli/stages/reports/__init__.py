"""What `radvlm report` shows: one module for each view, which makes row objects from the store by SQL.

Nothing here writes to the store.
"""
