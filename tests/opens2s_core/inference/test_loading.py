from pathlib import Path

from opens2s_core.inference.lm_settings import LMSettings
from opens2s_core.inference.loading import EngineSettings, build_engine
from opens2s_core.inference.speech_decoder import SpeechDecoderEngine
from opens2s_core.inference.thinker import ThinkerEngine


def test_thinker_and_speech_decoder_have_separate_settings(tiny_bundle: Path) -> None:
    settings = EngineSettings(
        thinker=LMSettings(context=96, prefill_tokens=5),
        speech_decoder=LMSettings(context=80, prefill_tokens=7, fixed_width=True),
    )
    thinker = build_engine("thinker", tiny_bundle, capacity=2, settings=settings)
    decoder = build_engine("speech_decoder", tiny_bundle, capacity=3, settings=settings)
    assert isinstance(thinker, ThinkerEngine)
    assert isinstance(decoder, SpeechDecoderEngine)
    assert (thinker.capacity, thinker.settings, thinker._lm.context) == (2, settings.thinker, 96)
    assert (decoder.capacity, decoder.settings, decoder._lm.context) == (3, settings.speech_decoder, 80)
