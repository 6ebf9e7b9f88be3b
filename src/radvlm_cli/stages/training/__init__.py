"""train: runs of the training program."""
