"""What is wrong with a data set."""


class DatasetError(ValueError):
    """A directory that does not hold the finished data set it should."""
