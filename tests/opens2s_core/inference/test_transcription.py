import numpy as np
import pytest

from opens2s_core.audio import SAMPLE_RATE
from opens2s_core.inference.transcription import transcription_request
from opens2s_core.prompt import Audio, Message, Text


def test_the_model_reads_the_prompt_and_then_the_clip() -> None:
    clip = np.zeros(SAMPLE_RATE, np.float32)
    request = transcription_request("Transcribe: ", clip, max_tokens=100, system="Names: Ada.", temperature=0.5, seed=7)
    assert request.messages == (
        Message("system", (Text("Names: Ada."),)),
        Message("user", (Text("Transcribe: "), Audio(clip))),
    )
    assert (request.speak, request.text.temperature, request.text.seed) == (False, 0.5, 7)
    assert len(transcription_request("Transcribe: ", clip, max_tokens=100).messages) == 1


@pytest.mark.parametrize(("seconds", "most", "tokens"), [(1, 1024, 64), (10, 1024, 250), (10, 100, 100), (0.1, 12, 12)])
def test_a_transcript_is_bounded_by_the_length_of_its_clip(seconds: float, most: int, tokens: int) -> None:
    clip = np.zeros(int(seconds * SAMPLE_RATE), np.float32)
    assert transcription_request("Transcribe: ", clip, max_tokens=most).text.max_tokens == tokens
