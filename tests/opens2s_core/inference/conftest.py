import pytest

from opens2s_core.checkpoint.token2wav import load_token2wav
from opens2s_core.models.flow import Flow
from opens2s_core.models.vocoder import Vocoder
from tests.opens2s_core.threads import one_thread  # noqa: F401 for every module


@pytest.fixture(scope="module")
def flow_and_vocoder(request: pytest.FixtureRequest) -> tuple[Flow, Vocoder]:
    """Flow and vocoder of the module's golden data."""
    return load_token2wav(request.module.GOLDEN.path)


@pytest.fixture(scope="module")
def vocoder(flow_and_vocoder: tuple[Flow, Vocoder]) -> Vocoder:
    """The golden vocoder, with voiced and unvoiced frames and audio loud enough to show differences."""
    return flow_and_vocoder[1]
