"""Bodies of forms, as the public HTTP client writes them."""

from collections.abc import Sequence

import httpx

from opens2s_core.audio import encode_audio
from tests.serve_app.api.audio_files import tone

Files = Sequence[tuple[str, tuple[str, bytes]]]


def form(fields: dict[str, str | list[str]], files: Files = ()) -> tuple[bytes, str]:
    """The body and its content type."""
    # Without a file httpx would send the fields as a query string.
    request = httpx.Request("POST", "http://server", data=fields, files=[*files] or {"": b""})
    return request.read(), request.headers["content-type"]


def flac(seconds: float) -> bytes:
    return encode_audio(tone(seconds, 16_000), 16_000, container="flac")
