import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from opens2s_core.audio import log_mel
from opens2s_core.checkpoint.speech_tokenizer import load_speech_tokenizer
from opens2s_core.config import ConfigError, SpeechTokenizerConfig
from opens2s_core.models.speech_tokenizer import SpeechTokenizer, visible_keys
from tests.opens2s_core.parity import Golden, close

GOLDEN = Golden("speech_tokenizer_tiny")
TOLERANCE = GOLDEN.tolerance("features", 1e-4)


@pytest.fixture(scope="module")
def model():
    return load_speech_tokenizer(GOLDEN.path)


@pytest.fixture(scope="module")
def waveforms(golden):
    return {name: golden[f"audio.{name}_int16"].numpy().astype(np.float32) / 32768 for name in ("short", "long")}


def test_units_of_both_files_in_one_call(model, golden, waveforms, meta):
    short, long = model.encode([waveforms["short"], waveforms["long"]])
    assert short == golden["tokens.short"].tolist()
    assert long == golden["tokens.long"].tolist()
    assert [short, long] == meta["extract"]["tokens"]
    assert model.encode([waveforms["short"]]) == [golden["tokens.short_alone"].tolist()]


def test_features_of_one_utterance(model, golden, waveforms):
    features, mask = model.features([waveforms["short"]])
    close("short.input_features", features, golden["short.input_features"], TOLERANCE)
    assert torch.equal(mask.int(), golden["short.attention_mask"])


@torch.no_grad()
def test_every_hidden_state_of_one_utterance(model, golden):
    outputs = []
    hooks = [layer.register_forward_hook(lambda _m, _a, out: outputs.append(out)) for layer in model.layers]
    features, mask = golden["short.input_features"], golden["short.attention_mask"]
    positions = model.embed_positions.weight[: features.shape[2] // 2]
    close("short.after_convs_gelu", model.convolve(features) - positions, golden["short.after_convs_gelu"], TOLERANCE)
    pooled = model(features, mask)
    for hook in hooks:
        hook.remove()
    for i, output in enumerate(outputs):
        close(f"short.layer{i}", output, golden[f"short.layer{i}"], TOLERANCE)
    close("short.pooled", pooled, golden["short.pooled"], TOLERANCE)
    ids = model.quantise(pooled)
    assert torch.equal(ids, golden["short.token_ids"])
    close("short.last_hidden_state", model.embed(ids), golden["short.last_hidden_state"], TOLERANCE)


@torch.no_grad()
def test_margin_between_best_and_second_code(model, golden):
    distance = torch.cdist(golden["short.pooled"][0].double(), model.codebook.weight.double()).square()
    best, second = distance.topk(2, largest=False).values.T
    # the recorded gaps are differences of float32 squared distances
    torch.testing.assert_close((second - best).float(), golden["short.vq_margin"], rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_padded_pair(model, golden, waveforms):
    features, mask = golden["pair.input_features"], golden["pair.attention_mask"]
    samples = features.shape[2] * 160
    for row, (start, stop) in zip(features, golden["pair.crops"].tolist(), strict=True):
        crop = torch.zeros(samples)
        crop[: stop - start] = torch.from_numpy(waveforms["long"][start:stop])
        close("pair.input_features", log_mel(crop, model.config.num_mel_bins), row, TOLERANCE)
    visible = visible_keys(mask[:, ::2].bool(), model.config.quantize_causal_block_size)
    assert torch.equal(visible.to(torch.uint8), golden["pair.visible_mask"])
    pooled = model(features, mask)
    close("pair.pooled", pooled, golden["pair.pooled"], TOLERANCE)
    assert torch.equal(model.quantise(pooled), golden["pair.token_ids"])


def test_unit_count_of_any_length(model, meta, waveforms):
    for samples, units in meta["length_rule"]:
        assert len(model.encode([waveforms["long"][:samples]])[0]) == units


@settings(max_examples=10)
@given(st.lists(st.tuples(st.integers(0, 400_000), st.integers(0, 20_000)), min_size=1, max_size=5))
def test_units_do_not_depend_on_the_rest_of_the_batch(model, waveforms, spans):
    if not model.config.encoder_causal_convolution:
        pytest.skip("a symmetric convolution sees beyond a sound's end, as in the published code")
    crops = [waveforms["long"][start : start + length] for start, length in spans]
    for together, crop in zip(model.pooled(crops), crops, strict=True):
        close("pooled alone", together, model.pooled([crop])[0], TOLERANCE)


@torch.no_grad()
def test_symmetric_convolutions_read_silence_where_the_batch_continues(waveforms):
    config = SpeechTokenizerConfig(d_model=4, encoder_attention_heads=1, encoder_ffn_dim=4, num_mel_bins=80)
    model = SpeechTokenizer(dataclasses.replace(config, encoder_causal_convolution=False, max_source_positions=40))
    long, short = waveforms["long"][:9000], waveforms["long"][:2000]
    features, mask = model.features([long, short])
    padded = torch.zeros(features.shape[2] * 160)
    padded[: len(short)] = torch.from_numpy(short)
    assert torch.equal(features[1], log_mel(padded, 80))
    assert mask.sum(1).tolist() == [57, 13]


def test_equal_codes_give_the_lowest_id():
    config = SpeechTokenizerConfig(d_model=2, encoder_attention_heads=1, quantize_position=1, pooling_position=1)
    config = dataclasses.replace(config, encoder_ffn_dim=2, quantize_vocab_size=3)
    model = SpeechTokenizer(config)
    with torch.no_grad():
        model.codebook.weight.copy_(torch.tensor([[9.0, 9.0], [1.0, 0.0], [1.0, 0.0]]))
    assert model.quantise(torch.tensor([[1.0, 0.1]])).tolist() == [1]


def test_pooling_after_the_quantiser_is_refused():
    with pytest.raises(ConfigError, match="pooling_position 3"):
        SpeechTokenizer(SpeechTokenizerConfig(pooling_position=3, quantize_position=2))


def test_the_second_position_table_has_a_row_for_a_last_unit_that_is_not_full():
    model = SpeechTokenizer(
        SpeechTokenizerConfig(d_model=2, encoder_attention_heads=1, encoder_ffn_dim=2, max_source_positions=41)
    )
    assert model.embed_positions2.num_embeddings == 11
