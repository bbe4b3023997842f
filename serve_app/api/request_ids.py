"""Ids by which clients find their requests in our log."""

import uuid

_MAX_CHARS = 128


def clean_request_id(value: str | None) -> str:
    """The client's own id if it is printable ASCII of 1 to 128 characters, else a new one."""
    if value and len(value) <= _MAX_CHARS and value.isascii() and value.isprintable() and not value.isspace():
        return value
    return uuid.uuid4().hex
