"""A row of a batch does not depend on the other rows, for models of any size."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import Qwen2AudioEncoderConfig, Qwen3Config

from opens2s_core.audio import SAMPLE_RATE, encode_audio
from opens2s_core.models.audio_encoder import AudioPadding
from opens2s_core.models.opens2s import OpenS2S
from opens2s_core.models.opens2s_config import Interleave, OpenS2SConfig
from opens2s_core.prompt import AUDIO_SLOT, IGNORED, SPEAKER_DIM
from opens2s_core.training.batch import EncodedSample, collate
from opens2s_core.training.losses import llm_hidden_states
from opens2s_core.training.objective import Objective
from opens2s_core.training.stages import JOINT
from tests.opens2s_core.training.golden_batches import VOCABULARY

TEXT = VOCABULARY.pad_id + 1
SPEECH = max(VOCABULARY.units.offset + VOCABULARY.units.size, *(end + 1 for end in VOCABULARY.units.end_ids))


def llm(width: int, words: int, layers: int, heads: int, kv_heads: int, *, tied: bool) -> Qwen3Config:
    return Qwen3Config(
        vocab_size=words,
        hidden_size=width,
        intermediate_size=2 * width + 1,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=6,
        max_position_embeddings=2048,
        tie_word_embeddings=tied,
    )


def config_of(
    kernels: tuple[int, ...], padding: AudioPadding, interleave: str, *, llm: Qwen3Config, speech: Qwen3Config
) -> OpenS2SConfig:
    return OpenS2SConfig(
        audio_encoder=Qwen2AudioEncoderConfig(
            num_mel_bins=20,
            d_model=9,
            encoder_layers=llm.num_hidden_layers,
            encoder_attention_heads=3,
            encoder_ffn_dim=13,
        ),
        llm=llm,
        speech_decoder=speech,
        adapter_inner_dim=7,
        adapter_kernel_sizes=kernels,
        interleave=Interleave.parse(interleave),
        audio_padding=padding,
    )


CONFIGS = {
    "one convolution, one layer, untied": config_of(
        (3,), "full", "1:2", llm=llm(15, TEXT, 1, 2, 2, tied=False), speech=llm(11, SPEECH, 1, 3, 1, tied=False)
    ),
    "two convolutions, grouped heads, tied": config_of(
        (5, 5), "full", "4:8", llm=llm(16, TEXT, 2, 4, 2, tied=True), speech=llm(12, SPEECH, 2, 2, 1, tied=True)
    ),
    "three convolutions, nothing but the clip": config_of(
        (7, 3, 5), "masked", "3:5", llm=llm(17, TEXT, 1, 6, 2, tied=False), speech=llm(10, SPEECH, 2, 4, 4, tied=True)
    ),
}


@pytest.fixture(scope="module", params=CONFIGS)
def model(request: pytest.FixtureRequest) -> OpenS2S:
    torch.manual_seed(0)
    model = OpenS2S(CONFIGS[request.param]).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.3 if parameter.dim() > 1 else 1.0)
    return model


def test_heads_are_tied_as_the_config_says(model: OpenS2S) -> None:
    for lm in (model.thinker.llm_model, model.speech_decoder.tts_lm_model):
        assert (lm.lm_head.weight is lm.model.embed_tokens.weight) == lm.config.tie_word_embeddings


clips = st.sampled_from([1, 400, 479, 481, 5_000, 16_000, 33_333, 480_000, 496_000]).map(lambda n: ("clip", n))
words = st.integers(1, 6).map(lambda n: ("words", n))
learned = st.integers(1, 6).map(lambda n: ("learned", n))
spoken = st.tuples(st.integers(1, 11), st.integers(0, 23), st.booleans()).map(lambda sizes: ("spoken", sizes))
rows = st.lists(clips | words | learned | spoken, min_size=1, max_size=4)


def sample_of(parts: list[tuple[str, Any]], seed: int) -> EncodedSample:
    """A row of clips, words that are given or learned, and spoken replies whose speaker may be known."""
    rng = np.random.default_rng(seed)
    sample = EncodedSample([], [], [], [], [], [])

    def write(count: int, kind: int, *, learn: bool) -> None:
        ids = rng.integers(0, TEXT, count).tolist()
        sample.input_ids.extend(ids)
        sample.token_types.extend([kind] * count)
        sample.labels.extend(ids if learn else [IGNORED] * count)

    for name, size in parts:
        if name == "clip":
            noise = rng.normal(0, 0.1, size).astype(np.float32)
            sample.audios.append(encode_audio(noise, SAMPLE_RATE))
            sample.input_ids.append(AUDIO_SLOT)
            sample.token_types.append(0)
            sample.labels.append(IGNORED)
        elif name == "spoken":
            hidden_states, units, known = size
            write(hidden_states, 1, learn=True)
            write(1, 0, learn=True)  # a turn's end, so that the next reply is another run
            sample.units.append(rng.integers(0, VOCABULARY.units.size, units).tolist())
            sample.speakers.append(rng.normal(0, 1, SPEAKER_DIM).tolist() if known else [])
        else:
            write(size, 0, learn=name == "learned")
    return sample


def hidden_states_and_losses(model: OpenS2S, samples: list[EncodedSample]) -> tuple[list[Tensor], float, float]:
    batch = collate(samples, model.config, VOCABULARY)
    hidden = llm_hidden_states(model.thinker, batch, model.thinker.embed_audio(batch.audio))
    sums = Objective(model, JOINT, seed=0)(batch)
    rows = list(hidden.split(batch.packing.starts.diff().tolist()))
    return rows, float(sums["text"]), float(sums["units"])


@given(batch=st.lists(rows, min_size=2, max_size=3))
@settings(max_examples=5)
@torch.no_grad()
def test_rows_together_are_each_alone(model: OpenS2S, batch: list[list[tuple[str, Any]]]) -> None:
    samples = [sample_of(parts, seed) for seed, parts in enumerate(batch)]
    hidden, text, speech = hidden_states_and_losses(model, samples)
    alone = [hidden_states_and_losses(model, [sample]) for sample in samples]
    for together, (own, _, _) in zip(hidden, alone, strict=True):
        torch.testing.assert_close(together, own[0], atol=2e-4, rtol=1e-3)
    assert text == pytest.approx(sum(own for _, own, _ in alone), rel=1e-4, abs=1e-4)
    assert speech == pytest.approx(sum(own for _, _, own in alone), rel=1e-4, abs=1e-4)


@torch.no_grad()
def test_a_row_of_everything_may_share_a_batch_with_rows_without_audio(model: OpenS2S) -> None:
    everything = [("clip", 496_000), ("words", 2), ("clip", 1), ("clip", 700), ("spoken", (9, 20, True)), ("words", 1)]
    plain = [("words", 3), ("learned", 4)]
    samples = [sample_of(parts, seed) for seed, parts in enumerate([plain, [*everything, ("spoken", (2, 1, False))]])]
    hidden, text, speech = hidden_states_and_losses(model, samples)
    expected = [hidden_states_and_losses(model, [sample]) for sample in samples]
    torch.testing.assert_close(hidden[1], expected[1][0][0], atol=2e-4, rtol=1e-3)
    assert text == pytest.approx(expected[0][1] + expected[1][1], rel=1e-4)
    assert expected[0][2] == 0.0
    assert speech == pytest.approx(expected[1][2], rel=1e-4)
    assert len(hidden[1]) == len(samples[1].input_ids) - 3 + sum(
        model.config.audio_positions(count) for count in (496_000, 1, 700)
    )
