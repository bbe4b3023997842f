import io
import json
from collections import Counter

import numpy as np
import pytest
import soundfile

from data_pipeline.schema import DIALOGUE
from data_pipeline.synthesis.dialogues import DialogueConfig, make_dialogues, plan_dialogues
from data_pipeline.synthesis.voices import FEELINGS, USER_VOICES, EspeakSpeaker, Feeling, Voice, VoiceError
from data_pipeline.synthesis.writers import ClosedDomainWriter
from opens2s_core.audio import SAMPLE_RATE, Waveform

WRITER = ClosedDomainWriter()
CONFIG = DialogueConfig(turns=6, shard_turns=4)


class PickySpeaker:
    """A quarter of a second a letter; refuses to speak for one feeling."""

    def __init__(self, refused: Feeling | None = None) -> None:
        self.refused = refused

    def speak(self, text: str, voice: Voice, feeling: Feeling) -> tuple[Waveform, int]:
        if feeling == self.refused:
            raise VoiceError(f"will not be {feeling}")
        return np.full(len(text) * 2000, 0.25, dtype=np.float32), 8000


def planned(config: DialogueConfig) -> list[dict]:
    return [turn for shard in plan_dialogues(config, WRITER) for turn in json.loads(shard.inputs)]


def test_the_plan_holds_every_exchange_once() -> None:
    turns = planned(CONFIG)
    assert [(turn["user_text"], turn["reply_text"]) for turn in turns] == [
        (exchange.user_text, exchange.reply_text) for exchange in WRITER.write(6, seed=0)
    ]
    assert [turn["id"] for turn in turns] == [f"turn-{index:06d}" for index in range(6)]
    assert [len(json.loads(shard.inputs)) for shard in plan_dialogues(CONFIG, WRITER)] == [4, 2]


def test_many_users_speak_equally_often_and_one_voice_replies() -> None:
    turns = planned(DialogueConfig(turns=3 * len(USER_VOICES) + 5))
    users = Counter(turn["user_voice"]["name"] for turn in turns)
    assert set(users) == {voice.name for voice in USER_VOICES}
    assert max(users.values()) - min(users.values()) <= 1
    (reply_voice,) = {turn["reply_voice"]["name"] for turn in turns}
    assert reply_voice not in users


def test_the_same_plan_gives_the_same_fingerprints_and_another_seed_others() -> None:
    prints = [shard.fingerprint for shard in plan_dialogues(CONFIG, WRITER)]
    assert prints == [shard.fingerprint for shard in plan_dialogues(CONFIG, WRITER)]
    other = plan_dialogues(DialogueConfig(turns=6, shard_turns=4, seed=1), WRITER)
    assert not {shard.fingerprint for shard in other} & set(prints)


def test_a_turn_is_said_aloud_as_flac_at_16_khz() -> None:
    shard = plan_dialogues(CONFIG, WRITER)[0]
    content = make_dialogues(shard.inputs, speaker=PickySpeaker())
    assert content.rows.schema.equals(DIALOGUE)
    assert content.report.rows_in == content.report.rows_out == len(content.rows) == 4
    seconds = 0.0
    for row in content.rows.to_pylist():
        assert row["user_feeling"] in FEELINGS
        for text, audio in ((row["user_text"], row["user_audio"]), (row["reply_text"], row["reply_audio"])):
            info = soundfile.info(io.BytesIO(audio))
            assert (info.format, info.subtype, info.samplerate, info.channels) == ("FLAC", "PCM_16", SAMPLE_RATE, 1)
            assert info.frames == len(text) * 4000
            seconds += info.duration
    assert content.report.audio_seconds == pytest.approx(seconds)


def test_a_turn_that_cannot_be_spoken_is_set_aside() -> None:
    turns = json.loads(plan_dialogues(CONFIG, WRITER)[0].inputs)
    refused = turns[1]["feeling"]
    content = make_dialogues(json.dumps(turns), speaker=PickySpeaker(refused))
    sad = [turn["id"] for turn in turns if turn["feeling"] == refused or refused == "neutral"]
    assert content.rejects.to_pylist() == [
        {"id": name, "step": "speak", "reason": f"cannot be spoken: will not be {refused}"} for name in sad
    ]
    assert len(content.rows) == 4 - len(sad)
    assert content.report.rejected == {"speak: cannot be spoken": len(sad)}


def test_a_shard_made_twice_is_the_same_to_the_byte() -> None:
    shard = plan_dialogues(CONFIG, WRITER)[1]
    first, second = (make_dialogues(shard.inputs, speaker=EspeakSpeaker()) for _ in range(2))
    assert first.rows.equals(second.rows)


@pytest.mark.parametrize("settings", [{"turns": 0}, {"turns": 4, "shard_turns": 0}])
def test_a_corpus_of_nothing_is_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be at least 1, got turns="):
        DialogueConfig(**settings)
