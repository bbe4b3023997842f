import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.dataset import absolute_url
from data_pipeline.dialogues.casting import CastingError, EmbeddedCast, SeedCast, cast_of
from data_pipeline.dialogues.config import VoicesConfig
from data_pipeline.dialogues.utterances import Voice
from data_pipeline.records import Age, Emotion, Gender
from data_pipeline.synthesis.protocols import Person
from data_pipeline.synthesis.seeds import SeedError
from data_pipeline.synthesis.speakers.embedded import EMBEDDED_VOICES

GENDERS: tuple[Gender, ...] = ("female", "male", "")
AGES: tuple[Age, ...] = ("child", "young", "adult", "elderly", "")
EMOTIONS: tuple[Emotion, ...] = ("neutral", "sad")
PEOPLE = st.builds(
    Person, gender=st.sampled_from(GENDERS), age=st.sampled_from(AGES), emotion=st.sampled_from(EMOTIONS)
)
REPLY = "espeak:en-us+f2"


def seeds(directory: Path, *rows: str) -> str:
    """A table of ``audio,gender,age,emotion,language``, and its clips."""
    for row in rows:
        (directory / row.partition(",")[0]).write_bytes(b"audio")
    path = directory / "seeds.csv"
    table = [f"{row},Text of {row.partition(',')[0]}" for row in rows]
    path.write_text("\n".join(["audio,gender,age,emotion,language,text", *table]), encoding="utf-8")
    return str(path)


@given(PEOPLE, st.sampled_from(["en", "zh"]), st.integers())
def test_a_person_has_an_embedded_voice_of_its_language_and_the_labels_of_the_voice(
    person: Person, language: str, seed: int
) -> None:
    voice, labels = EmbeddedCast(REPLY, ("espeak",))(person, language, random.Random(seed))
    found = EMBEDDED_VOICES[voice.name]
    assert found.language == language
    assert labels == Person(gender=found.gender, age=found.age, emotion=person.emotion)
    assert person.gender in ("", found.gender)
    if language == "en" and person.age != "young":
        assert person.age in ("", found.age)


def test_the_voice_of_replies_and_those_of_other_programs_are_no_users() -> None:
    cast = EmbeddedCast(REPLY, ("espeak",))
    person = Person(gender="female", age="adult")
    names = {cast(person, "en", random.Random(seed))[0].name for seed in range(1000)}
    expected = {
        name
        for name, voice in EMBEDDED_VOICES.items()
        if name.startswith("espeak:") and (voice.language, voice.gender, voice.age) == ("en", "female", "adult")
    }
    assert REPLY in expected
    assert names == expected - {REPLY}


def test_a_language_without_an_embedded_voice_is_refused() -> None:
    with pytest.raises(CastingError, match="no embedded voice speaks 'de': expected seed clips, or another language"):
        EmbeddedCast(REPLY, ("espeak",))(Person(), "de", random.Random(0))


SAD = Person(emotion="sad")
CLONING = {"user_speaker": "cosyvoice2:http://host", "reply_speaker": "embedded"}


def test_a_seed_clip_is_cloned_with_its_text_and_labels(tmp_path: Path) -> None:
    cast = SeedCast(seeds(tmp_path, "a.wav,female,elderly,sad,en"), [(SAD, "en")])
    voice, person = cast(Person(gender="male", age="child", emotion="sad"), "en", random.Random(0))
    assert voice == Voice(clip=f"{absolute_url(str(tmp_path))}/a.wav", clip_text="Text of a.wav")
    assert person == Person(gender="female", age="elderly", emotion="sad")


def test_the_path_of_a_seed_clip_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seeds(tmp_path, "a.wav,female,adult,sad,en")
    monkeypatch.chdir(tmp_path)
    voice, _ = SeedCast("seeds.csv", [(SAD, "en")])(SAD, "en", random.Random(0))
    assert voice.clip == f"{absolute_url(str(tmp_path))}/a.wav"


def test_seed_clips_of_the_same_labels_take_turns(tmp_path: Path) -> None:
    cast = SeedCast(seeds(tmp_path, *(f"{name}.wav,female,adult,sad,en" for name in "abc")), [(SAD, "en")])
    clips = Counter(cast(SAD, "en", random.Random(0))[0].clip for _ in range(12))
    assert sorted(clips.values()) == [4, 4, 4]


@pytest.mark.parametrize(
    ("people", "lacking"),
    [
        ([(SAD, "en"), (Person(emotion="happy"), "en")], "language 'en', emotion 'happy'"),
        ([(SAD, "zh")], "language 'zh', emotion 'sad'"),
    ],
)
def test_seed_clips_that_lack_an_emotion_of_the_users_are_refused(
    tmp_path: Path, people: list[tuple[Person, str]], lacking: str
) -> None:
    voices = VoicesConfig(seeds=seeds(tmp_path, "a.wav,female,adult,sad,en"), **CLONING)
    with pytest.raises(SeedError, match=f"^no seed clip: {lacking}"):
        cast_of(voices, people)


def test_users_have_seed_clips_where_there_are_some_and_embedded_voices_else(tmp_path: Path) -> None:
    table = seeds(tmp_path, "a.wav,female,adult,sad,en")
    assert isinstance(cast_of(VoicesConfig(seeds=table, **CLONING), [(SAD, "en")]), SeedCast)
    assert isinstance(cast_of(VoicesConfig(), [(SAD, "en")]), EmbeddedCast)


@pytest.mark.parametrize(
    ("voices", "message"),
    [
        ({"user_speaker": "cosyvoice2:http://host"}, "clones: expected a table of seed clips"),
        ({"seeds": "seeds.csv"}, "user speaker embedded cannot clone the clips of seeds.csv"),
        ({"user_speaker": "openai:http://host#tts"}, "has no voices of people"),
        ({"reply_speaker": "cosyvoice2:http://host"}, "clones: expected a reply voice FILE=TEXT"),
        ({"reply_voice": Voice(clip="a.wav", clip_text="A")}, "reply speaker embedded cannot clone a.wav"),
    ],
)
def test_speakers_and_voices_that_do_not_fit_are_refused(voices: dict[str, Any], message: str) -> None:
    with pytest.raises(CastingError, match=message):
        cast_of(VoicesConfig(**voices), [(SAD, "en")])
