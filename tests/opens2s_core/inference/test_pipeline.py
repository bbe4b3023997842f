import itertools
import pickle
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from opens2s_core.audio import SAMPLE_RATE
from opens2s_core.checkpoint.bundle import OPENS2S, TOKEN2WAV, UNITS_PER_TOKEN
from opens2s_core.checkpoint.files import read_json, write_json
from opens2s_core.checkpoint.opens2s import load_opens2s
from opens2s_core.checkpoint.token2wav import read_token2wav_config
from opens2s_core.checkpoint.vocabulary import read_vocabulary
from opens2s_core.inference.engine import Engine, StreamFailed
from opens2s_core.inference.loading import build_engine
from opens2s_core.inference.messages import (
    AudioChunk,
    Finish,
    OutputFormat,
    ReplyRequest,
    Sampling,
    SpeechFinish,
    StageMessage,
    Units,
)
from opens2s_core.inference.pipeline import Pipeline, reply_text
from opens2s_core.inference.reference import generate_text
from opens2s_core.inference.speech_decoder import SpeechDecoderEngine
from opens2s_core.inference.speech_length import SpeechLimits
from opens2s_core.inference.thinker import ThinkerEngine
from opens2s_core.models.flow import mel_frames
from opens2s_core.models.vocoder import samples_per_frame
from opens2s_core.prompt import SPEAKER_DIM, Audio, Content, Message, PromptStyle, Spoken, Text
from opens2s_core.storage import copy_files, new_directory
from opens2s_core.training.batch import load_clip
from tests.opens2s_core.golden_conversations import GOLDEN, VOCABULARY, served
from tests.opens2s_core.inference.oracle import by_engines, by_oracle, prompt_embeddings
from tests.opens2s_core.inference.random_engines import SIZES, Sizes, random_engines
from tests.opens2s_core.opens2s_tiny import model
from tests.opens2s_core.parity import rounding

Engines = tuple[ThinkerEngine, SpeechDecoderEngine]
HELLO = (Message("user", (Text("Hello."),)),)


@pytest.fixture(scope="module")
def pipeline(tiny_bundle: Path) -> Pipeline:
    return Pipeline.load(tiny_bundle)


