"""What requests hold while they are admitted, and that it is released."""

import asyncio
import threading
import time

import pytest

from serve_app.api.context import ApiContext
from serve_app.config import GatewayConfig, Limits, ServeConfig
from serve_app.errors import ApiError
from serve_app.gateway.request import JSON, Intake, check_media_type
from tests.fakes import local_backend
from tests.serve_app.gateway.served import INFO


def test_bodies_are_decoded_by_as_many_threads_as_configured() -> None:
    config = ServeConfig(bundle="unused", gateway=GatewayConfig(decode_threads=2))
    context = ApiContext(model="opens2s", limits=Limits(), units_per_token=3.5)
    lock, running, most = threading.Lock(), 0, 0

    def work(number: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.02)
        with lock:
            running -= 1
        return number

    async def decode() -> list[int]:
        intake = Intake(config, INFO, context, backend)
        return await asyncio.gather(*(intake.decode(work, number) for number in range(10)))

    with local_backend() as backend:
        assert asyncio.run(decode()) == list(range(10))
    assert most == 2


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=utf-8"])
def test_json_is_accepted_by_its_content_type(content_type: str) -> None:
    check_media_type(content_type, JSON)


@pytest.mark.parametrize(
    "content_type", [None, "", "text/plain", "text/json", "application/x-www-form-urlencoded", "multipart/form-data"]
)
def test_other_kinds_of_bodies_are_refused(content_type: str | None) -> None:
    with pytest.raises(ApiError, match="expected 'application/json'") as refused:
        check_media_type(content_type, JSON)
    assert refused.value.status == 415


def test_a_form_is_accepted_where_it_is_expected() -> None:
    check_media_type("multipart/form-data; boundary=b", "multipart/form-data")
    with pytest.raises(ApiError, match="content type 'application/json': expected 'multipart/form-data'"):
        check_media_type(JSON, "multipart/form-data")
