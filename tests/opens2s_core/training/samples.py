"""Small samples of every kind, for the tests of training."""

from collections.abc import Sequence

import numpy as np

from opens2s_core.audio import SAMPLE_RATE, encode_audio
from opens2s_core.models.opens2s_config import OpenS2SConfig
from opens2s_core.prompt import SPEAKER_DIM, Audio, Content, Message, PromptBuilder, Spoken, Text
from opens2s_core.training.batch import EncodedSample


def make_audio(seconds: float, seed: int) -> bytes:
    noise = np.random.default_rng(seed).normal(0, 0.1, int(seconds * SAMPLE_RATE)).astype(np.float32)
    return encode_audio(noise, SAMPLE_RATE)


def encode(prompts: PromptBuilder, messages: Sequence[Message]) -> EncodedSample:
    sample = prompts.training_sample(messages)
    return EncodedSample(
        sample.input_ids,
        sample.token_types,
        sample.labels,
        sample.audios,
        [list(units) for units in sample.units],
        [list(speaker) for speaker in sample.speakers],
    )


def turn(question: Sequence[Content], reply: Content) -> list[Message]:
    return [Message("user", tuple(question)), Message("assistant", (reply,))]


def kinds_of_samples(prompts: PromptBuilder) -> dict[str, EncodedSample]:
    """Speech to speech, speech to text, text to speech, text to text, and two turns with two clips.

    The speaker of "text to speech" is known, and that of the first of the two turns.
    """
    long_units = tuple(range(30))
    speaker = tuple(np.random.default_rng(5).normal(0, 1, SPEAKER_DIM).tolist())
    two_turns = turn([Audio(make_audio(0.7, 1))], Spoken("Yes.", (1, 2, 3), speaker)) + turn(
        [Audio(make_audio(0.4, 2)), Text("and"), Audio(make_audio(0.9, 3))], Spoken("I see what you mean.", long_units)
    )
    return {
        "speech to speech": encode(prompts, turn([Audio(make_audio(1.0, 0))], Spoken("I hear you.", long_units))),
        "speech to text": encode(
            prompts, turn([Audio(make_audio(0.6, 4)), Text("continue")], Text("the story goes on"))
        ),
        "text to speech": encode(
            prompts, turn([Text("Say hello.")], Spoken("Hello there, my friend!", (5, 6), speaker))
        ),
        "text to text": encode(prompts, turn([Text("How are you?")], Text("Fine."))),
        "two turns": encode(prompts, two_turns),
    }


class ListedSamples:
    def __init__(self, samples: Sequence[EncodedSample], config: OpenS2SConfig) -> None:
        self._samples = samples
        # Half a second of audio takes three positions or more; planning needs no exact number.
        self.lengths = [len(sample.input_ids) + 6 * len(sample.audios) for sample in samples]
        self.speech_lengths = [
            sum(sample.token_types) + sum(len(units) + 2 for units in sample.units) for sample in samples
        ]

    def __getitem__(self, index: int) -> EncodedSample:
        return self._samples[index]