def test_the_engines_of_a_url_are_of_one_version(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENS2S_CACHE", str(tmp_path))
    url = f"memory://{tmp_path}/bundle"
    with new_directory(url) as bundle:
        copy_files(tiny_bundle, bundle)

    def build_and_replace(*args: Any, **options: Any) -> Engine:
        engine = build_engine(*args, **options)
        with new_directory(url):
            pass  # the next version is empty
        return engine

    monkeypatch.setattr("opens2s_core.inference.pipeline.build_engine", build_and_replace)
    assert len(Pipeline.load(url).engines) == 3


class CountingEngine:
    """Counts the units that pass into a token2wav engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.units = 0

    def push(self, stream: int, message: StageMessage) -> None:
        assert isinstance(message, Units)
        self.units += len(message.ids)
        self._engine.push(stream, message)

    def __getattr__(self, name: str) -> object:
        return getattr(self._engine, name)


def spoken(max_units: int = 40) -> ReplyRequest:
    return ReplyRequest(messages=HELLO, text=Sampling(max_tokens=9), units=Sampling(max_tokens=max_units))


def test_a_spoken_reply_is_text_and_exactly_the_audio_of_its_units(pipeline: Pipeline, tiny_bundle: Path) -> None:
    thinker, decoder, token2wav = pipeline.engines
    counting = CountingEngine(token2wav)
    messages = list(Pipeline(thinker, decoder, counting).reply(spoken()))  # type: ignore[arg-type]
    audio = [message for message in messages if isinstance(message, AudioChunk)]
    config = read_token2wav_config(tiny_bundle / TOKEN2WAV)
    expected = mel_frames(counting.units, config) * samples_per_frame(config.hift)
    assert counting.units > 0
    assert sum(len(chunk.samples) for chunk in audio) == expected
    assert [chunk.final for chunk in audio] == [False] * (len(audio) - 1) + [True]
    assert reply_text(messages)


def test_a_written_reply_ends_with_its_finish(pipeline: Pipeline) -> None:
    messages = list(pipeline.reply(ReplyRequest(messages=HELLO, speak=False, text=Sampling(max_tokens=9))))
    assert isinstance(messages[-1], Finish)
    assert not any(isinstance(message, AudioChunk) for message in messages)


def test_text_does_not_wait_for_audio(pipeline: Pipeline) -> None:
    kinds = [type(message) for message in pipeline.reply(spoken())]
    assert kinds.index(Finish) < len(kinds) - 1


def test_the_unit_limit_does_not_limit_the_text(pipeline: Pipeline) -> None:
    cut, whole = list(pipeline.reply(spoken(max_units=1))), list(pipeline.reply(spoken()))
    assert reply_text(cut) == reply_text(whole)
    assert [m for m in cut if isinstance(m, Finish)] == [m for m in whole if isinstance(m, Finish)]
    assert any(isinstance(message, AudioChunk) and message.final for message in cut)


def test_the_final_audio_has_the_finish_reason_of_speech(pipeline: Pipeline) -> None:
    def finish(request: ReplyRequest) -> str | None:
        *before, last = [message for message in pipeline.reply(request) if isinstance(message, AudioChunk)]
        assert all(message.finish is None for message in before)
        return last.finish

    assert finish(spoken(max_units=1)) == "length"
    assert finish(spoken(max_units=2048)) in get_args(SpeechFinish)


def test_units_are_sampled_by_default() -> None:
    assert ReplyRequest(messages=HELLO).units == Sampling(temperature=1.0, max_tokens=2048, seed=0)


def test_speech_is_limited_by_the_units_per_token_of_the_bundle(tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    assert _limits(bundle) == SpeechLimits(units_per_token=UNITS_PER_TOKEN)
    config = read_json(bundle / OPENS2S / "config.json")
    write_json(bundle / OPENS2S / "config.json", config | {"units_per_token": 2.25})
    assert _limits(bundle) == SpeechLimits(units_per_token=2.25)


def _limits(bundle: Path) -> SpeechLimits | None:
    engine = build_engine("speech_decoder", bundle, capacity=1)
    assert isinstance(engine, SpeechDecoderEngine)
    return engine.limits


def test_the_same_request_gives_the_same_reply(pipeline: Pipeline) -> None:
    def reply_samples() -> np.ndarray:
        return np.concatenate([m.samples for m in pipeline.reply(spoken()) if isinstance(m, AudioChunk)])

    np.testing.assert_array_equal(reply_samples(), reply_samples())


def test_an_abandoned_reply_frees_every_slot(pipeline: Pipeline) -> None:
    for _ in range(3):
        reply = pipeline.reply(spoken())
        next(reply)
        reply.close()
    assert list(pipeline.reply(spoken()))


# Concurrent and resumed replies


def mixed() -> list[ReplyRequest]:
    """Greedy and sampled, short and long, spoken and written, in several formats."""
    sampled = Sampling(max_tokens=14, temperature=1.0, top_k=40, repetition_penalty=1.2, seed=3)
    return [
        spoken(),
        replace(spoken(), text=sampled, units=replace(sampled, max_tokens=90), seed=4),
        replace(spoken(70), messages=(Message("user", (audio_clip(0.7), Text("?"))),), audio=OutputFormat(rate=16000)),
        replace(spoken(), speak=False),
    ]


def whole(messages: Sequence[StageMessage]) -> tuple[str, NDArray[Any]]:
    """Text and samples."""
    chunks = [message.samples for message in messages if isinstance(message, AudioChunk)]
    return reply_text(messages), np.concatenate([np.zeros(0, np.float32), *chunks])


def assert_alike(messages: Sequence[StageMessage], expected: Sequence[StageMessage]) -> None:
    (text, samples), (expected_text, expected_samples) = whole(messages), whole(expected)
    assert text == expected_text
    np.testing.assert_allclose(samples, expected_samples, atol=rounding(expected_samples))


@settings(max_examples=8)
@given(joins=st.lists(st.integers(0, 12), min_size=4, max_size=4))
def test_concurrent_replies_equal_those_generated_alone(
    tiny_bundle: Path, pipeline: Pipeline, joins: list[int]
) -> None:
    together = Pipeline.load(tiny_bundle, capacity=4)
    made: dict[int, list[StageMessage]] = {}
    replies: dict[int, int] = {}
    for step in itertools.count():
        for i, request in enumerate(mixed()):
            if joins[i] == step:
                replies[i], made[i] = together.open(request), []
        together.step()
        for i, reply in replies.items():
            made[i] += together.chunks(reply)
        if len(replies) == 4 and all(together.ended(reply) for reply in replies.values()):
            break
    for i, request in enumerate(mixed()):
        assert_alike(made[i], list(pipeline.reply(request)))


@settings(max_examples=12)
@given(which=st.integers(0, 3), steps=st.lists(st.integers(0, 60), min_size=1, max_size=3))
def test_a_fresh_pipeline_resumes_a_reply_without_a_difference(
    tiny_bundle: Path, pipeline: Pipeline, which: int, steps: list[int]
) -> None:
    request = mixed()[which]
    made: list[StageMessage] = []
    record = None
    for count in steps:  # it is interrupted repeatedly
        lost = Pipeline.load(tiny_bundle)
        reply = lost.open(request, record)
        for _ in range(count):
            lost.step()
        made += lost.chunks(reply)
        record = pickle.loads(pickle.dumps(lost.records(reply)))
    rest = list(Pipeline.load(tiny_bundle).reply(request, record))
    assert_alike(made + rest, list(pipeline.reply(request)))
    assert isinstance(rest[-1], Finish) or (isinstance(rest[-1], AudioChunk) and rest[-1].final)


def test_a_failed_reply_does_not_change_the_others(tiny_bundle: Path, pipeline: Pipeline) -> None:
    together = Pipeline.load(tiny_bundle, capacity=2)
    good = together.open(spoken())
    bad = together.open(replace(spoken(), messages=(user(Audio(np.full(SAMPLE_RATE, np.nan, np.float32))),)))
    made: list[StageMessage] = []
    while not together.ended(good):
        together.step()
        made += together.chunks(good)
    with pytest.raises(StreamFailed, match="not finite"):
        together.chunks(bad)
    together.close(bad)
    assert_alike(made, list(pipeline.reply(spoken())))


def test_first_audio_does_not_wait_for_text_that_cannot_be_spoken_yet(tiny_bundle: Path) -> None:
    pipeline = Pipeline.load(tiny_bundle)
    reply = pipeline.open(replace(spoken(90), text=Sampling(max_tokens=60)))
    messages: list[StageMessage] = []
    while not any(isinstance(message, AudioChunk) for message in messages):
        assert pipeline.step()
        messages += pipeline.chunks(reply)
    assert len(pipeline.records(reply)["thinker"].ids) <= 3 * 4  # groups of 4: what is spoken, and what comes next


# Engines against the slow generator


def audio_clip(seconds: float, seed: int = 0) -> Audio:
    return Audio(np.random.default_rng(seed).normal(0, 0.1, int(seconds * SAMPLE_RATE)).astype(np.float32))


def speaker(seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 1, SPEAKER_DIM).astype(np.float32)


def user(*content: Content) -> Message:
    return Message("user", content)


CONVERSATIONS = {
    "text": (user(Text("I feel sad today.")),),
    "voice": (user(audio_clip(1.3)),),
    "several clips": (
        user(Text("First"), audio_clip(0.4), Text("then"), audio_clip(2.2, 1), audio_clip(0.7, 2), Text("?")),
    ),
    "a long clip": (user(audio_clip(31.0)),),
    "a system prompt": (Message("system", (Text("Be brief."),)), user(audio_clip(0.5))),
    "no system prompt": (Message("system", ()), user(Text("Hi"))),
    "several turns": (
        user(audio_clip(0.9)),
        Message("assistant", (Spoken("I hear you."),)),
        user(Text("And this?"), audio_clip(1.1, 3)),
        Message("assistant", (Text("Yes."),)),
        user(Text("Thank you.")),
    ),
}


@pytest.fixture(scope="module", params=["training", "plain", "chat"])
def engines(tiny_bundle: Path, request: pytest.FixtureRequest) -> Engines:
    """For each style of prompts."""
    style: PromptStyle = request.param
    tiny, vocabulary = load_opens2s(tiny_bundle / OPENS2S), read_vocabulary(tiny_bundle / OPENS2S)
    tiny.thinker.config = replace(tiny.config, prompt_style=style)
    thinker = ThinkerEngine(tiny.thinker, vocabulary, capacity=1)
    return thinker, SpeechDecoderEngine(tiny.speech_decoder, vocabulary.units, capacity=1)


@pytest.mark.parametrize("speak", [True, False], ids=["speech", "text"])
@pytest.mark.parametrize("name", CONVERSATIONS)
def test_replies_to_every_kind_of_conversation_equal_the_oracle(engines: Engines, name: str, speak: bool) -> None:
    asked = ReplyRequest(
        messages=CONVERSATIONS[name], speak=speak, text=Sampling(max_tokens=9), units=Sampling(max_tokens=25)
    )
    output = by_engines(*engines, asked)
    assert output == by_oracle(*engines, asked)
    assert bool(output.units) == speak


@settings(max_examples=15)
@given(
    sizes=SIZES,
    question=st.sampled_from(["text", "voice", "several clips"]),
    tokens=st.integers(1, 14),
    units=st.integers(1, 40),
    voice=st.none() | st.integers(0, 9),
    text_end=st.integers(0, 13),
    unit_end=st.integers(0, 20),
)
def test_engines_of_any_size_generate_the_same_as_the_oracle(
    tiny_bundle: Path,
    sizes: Sizes,
    question: str,
    tokens: int,
    units: int,
    voice: int | None,
    text_end: int,
    unit_end: int,
) -> None:
    thinker, decoder = random_engines(tiny_bundle / OPENS2S, sizes)
    asked = ReplyRequest(
        messages=CONVERSATIONS[question],
        text=Sampling(max_tokens=tokens),
        units=Sampling(max_tokens=units),
        speaker=None if voice is None else speaker(voice),
    )
    output = by_oracle(thinker, decoder, asked)
    assert by_engines(thinker, decoder, asked) == output
    # The same again with ends that are certainly met: somewhere in the text, and early in the units.
    ids, _ = generate_text(thinker.model, prompt_embeddings(thinker, asked), end_ids=(), max_tokens=tokens)
    end = ids[text_end % tokens]
    thinker.vocabulary = replace(thinker.vocabulary, text_end_ids=(end,))
    unit = output.units[unit_end % len(output.units)] + decoder.vocabulary.offset if output.units else 0
    decoder = SpeechDecoderEngine(decoder.model, replace(decoder.vocabulary, end_ids=(unit,)), capacity=1)
    output = by_oracle(thinker, decoder, asked)
    assert by_engines(thinker, decoder, asked) == output
    assert output.tokens == ids.index(end) + 1


def test_a_speaker_changes_the_units(engines: Engines) -> None:
    asked = ReplyRequest(messages=HELLO, text=Sampling(max_tokens=9), units=Sampling(max_tokens=40))
    output = [by_engines(*engines, replace(asked, speaker=voice)) for voice in (None, speaker(0), speaker(1))]
    assert output[0].text == output[1].text == output[2].text
    assert output[0].units != output[1].units != output[2].units
    zeros = np.zeros(SPEAKER_DIM, dtype=np.float32)
    assert by_engines(*engines, replace(asked, speaker=zeros)) == output[0]


@pytest.mark.parametrize(
    ("vector", "named"),
    [
        (np.zeros((1, SPEAKER_DIM), np.float32), r"shape \(1, 512\)"),
        (np.full(SPEAKER_DIM, np.nan, np.float32), "holds nan"),
        (np.full(SPEAKER_DIM, -np.inf, np.float32), "holds -inf"),
    ],
)
def test_an_invalid_speaker_is_refused(vector: NDArray[np.float32], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        ReplyRequest(messages=HELLO, speaker=vector)


def test_a_speaker_of_another_size_than_the_models_is_refused(engines: Engines) -> None:
    _, decoder = engines
    asked = ReplyRequest(messages=HELLO, speaker=np.zeros(256, np.float32))
    with pytest.raises(ValueError, match=r"speaker vector of shape \(256,\): expected \(512,\)"):
        decoder.open(asked)
    streams = [decoder.open(replace(asked, speaker=None)) for _ in range(decoder.capacity)]  # no slot is lost
    for stream in streams:
        decoder.close(stream)


PROMPTS = [row for row in GOLDEN.lines("prompts") if "raises" not in row]


@pytest.mark.parametrize("row", PROMPTS, ids=lambda row: row["name"])
def test_replies_of_the_published_model_equal_the_oracle(row: dict[str, Any]) -> None:
    thinker = ThinkerEngine(model().thinker, VOCABULARY, capacity=1)
    decoder = SpeechDecoderEngine(model().speech_decoder, VOCABULARY.units, capacity=1)
    messages = tuple(Message(turn.role, tuple(map(load_golden_audio, turn.content))) for turn in served(row))
    asked = ReplyRequest(messages=messages, text=Sampling(max_tokens=11), units=Sampling(max_tokens=30))
    clips = thinker.prompts.prompt(messages, speak=True).audios
    if clips:
        features = model().thinker.audio_features(clips)
        assert [sum(frames) for frames in features.frames] == row["speech_mask_sum"]
        assert features.segments.shape[1] == row["speech_shape"][1]
    assert by_engines(thinker, decoder, asked) == by_oracle(thinker, decoder, asked)


def load_golden_audio(item: Content) -> Content:
    return Audio(load_clip((GOLDEN.path / item.source).read_bytes())) if isinstance(item, Audio) else item
