import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.corpora.audio_strings import parse_audio
from data_pipeline.records import AudioReference, RejectedRow


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("clips/a.wav", AudioReference(path="clips/a.wav")),
        ("./clips//a.wav", AudioReference(path="clips/a.wav")),
        ("clips/../a.wav", AudioReference(path="a.wav")),
        ("clips\\a.wav", AudioReference(path="clips/a.wav")),
        ("录音/你好 é.flac", AudioReference(path="录音/你好 é.flac")),
        ("at 12:30.wav", AudioReference(path="at 12:30.wav")),
        ("noextension", AudioReference(path="noextension")),
        ("a.wav:16000:32000", AudioReference(path="a.wav", start=16_000, length=32_000, in_samples=True)),
        ("a.wav:16000:-1", AudioReference(path="a.wav", start=16_000, in_samples=True)),
        ("at 12:30.wav:0:5", AudioReference(path="at 12:30.wav", start=0, length=5, in_samples=True)),
        ("all.zip:142:9000", AudioReference(path="all.zip", offset=142, size=9000)),
        ("ALL.ZIP:142:9000", AudioReference(path="ALL.ZIP", offset=142, size=9000)),
        ("all.zip:speaker/a.wav", AudioReference(path="all.zip", member="speaker/a.wav")),
    ],
)
def test_every_form_names_its_clip(text: str, expected: AudioReference) -> None:
    assert parse_audio(text) == expected


@pytest.mark.parametrize(
    "text",
    ["/etc/passwd", "../a.wav", "a/../../b.wav:0:5", "..\\a.wav", "s3://bucket/a.wav", "C:\\a.wav", "/a.zip:1:2", "."],
)
def test_paths_that_leave_the_root_are_rejected(text: str) -> None:
    with pytest.raises(RejectedRow, match=r"^path outside the corpus: "):
        parse_audio(text)


@pytest.mark.parametrize(
    "text",
    ["a.wav:12", "a.wav:1:2:", "a.wav:-1:5", "a.wav:0.5:1.5", "a.wav:x:y", "a.wav:0:0", "all.zip", "all.zip:5:0"],
)
def test_a_malformed_string_is_rejected_with_what_it_is(text: str) -> None:
    with pytest.raises(RejectedRow, match=f"^bad audio string: '{text}'"):
        parse_audio(text)


@pytest.mark.parametrize("text", ["", "  "])
def test_an_empty_string_is_rejected(text: str) -> None:
    with pytest.raises(RejectedRow, match=r"^no audio: "):
        parse_audio(text)


@given(st.text(alphabet="ab./\\:0123456789-zip \0é"))
def test_any_string_is_a_path_below_the_root_or_a_rejected_row(text: str) -> None:
    try:
        path = parse_audio(text).path
    except RejectedRow:
        return
    assert posixpath.normpath(posixpath.join("/root", path)).startswith("/root/")


@pytest.mark.parametrize("text", ["a.wav:{}:5", "a.wav:0:{}", "a.zip:{}:5"])
def test_numbers_beyond_64_bits_are_rejected(text: str) -> None:
    for digits in (19, 5000):
        with pytest.raises(RejectedRow, match=r"^bad audio string: .*at most 18 digits"):
            parse_audio(text.format("9" * digits))


def test_a_lone_surrogate_is_rejected() -> None:
    with pytest.raises(RejectedRow, match=r"^bad encoding: "):
        parse_audio("a\ud83d.wav")
