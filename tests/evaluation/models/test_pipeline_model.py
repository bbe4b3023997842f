"""The pipeline in process answers items as it answers requests."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from evaluation.items import Item, Reply, Turn
from evaluation.models.in_process import PooledModel
from evaluation.models.model import ModelConfig
from evaluation.models.pipeline_model import PipelineModel
from opens2s_core.audio import decode_audio, encode_audio
from opens2s_core.checkpoint.bundle import OPENS2S
from opens2s_core.checkpoint.files import read_json, write_json
from opens2s_core.checkpoint.opens2s import read_config
from opens2s_core.checkpoint.published import publish
from opens2s_core.inference.messages import AudioChunk, ReplyRequest, Sampling, TextDelta
from opens2s_core.inference.pipeline import Pipeline
from opens2s_core.inference.transcription import transcription_request
from opens2s_core.prompt import Audio, Message, Spoken, Text
from opens2s_core.training.batch import load_clip

CLIP = encode_audio((0.1 * np.sin(np.arange(16_000) / 9)).astype(np.float32), 16_000)
TURNS = (Turn(text="hidden", audio=CLIP, instruction="Reply:"), Turn(text="And then?"))
ITEM = Item(id="a", turns=TURNS, system="Be kind.")
CONFIG = ModelConfig(spoken=True, max_tokens=12, seed=3)
WRITTEN = ModelConfig(spoken=False, max_tokens=12, seed=3)


@pytest.fixture(scope="module")
def replies(tiny_bundle: Path) -> tuple[Reply, ...]:
    answer = PipelineModel(str(tiny_bundle), CONFIG).answer(ITEM)
    assert not answer.error
    return answer.replies


def test_replies_are_those_of_the_pipeline_with_its_own_replies_as_history(
    tiny_bundle: Path, replies: tuple[Reply, ...]
) -> None:
    pipeline = Pipeline.load(tiny_bundle)
    messages = [Message("system", (Text("Be kind."),))]
    contents = [(Text("Reply:"), Audio(load_clip(CLIP))), (Text("And then?"),)]
    for content, reply in zip(contents, replies, strict=True):
        messages.append(Message("user", content))
        request = ReplyRequest(
            messages=tuple(messages),
            text=Sampling(max_tokens=12),
            units=Sampling(temperature=1.0, max_tokens=168, seed=3),
            seed=3,
        )
        made = list(pipeline.reply(request))
        text = "".join(message.text for message in made if isinstance(message, TextDelta))
        samples = np.concatenate([message.samples for message in made if isinstance(message, AudioChunk)])
        assert reply.text == text
        found, rate = decode_audio(reply.audio)
        np.testing.assert_allclose(found, samples.clip(-1, 1), atol=1e-4)
        assert reply.audio_seconds == len(samples) / rate
        messages.append(Message("assistant", (Spoken(text),)))


def test_a_written_reply_has_no_audio(tiny_bundle: Path) -> None:
    for reply in PipelineModel(str(tiny_bundle), WRITTEN).answer(ITEM).replies:
        assert (reply.audio, reply.audio_seconds, reply.first_audio) == (b"", 0.0, None)


def test_a_published_directory_answers_as_its_bundle(
    tiny_bundle: Path, replies: tuple[Reply, ...], tmp_path: Path
) -> None:
    publish(tiny_bundle, tmp_path)
    published = PipelineModel(str(tmp_path), CONFIG).answer(ITEM).replies
    assert [reply.text for reply in published] == [reply.text for reply in replies]
    assert all(reply.audio for reply in published)


def test_a_clip_is_transcribed_as_serving_does_it(tiny_bundle: Path, tmp_path: Path) -> None:
    item = Item(id="a", turns=(Turn(text="hidden", audio=CLIP),), transcribe=True)
    [reply] = PipelineModel(str(tiny_bundle), WRITTEN).answer(item).replies
    prompt = read_config(tiny_bundle / OPENS2S).transcription_prompt
    request = transcription_request(prompt, load_clip(CLIP), max_tokens=12, seed=3)
    deltas = Pipeline.load_text(tiny_bundle).reply(request)
    assert reply.text == "".join(delta.text for delta in deltas if isinstance(delta, TextDelta)) != ""
    shutil.copytree(tiny_bundle / OPENS2S, tmp_path / "untrained")
    config = tmp_path / "untrained" / "config.json"
    write_json(config, {key: value for key, value in read_json(config).items() if key != "transcription_prompt"})
    refused = PipelineModel(str(tmp_path / "untrained"), WRITTEN).answer(item)
    assert (refused.replies, "was not trained to transcribe" in refused.error) == ((), True)


def test_a_model_without_a_voice_has_the_text_of_its_spoken_replies(
    tiny_bundle: Path, replies: tuple[Reply, ...]
) -> None:
    alone = PipelineModel(str(tiny_bundle / OPENS2S), CONFIG).answer(ITEM).replies
    assert [reply.text for reply in alone] == [reply.text for reply in replies]
    assert not any(reply.audio for reply in alone)


@pytest.mark.parametrize(
    ("item", "error"),
    [
        (Item(id="a", turns=(Turn(audio=b"no audio"),)), "expected"),
        (Item(id="a", turns=(Turn(text="word " * 5000),)), "positions"),
    ],
)
def test_an_item_that_cannot_be_answered_has_an_error_and_the_next_one_an_answer(
    tiny_bundle: Path, item: Item, error: str
) -> None:
    model = PipelineModel(str(tiny_bundle), WRITTEN)
    assert error in model.answer(item).error
    assert len(model.answer(ITEM).replies) == 2


def test_a_fingerprint_is_that_of_the_weights(tiny_bundle: Path, tmp_path: Path) -> None:
    copy, other = tmp_path / "copy", tmp_path / "other"
    for target in (copy, other):
        shutil.copytree(tiny_bundle, target)
    weights = other / OPENS2S / "model.safetensors"
    changed = bytearray(weights.read_bytes())
    changed[-1] ^= 1
    weights.write_bytes(changed)
    first, same, different = (PooledModel(str(path), CONFIG).fingerprint for path in (tiny_bundle, copy, other))
    assert first == same
    assert first != different


def test_a_directory_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected a bundle"):
        PooledModel(str(tmp_path), CONFIG).fingerprint  # noqa: B018


@pytest.mark.ray
def test_a_pool_of_actors_answers_as_one_pipeline(
    tiny_bundle: Path, replies: tuple[Reply, ...], ray_local: str
) -> None:
    items = [Item(id=str(number), turns=ITEM.turns[: 1 + number % 2], system=ITEM.system) for number in range(6)]
    model = PooledModel(str(tiny_bundle), ModelConfig(spoken=True, max_tokens=12, seed=3, actors=2))
    answers = {answer.item: [reply.text for reply in answer.replies] for answer in model.answers(items)}
    texts = [reply.text for reply in replies]
    assert answers == {item.id: texts[: len(item.turns)] for item in items}
