import numpy as np
import pytest

from data_pipeline.steps.decode import DecodedTurn
from data_pipeline.steps.filter import check_turn
from data_pipeline.steps.rejects import Unusable
from opens2s_core.audio import Waveform


def tone(samples: int, peak: float = 0.5) -> Waveform:
    return np.full(samples, peak, dtype=np.float32)


def turn(user: Waveform, reply: Waveform, reply_text: str = "Hello.") -> DecodedTurn:
    return DecodedTurn(id="t", user_text="Hi.", user_audio=b"", user=user, reply_text=reply_text, reply=reply)


def test_half_a_second_of_speech_is_enough() -> None:
    good = turn(tone(8000), tone(8000))
    assert check_turn(good, min_seconds=0.5) is good


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (turn(tone(7999), tone(8000)), r"^user audio too short: 0\.50 s, expected at least 0\.5 s"),
        (turn(tone(8000), tone(160)), r"^reply audio too short: 0\.01 s"),
        (turn(tone(8000), tone(8000, peak=0.0)), r"^silent reply audio: peak 0\.0e\+00, expected at least 0\.001"),
        (turn(tone(8000), tone(8000), reply_text=" \n"), r"^empty reply text"),
    ],
)
def test_turns_that_teach_nothing_are_unusable(bad: DecodedTurn, reason: str) -> None:
    with pytest.raises(Unusable, match=reason):
        check_turn(bad, min_seconds=0.5)
