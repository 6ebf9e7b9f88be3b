"""What can go wrong for the person who trains, as one tree (exit code 3; anything else that escapes is a bug):

TrainingError              a message that names the thing, and a hint that mends it
├── CheckpointError        a checkpoint cannot be written, read, or be gone on from
├── DataError              the dataset cannot be read, or is not the one that was meant
└── RunHeldError           another trainer is at work on this run
"""


class TrainingError(Exception):
    """An error that the user can mend; `hint` is what mends it, one short sentence or a command."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class CheckpointError(TrainingError):
    """A checkpoint cannot be written, is damaged, or belongs to another training."""


class DataError(TrainingError):
    """The dataset cannot be trained on."""


class RunHeldError(TrainingError):
    """Another trainer holds the run."""
