"""Placeholder until the Batch API is in place."""


class BatchWay:
    def __init__(self, poll_s: float) -> None:
        raise NotImplementedError
