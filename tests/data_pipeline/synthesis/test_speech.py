import io
import json
from collections import Counter

import numpy as np
import pytest
import soundfile

from data_pipeline.schema import UTTERANCE
from data_pipeline.synthesis.everyday import EVERYDAY
from data_pipeline.synthesis.flite import SLT
from data_pipeline.synthesis.sentences import write_sentences
from data_pipeline.synthesis.speech import MANY_VOICES, SpeechConfig, VoiceShare, make_speech, plan_speech
from data_pipeline.synthesis.voices import FEELINGS, EspeakSpeaker, Feeling, Voice, VoiceError
from opens2s_core.audio import Waveform

CONFIG = SpeechConfig(own=VoiceShare(train=20, held_out=6), theirs=VoiceShare(train=77, held_out=4), shard_utterances=8)


class PickySpeaker:
    """1000 samples a letter at 8 kHz; says no question and is silent when it is to be surprised."""

    def speak(self, text: str, voice: Voice, feeling: Feeling) -> tuple[Waveform, int]:
        if text.endswith("?"):
            raise VoiceError("will not ask")
        return np.full(len(text) * 1000, 0.0 if feeling == "surprised" else 0.25, dtype=np.float32), 8000


def planned(config: SpeechConfig) -> list[dict]:
    return [utterance for shard in plan_speech(config) for utterance in json.loads(shard.inputs)]


def said(split: str, *, by_slt: bool) -> list[str]:
    return [u["text"] for u in planned(CONFIG) if u["split"] == split and (u["voice"]["name"] == "slt") == by_slt]


def test_the_plan_shares_out_the_sentences() -> None:
    train = [sentence.text for sentence in write_sentences(97, seed=0)]
    assert said("train", by_slt=True) == train[:20]
    assert said("train", by_slt=False) == train[20:]
    assert said("held_out", by_slt=True) == list(EVERYDAY[:6])
    assert said("held_out", by_slt=False) == list(EVERYDAY[:4])
    assert [u["id"] for u in planned(CONFIG)] == [f"utterance-{number:06d}" for number in range(107)]
    assert [len(json.loads(shard.inputs)) for shard in plan_speech(CONFIG)] == [8] * 13 + [3]


def test_the_voice_is_even_and_the_others_feel_everything_equally_often() -> None:
    config = SpeechConfig(
        own=VoiceShare(train=9, held_out=1), theirs=VoiceShare(train=6 * len(MANY_VOICES), held_out=0)
    )
    utterances = [(u["voice"]["name"], u["feeling"]) for u in planned(config)]
    assert {feeling for voice, feeling in utterances if voice == SLT.name} == {"neutral"}
    others = Counter(pair for pair in utterances if pair[0] != SLT.name)
    assert others == Counter((voice.name, feeling) for voice in MANY_VOICES for feeling in FEELINGS)


def test_many_voices_are_many() -> None:
    names = [voice.name for voice in (SLT, *MANY_VOICES)]
    assert len(set(names)) == len(names) >= 30


def test_the_same_plan_gives_the_same_fingerprints_and_another_seed_others() -> None:
    prints = [shard.fingerprint for shard in plan_speech(CONFIG)]
    assert prints == [shard.fingerprint for shard in plan_speech(CONFIG)]
    other = SpeechConfig(own=CONFIG.own, theirs=CONFIG.theirs, shard_utterances=8, seed=1)
    assert not {shard.fingerprint for shard in plan_speech(other)} & set(prints)


def test_an_utterance_is_flac_at_its_speakers_rate_and_what_cannot_be_said_is_set_aside() -> None:
    inputs = json.dumps(planned(CONFIG))
    content = make_speech(inputs, speaker=PickySpeaker())
    assert content.rows.schema.equals(UTTERANCE)
    refused = {u["id"]: "cannot be spoken: will not ask" for u in planned(CONFIG) if u["text"].endswith("?")}
    silent = {
        u["id"]: "silent: peak 0.0e+00, expected at least 0.001"
        for u in planned(CONFIG)
        if u["feeling"] == "surprised" and u["id"] not in refused
    }
    assert refused
    assert silent
    assert {row["id"]: row["reason"] for row in content.rejects.to_pylist()} == refused | silent
    assert content.report.rejected == {"speak: cannot be spoken": len(refused), "speak: silent": len(silent)}
    assert content.report.rows_in == content.report.rows_out + len(refused) + len(silent) == 107
    seconds = 0.0
    for row in content.rows.to_pylist():
        info = soundfile.info(io.BytesIO(row["audio"]))
        assert (info.format, info.subtype, info.samplerate, info.channels) == ("FLAC", "PCM_16", 8000, 1)
        assert (row["samples"], row["rate"]) == (info.frames, 8000) == (len(row["text"]) * 1000, 8000)
        seconds += info.duration
    assert content.report.audio_seconds == pytest.approx(seconds, abs=1e-3)


def test_a_shard_made_twice_is_the_same_to_the_byte() -> None:
    voices = [voice for voice in MANY_VOICES if "+" in voice.name]
    config = SpeechConfig(voice=voices[0], own=CONFIG.own, others=tuple(voices[1:]), theirs=CONFIG.theirs)
    shard = plan_speech(config)[0]
    first, second = (make_speech(shard.inputs, speaker=EspeakSpeaker()) for _ in range(2))
    assert first.rows.equals(second.rows)
    assert not config.needs_flite
    assert CONFIG.needs_flite


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"own": VoiceShare(train=2, held_out=0)}, "at least one held-out sentence"),
        ({"own": VoiceShare(train=-1, held_out=2)}, "got VoiceShare"),
        ({"own": VoiceShare(train=2, held_out=121)}, "at most 120 held out"),
        ({"shard_utterances": 0}, "shard_utterances=0"),
        ({"theirs": VoiceShare(train=2, held_out=121)}, "at most 120 held out"),
        ({"theirs": VoiceShare(train=-1, held_out=0)}, "got VoiceShare"),
        ({"others": ()}, "expected other voices to say VoiceShare"),
    ],
)
def test_shares_that_cannot_be_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SpeechConfig(**({"own": CONFIG.own, "theirs": CONFIG.theirs} | settings))  # type: ignore[arg-type]


def test_one_voice_alone_is_a_corpus_too() -> None:
    config = SpeechConfig(own=VoiceShare(train=3, held_out=2), others=(), theirs=VoiceShare(train=0, held_out=0))
    assert {u["voice"]["name"] for u in planned(config)} == {"slt"}
