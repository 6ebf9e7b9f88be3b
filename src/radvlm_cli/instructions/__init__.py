"""The tasks, one file each: a record in, question and answer out. The wording stands in wording/*.txt.

Every `instruct` takes a 64-bit keyed number (hashing.keyed_number) that chooses the variants; bits above the 40th are
free for the caller.
"""
