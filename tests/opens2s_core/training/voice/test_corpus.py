import json
from pathlib import Path

import numpy as np
import pytest

from opens2s_core.audio import encode_audio, resample
from opens2s_core.training.voice.corpus import MANIFEST, CorpusError, SpeechCorpus, Split, Utterance, write_manifest

RATE = 16_000


def tone(samples: int, hertz: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(samples) / RATE)).astype(np.float32)


def utterance(name: str, split: Split = "train", **other: object) -> Utterance:
    values = {
        "id": name,
        "file": f"audio/{name}.flac",
        "text": f"Say {name}.",
        "voice": "flite:slt",
        "emotion": "neutral",
    }
    return Utterance(**(values | {"split": split, "samples": 4000, "rate": RATE} | other))  # type: ignore[arg-type]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Three utterances to train on, one to measure with."""
    (tmp_path / "audio").mkdir()
    rows = [utterance("one"), utterance("two", voice="en-us+m3"), utterance("three", "held_out"), utterance("four")]
    for number, row in enumerate(rows, start=1):
        (tmp_path / row.file).write_bytes(encode_audio(tone(row.samples, 200.0 * number), row.rate))
    write_manifest(tmp_path, rows)
    return tmp_path


def rewrite(directory: Path, line: int, **changes: object) -> None:
    """Change fields of one line (from 1) of the manifest; a field that becomes None goes."""
    lines = (directory / MANIFEST).read_text().splitlines()
    values = json.loads(lines[line - 1]) | changes
    lines[line - 1] = json.dumps({key: value for key, value in values.items() if value is not None})
    (directory / MANIFEST).write_text("\n".join(lines) + "\n")


def test_each_split_has_its_own_utterances_in_the_manifests_order(corpus: Path) -> None:
    assert [u.id for u in SpeechCorpus(corpus, "train").utterances] == ["one", "two", "four"]
    held_out = SpeechCorpus(corpus, "held_out")
    assert len(held_out) == 1
    assert held_out.utterances == (utterance("three", "held_out"),)


def test_a_waveform_is_what_was_written(corpus: Path) -> None:
    samples = SpeechCorpus(corpus, "train").waveform(1, RATE)
    assert samples.dtype == np.float32
    np.testing.assert_allclose(samples, tone(4000, 400.0), atol=1.1 / 32768)


@pytest.mark.parametrize("rate", [8000, 22_050])
def test_a_waveform_is_resampled_to_the_rate_asked_for(corpus: Path, rate: int) -> None:
    whole = SpeechCorpus(corpus, "train")
    expected = resample(whole.waveform(0, RATE), RATE, rate)
    assert len(expected) == np.ceil(4000 * rate / RATE)
    np.testing.assert_allclose(whole.waveform(0, rate), expected, atol=0.51 / 32768)


def test_without_a_rate_it_is_the_vocoders(corpus: Path) -> None:
    whole = SpeechCorpus(corpus, "train")
    np.testing.assert_array_equal(whole.waveform(2), whole.waveform(2, 22_050))


@pytest.mark.parametrize("cache_bytes", [0, 5 * 4000, 10**6])
def test_memory_changes_no_sample(corpus: Path, cache_bytes: int) -> None:
    bounded = SpeechCorpus(corpus, "train", cache_bytes=cache_bytes)
    for _ in range(2):
        for index in range(3):
            for rate in (RATE, 22_050):
                fresh = SpeechCorpus(corpus, "train").waveform(index, rate)
                np.testing.assert_array_equal(bounded.waveform(index, rate), fresh)


def test_what_fits_in_memory_is_read_once_and_the_rest_again(corpus: Path) -> None:
    bounded = SpeechCorpus(corpus, "train", cache_bytes=2 * 4000 + 1)
    first = bounded.waveform(0, RATE)
    first[:] = 0.0  # a caller's own copy
    bounded.waveform(1, RATE)
    for name in ("one", "two"):
        (corpus / "audio" / f"{name}.flac").unlink()
    np.testing.assert_allclose(bounded.waveform(0, RATE), tone(4000, 200.0), atol=1.1 / 32768)
    with pytest.raises(FileNotFoundError):
        bounded.waveform(1, RATE)


def test_full_scale_audio_does_not_wrap_around(corpus: Path) -> None:
    loud = np.where(np.arange(4000) % 100 < 50, 1.0, -1.0).astype(np.float32)
    (corpus / "audio/one.flac").write_bytes(encode_audio(loud, RATE))
    assert np.abs(SpeechCorpus(corpus, "train").waveform(0, RATE) - loud).max() < 1e-4
    assert SpeechCorpus(corpus, "train").waveform(0)[10:40].min() > 0.5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"file": "audio/none.flac"}, "audio file 'audio/none.flac' does not exist"),
        ({"file": "../one.flac"}, "'../one.flac': expected a relative path inside"),
        ({"file": "/etc/hostname"}, "'/etc/hostname': expected a relative path inside"),
        ({"file": "audio"}, "audio file 'audio' does not exist"),
        ({"id": "one"}, "duplicate id 'one', first in line 1"),
        ({"rate": "16000"}, "rate: expected int, got '16000'"),
        ({"split": "test"}, r"split: expected one of \['train', 'held_out'\], got 'test'"),
        ({"voice": None}, r"missing keys \['voice'\]"),
        ({"speaker": "flite:slt"}, r"unknown keys \['speaker'\]"),
        ({"samples": 0}, "expected samples and rate of at least 1, got 0 and 16000"),
    ],
)
@pytest.mark.parametrize("line", [2, 3])  # of either split
def test_a_bad_line_is_named(corpus: Path, line: int, changes: dict[str, object], message: str) -> None:
    rewrite(corpus, line, **changes)
    with pytest.raises(CorpusError, match=f"{MANIFEST} line {line}.*{message}"):
        SpeechCorpus(corpus, "train")


@pytest.mark.parametrize("line", [b"{", b"", b"\xff\xfe", b"[" * 100_000, b"null", b"[]"])
def test_a_line_that_is_no_object_is_named(corpus: Path, line: bytes) -> None:
    lines = (corpus / MANIFEST).read_bytes().splitlines()
    (corpus / MANIFEST).write_bytes(b"\n".join([lines[0], line, *lines[2:]]))
    with pytest.raises(CorpusError, match=f"{MANIFEST} line 2: expected a"):
        SpeechCorpus(corpus, "train")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (encode_audio(tone(4001), RATE), "expected 4000 samples at 16000 Hz, got 4001 at 16000 Hz"),
        (encode_audio(tone(4000), 8000), "expected 4000 samples at 16000 Hz, got 4000 at 8000 Hz"),
        (b"no audio", "not a readable audio file"),
    ],
)
def test_audio_that_does_not_match_the_manifest_names_the_line(corpus: Path, data: bytes, message: str) -> None:
    (corpus / "audio/four.flac").write_bytes(data)
    with pytest.raises(CorpusError, match=f"{MANIFEST} line 4: audio/four.flac: {message}"):
        SpeechCorpus(corpus, "train").waveform(2)


def test_a_directory_without_a_manifest_is_no_corpus(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=f"expected a speech corpus with {MANIFEST}"):
        SpeechCorpus(tmp_path, "train")


def test_a_split_without_utterances_is_refused(corpus: Path) -> None:
    rewrite(corpus, 3, split="train")
    with pytest.raises(CorpusError, match="expected utterances of split 'held_out', got none"):
        SpeechCorpus(corpus, "held_out")
