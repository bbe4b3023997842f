"""Runs in Serve's HTTP proxies, in front of the gateway: they read some headers themselves, and fail on odd ones.

``RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH`` names :func:`middlewares` (``ray_settings``).
"""

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from serve_app.api.request_ids import clean_request_id

_REQUEST_ID = b"x-request-id"


class CleanHeaders:
    """Replaces a request id that is not plain ASCII or too long, and drops other headers that are not UTF-8."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            headers = [(name, value) for name, value in scope["headers"] if name == _REQUEST_ID or _is_utf8(value)]
            scope = {**scope, "headers": [_clean(name, value) for name, value in headers]}
        await self._app(scope, receive, send)


def middlewares() -> list[Middleware]:
    """What every proxy puts around its own application."""
    return [Middleware(CleanHeaders)]


def _clean(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    if name != _REQUEST_ID:
        return name, value
    return name, clean_request_id(value.decode("latin-1")).encode()


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True
