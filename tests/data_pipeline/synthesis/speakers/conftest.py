import threading
from collections.abc import Iterator

import pytest

from tests.data_pipeline.synthesis.speakers.servers import SpeechServer


@pytest.fixture
def server() -> Iterator[SpeechServer]:
    with SpeechServer() as running:
        threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield running
        running.shutdown()
