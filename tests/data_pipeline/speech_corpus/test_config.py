import pytest

from data_pipeline.speech_corpus.config import SentenceCounts, SpeechCorpusConfig

REPLY = SentenceCounts(train=2, held_out=2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"reply_sentences": SentenceCounts(train=2)}, "at least one held-out sentence"),
        ({"reply_sentences": SentenceCounts(train=-1, held_out=2)}, "got SentenceCounts"),
        ({"reply_sentences": SentenceCounts(train=2, held_out=121)}, "at most 120 held out"),
        ({"shard_utterances": 0}, "shard_utterances=0"),
        ({"other_sentences": SentenceCounts(train=2, held_out=121)}, "at most 120 held out"),
        ({"other_sentences": SentenceCounts(train=-1)}, "got SentenceCounts"),
        (
            {"other_sentences": SentenceCounts(train=1)},
            r"expected other voices for SentenceCounts\(train=1, held_out=0\)",
        ),
        ({"reply_voice": "slt"}, "unknown voice 'slt': expected an English one of EMBEDDED_VOICES"),
        ({"other_voices": ("espeak:cmn+f2",)}, r"unknown voice 'espeak:cmn\+f2'"),
        ({"other_voices": ("flite:slt",)}, "expected different voices, got flite:slt, flite:slt"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SpeechCorpusConfig(**({"reply_sentences": REPLY} | settings))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["flite:slt", "piper:joe", "espeak:en-us+f2", "espeak:en-us+f4@child"])
def test_the_reply_voice_is_any_embedded_voice_by_its_name(name: str) -> None:
    assert SpeechCorpusConfig(reply_voice=name, reply_sentences=REPLY).voices == (name,)
