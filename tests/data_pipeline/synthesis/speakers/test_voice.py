import pytest

from data_pipeline.records import RejectedRow
from data_pipeline.synthesis.speakers.voice import EmbeddedVoice, check_request_text

ENGLISH = EmbeddedVoice(name="x:en", gender="female", age="adult")
MANDARIN = EmbeddedVoice(name="x:zh", gender="female", age="adult", language="zh")


@pytest.mark.parametrize(
    ("text", "voice"),
    [("Café at 5?\n\tYes – “fine” 🙂", ENGLISH), ("42", ENGLISH), ("今天 OK。", MANDARIN), ("你好", MANDARIN)],
)
def test_what_a_voice_can_speak_passes(text: str, voice: EmbeddedVoice) -> None:
    check_request_text(text, voice.language, voice)


@pytest.mark.parametrize(
    ("text", "language", "reason"),
    [
        ("Hola.", "es", "wrong language: voice x:en speaks 'en', the text is 'es'"),
        ("🙂 …", "en", "nothing to speak: expected letters or digits, got '🙂 …'"),
        ("", "en", "nothing to speak: expected letters or digits, got ''"),
        ("I said 你好", "en", "bad text: expected Latin letters, got '你' in"),
        ("a\x00b", "en", r"bad text: expected no control characters, got '\\x00' in"),
    ],
)
def test_what_it_cannot_speak_is_rejected(text: str, language: str, reason: str) -> None:
    with pytest.raises(RejectedRow, match=f"^{reason}"):
        check_request_text(text, language, ENGLISH)
