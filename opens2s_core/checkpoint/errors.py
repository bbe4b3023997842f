"""What a directory of weights can be refused for."""


class CheckpointError(ValueError):
    """A directory that does not hold what it should; names what is missing, unknown, malformed or of another shape."""
