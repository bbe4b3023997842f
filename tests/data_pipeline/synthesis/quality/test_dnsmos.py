import numpy as np
import pytest

pytest.importorskip("speechmos")

from data_pipeline.synthesis.protocols import Speech
from data_pipeline.synthesis.quality.dnsmos import Dnsmos
from tests.spoken import speak


@pytest.fixture(scope="module")
def clip() -> Speech:
    return speak("I am so happy for you, that is wonderful news.")


def test_noise_makes_quality_worse(clip: Speech) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, len(clip.samples)).astype(np.float32)
    clean = Dnsmos().measure(clip)
    noisy = Dnsmos().measure(Speech(clip.samples + noise, clip.rate))  # beyond full scale in places
    assert 1 <= noisy.overall < clean.overall - 0.5 < 5
    assert 1 <= noisy.p808 < clean.p808 - 0.5 < 5
    assert Dnsmos().measure(clip) == clean


def test_a_clip_without_samples_is_refused() -> None:
    with pytest.raises(ValueError, match="a clip with samples, got none"):
        Dnsmos().measure(Speech(np.zeros(0, np.float32), 16_000))
