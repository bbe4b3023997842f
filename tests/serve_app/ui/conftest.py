from collections.abc import Iterator

import pytest

from tests.serve_app.ui.fake_endpoint import FakeEndpoint, running


@pytest.fixture(scope="module")
def _fake_and_address() -> Iterator[tuple[FakeEndpoint, str]]:
    fake = FakeEndpoint()
    with running(fake) as address:
        yield fake, address


@pytest.fixture
def fake(_fake_and_address: tuple[FakeEndpoint, str]) -> FakeEndpoint:
    _fake_and_address[0].reset()
    return _fake_and_address[0]


@pytest.fixture
def address(_fake_and_address: tuple[FakeEndpoint, str]) -> str:
    return _fake_and_address[1]
