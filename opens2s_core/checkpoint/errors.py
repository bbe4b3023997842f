"""The error for invalid directories of weights."""


class CheckpointError(ValueError):
    """A directory with missing, unknown or malformed files or tensors, which the message names."""
