import numpy as np
import pytest

from data_pipeline.steps.decode import EncodedTurn, decode_turn
from data_pipeline.steps.rejects import Unusable
from opens2s_core.audio import encode_audio

TONE = np.round(np.sin(np.arange(16000) / 20) * 16384).astype(np.float32) / 32768


def turn(user: bytes, reply: bytes) -> EncodedTurn:
    return EncodedTurn(id="t", user_text="Hi.", user_audio=user, reply_text="Hello.", reply_audio=reply)


def test_both_sounds_are_decoded_and_the_users_stays_encoded() -> None:
    flac = encode_audio(TONE, 16000)
    decoded = decode_turn(turn(flac, encode_audio(TONE[:8000], 16000)), max_seconds=30)
    np.testing.assert_allclose(decoded.user, TONE, atol=1 / 32768)
    assert len(decoded.reply) == 8000
    assert decoded.user_audio == flac


def test_exactly_the_longest_sound_is_accepted() -> None:
    flac = encode_audio(TONE, 16000)
    assert len(decode_turn(turn(flac, flac), max_seconds=1.0).user) == 16000


FLAC = encode_audio(TONE, 16000)


@pytest.mark.parametrize(
    ("user", "reply", "reason"),
    [
        (b"no sound", FLAC, r"^bad user audio: not a readable audio file \(8 bytes\)"),
        (FLAC, b"", r"^bad reply audio: not a readable audio file \(0 bytes\)"),
        (FLAC[:1000] + FLAC[1100:], FLAC, r"^bad user audio: audio cannot be read beyond 0.00 s"),
        (
            FLAC,
            encode_audio(np.tile(TONE, 3), 16000),
            r"^bad reply audio: audio of more than 2 s: expected at most 2 s",
        ),
        (encode_audio(TONE, 8000), FLAC, r"^wrong rate of user audio: 8000 Hz, expected 16000"),
    ],
)
def test_what_cannot_be_decoded_is_unusable(user: bytes, reply: bytes, reason: str) -> None:
    with pytest.raises(Unusable, match=reason):
        decode_turn(turn(user, reply), max_seconds=2)
