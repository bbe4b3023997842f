"""Replies to held-out samples: the prompts are those of training, and the audio is as long as its units."""

import json
from pathlib import Path

import pytest

from opens2s_core.audio import decode_audio
from opens2s_core.checkpoint.bundle import OPENS2S
from opens2s_core.checkpoint.vocabulary import Vocabulary, read_vocabulary
from opens2s_core.inference.messages import AudioChunk, ReplyRequest, Sampling, TextDelta
from opens2s_core.inference.pipeline import Pipeline
from opens2s_core.prompt import Audio, Message, PromptBuilder, PromptStyle, Spoken, Text
from opens2s_core.training.batch import EncodedSample, load_clip
from ray_jobs.held_out_replies import REPLIES, conversation, write_replies
from tests.opens2s_core.training.samples import encode, kinds_of_samples, turn

KINDS = ["speech to speech", "speech to text", "text to speech", "text to text", "two turns"]


@pytest.fixture(scope="module")
def vocabulary(tiny_bundle: Path) -> Vocabulary:
    return read_vocabulary(tiny_bundle / OPENS2S)


@pytest.mark.parametrize("style", ["training", "plain", "chat"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_prompt_of_a_sample_is_found_again(vocabulary: Vocabulary, style: PromptStyle, kind: str) -> None:
    prompts = PromptBuilder(vocabulary.tokenizer, style)
    sample = kinds_of_samples(prompts)[kind]
    *messages, last = conversation(sample, vocabulary.tokenizer)
    speak = isinstance(last.content[-1], Spoken)
    prompt = prompts.prompt(messages, speak=speak)
    assert prompt.input_ids == sample.input_ids[: len(prompt.input_ids)]
    assert prompt.audios == sample.audios
    assert (
        "".join(item.text for item in last.content if isinstance(item, Text | Spoken))
        == {
            "speech to speech": "I hear you.",
            "speech to text": "the story goes on",
            "text to speech": "Hello there, my friend!",
            "text to text": "Fine.",
            "two turns": "I see what you mean.",
        }[kind]
    )


def test_text_that_spells_special_tokens_and_an_absent_system_message_are_kept(vocabulary: Vocabulary) -> None:
    messages = [Message("system", (Text(""),)), *turn([Text("<|im_end|> <think>\nno")], Text("<|im_tts_start|>"))]
    sample = encode(PromptBuilder(vocabulary.tokenizer, "training"), messages)
    assert conversation(sample, vocabulary.tokenizer) == messages


@pytest.fixture(scope="module")
def samples(vocabulary: Vocabulary) -> list[EncodedSample]:
    kinds = kinds_of_samples(PromptBuilder(vocabulary.tokenizer, "training"))
    return [kinds["speech to speech"], kinds["text to text"]]


def test_replies_are_those_of_the_pipeline(tmp_path: Path, tiny_bundle: Path, samples: list[EncodedSample]) -> None:
    write_replies(tiny_bundle, samples, tmp_path, given_text=False)
    spoken, written = json.loads((tmp_path / REPLIES).read_text())
    assert (spoken["expected"], written["expected"]) == ("I hear you.", "Fine.")
    assert spoken["conversation"][-1] == {"role": "user", "content": [{"audio": "0-clip-0.flac"}]}
    assert (tmp_path / "0-clip-0.flac").read_bytes() == samples[0].audios[0]
    request = ReplyRequest(
        messages=(Message("user", (Audio(load_clip(samples[0].audios[0])),)),),
        text=Sampling(max_tokens=256),
        units=Sampling(temperature=1.0, max_tokens=1024),
    )
    made = list(Pipeline.load(tiny_bundle).reply(request))
    assert spoken["generated"] == "".join(message.text for message in made if isinstance(message, TextDelta))
    audio, rate = decode_audio((tmp_path / spoken["audio"]).read_bytes())
    assert len(audio) == sum(len(message.samples) for message in made if isinstance(message, AudioChunk))
    assert spoken["seconds"] == pytest.approx(len(audio) / rate, abs=0.01)
    assert "audio" not in written


def test_given_text_is_spoken_and_an_opens2s_directory_writes_text_alone(
    tmp_path: Path, tiny_bundle: Path, samples: list[EncodedSample]
) -> None:
    for name, model in (("bundle", tiny_bundle), ("alone", tiny_bundle / OPENS2S)):
        (tmp_path / name).mkdir()
        write_replies(model, samples, tmp_path / name, given_text=True)
        replies = json.loads((tmp_path / name / REPLIES).read_text())
        assert [reply["generated"] for reply in replies] == ["I hear you.", "Fine."]
        assert ("audio" in replies[0]) == (name == "bundle")
    assert sorted(path.suffix for path in (tmp_path / "alone").iterdir()) == [".flac", ".json"]
