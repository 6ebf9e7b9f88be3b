"""What can go wrong for a user, as one tree:

    RadvlmError                exit code 3: a message that names the thing, and a hint that is a command to run
    ├── DataError              a dataset file is absent, damaged or not what it should be
    ├── StoreError             the store is missing, ahead of this version, locked, or on a network file system
    ├── ConfigError            a setting, recipe or option does not make sense
    ├── TrainingError          the training program ended with an error
    ├── EvaluationError        the workers of an evaluation ended with an error
    └── Interrupted            stopped by Ctrl-C or SIGTERM, work committed (exit code 130)

Anything else that escapes is a bug and keeps its traceback (exit code 1). Only `main.py` turns these into text.
"""


class RadvlmError(Exception):
    """An error that the user can mend.

    `hint` is what mends it: a command line where there is one, otherwise one short sentence.
    """

    exit_code = 3

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class DataError(RadvlmError):
    """A dataset file is absent, damaged, or not what its name promises."""


class StoreError(RadvlmError):
    """The SQLite store cannot be used as it is."""


class ConfigError(RadvlmError):
    """A setting, a recipe or a combination of options does not make sense."""


class TrainingError(RadvlmError):
    """The training program ended with an error; what it says of it."""


class EvaluationError(RadvlmError):
    """The workers of an evaluation ended with an error; what they say of it."""


class Interrupted(RadvlmError):
    """The user asked to stop; everything finished so far is committed."""

    exit_code = 130
