"""Model families, as used by the gateway and the stages."""

from dataclasses import replace

import numpy as np
import pytest

from opens2s_core.inference.family import FAMILIES, OPENS2S, StageSpec, is_final
from opens2s_core.inference.messages import AudioChunk, Finish, HiddenStates, StageMessage, TextDelta, Units
from opens2s_core.inference.records import AudioRecord, TextRecord, UnitsRecord
from tests.fakes import FakeStream, FakeToken2Wav, reply_request

HIDDEN_STATES = HiddenStates(np.zeros((4, 2), np.float32), final=False)
UNITS = Units(np.zeros(4, np.int64), final=False)
AUDIO = AudioChunk(np.zeros(4, np.int16), final=False)
THINKER, SPEECH_DECODER, TOKEN2WAV = OPENS2S.stages


def test_the_family_is_found_by_its_name() -> None:
    assert FAMILIES["opens2s"] is OPENS2S
    assert OPENS2S.names == ("thinker", "speech_decoder", "token2wav")


def test_a_written_reply_needs_the_thinker_alone() -> None:
    assert OPENS2S.stages_for(speak=False) == (THINKER,)
    assert OPENS2S.stages_for(speak=True) == OPENS2S.stages


@pytest.mark.parametrize(
    ("message", "consumer"),
    [
        (TextDelta("a"), None),
        (HIDDEN_STATES, SPEECH_DECODER),
        (UNITS, TOKEN2WAV),
        (AUDIO, None),
        (Finish("stop", 1, 1), None),
    ],
)
def test_each_message_goes_to_the_stage_that_takes_it_or_to_the_client(
    message: StageMessage, consumer: StageSpec | None
) -> None:
    assert OPENS2S.consumer(message) is consumer


def test_a_reply_ends_for_its_client_with_its_text_and_its_audio() -> None:
    assert OPENS2S.client_end_types(speak=False) == {Finish}
    assert OPENS2S.client_end_types(speak=True) == {Finish, AudioChunk}


def test_each_stage_ends_with_its_final_messages() -> None:
    assert [stage.end_types(speak=True) for stage in OPENS2S.stages] == [{Finish, HiddenStates}, {Units}, {AudioChunk}]
    assert [stage.end_types(speak=False) for stage in OPENS2S.stages] == [{Finish}, set(), set()]


@pytest.mark.parametrize("message", [HIDDEN_STATES, UNITS, AUDIO])
def test_messages_are_final_by_their_flag(message: HiddenStates | Units | AudioChunk) -> None:
    assert not is_final(message)
    assert is_final(replace(message, final=True))
    assert is_final(Finish("stop", 1, 1))
    assert not is_final(TextDelta("a"))


def test_a_reply_is_resumed_after_the_output_of_its_client() -> None:
    text, units = TextRecord((1, 2, 3), groups=2, characters=9), UnitsRecord((4, 5), units=2)
    audio = FakeToken2Wav(1).record_of(FakeStream(reply_request(), done=1))
    assert isinstance(audio, AudioRecord)
    assert OPENS2S.resume({}) == {}
    assert OPENS2S.resume({"thinker": text}) == {"thinker": replace(text, groups=0)}
    whole = OPENS2S.resume({"thinker": text, "speech_decoder": units, "token2wav": audio})
    assert whole == {"thinker": replace(text, groups=0), "speech_decoder": replace(units, units=1), "token2wav": audio}
    without_audio = OPENS2S.resume({"thinker": text, "speech_decoder": units})
    assert without_audio["speech_decoder"] == replace(units, units=0), "token2wav has received none"
