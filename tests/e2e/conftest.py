"""The served platform, once for all tests of this folder, on a tiny bundle."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from ray import serve

from serve_app.app import build_app
from tests.conftest import free_ports
from tests.e2e.small_service import serve_config


@pytest.fixture(scope="session")
def serve_port(ray_local: str) -> Iterator[int]:
    """Serve without an application."""
    [port] = free_ports(1)
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    yield port
    serve.shutdown()


@pytest.fixture(scope="session")
def served(serve_port: int, tiny_bundle: Path) -> str:
    """Where the platform answers."""
    serve.run(build_app(serve_config(tiny_bundle)), name="opens2s", route_prefix="/")
    return f"http://127.0.0.1:{serve_port}"
