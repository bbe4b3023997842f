import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from opens2s_core.audio import HOP, SAMPLE_RATE, SEGMENT_FRAMES
from opens2s_core.models.audio_encoder import AudioFeatures
from opens2s_core.models.thinker import expand_audio_slots
from opens2s_core.prompt import AUDIO_SLOT, IGNORED
from tests.opens2s_core.opens2s_tiny import (
    CONFIG,
    EMBEDDINGS,
    GOLDEN,
    audio_lengths,
    audio_with_leaks,
    encoder_lengths,
    model,
    synthetic_features,
    unaffected_frames,
)
from tests.opens2s_core.parity import close


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    return GOLDEN.tensors("prepare_llm")


@pytest.fixture(scope="module")
def features(golden: dict[str, Tensor]) -> AudioFeatures:
    return synthetic_features(golden["speech_mask_sum"].tolist())


@pytest.fixture(scope="module")
def ids(golden: dict[str, Tensor], features: AudioFeatures) -> Tensor:
    """(B, T): the published rows, right-padded, with the positions of the clips in their slots."""
    lengths = iter(audio_lengths(features))
    rows = []
    for row, keep in zip(golden["input_ids"], golden["attention_mask"].bool(), strict=True):
        own = row[keep].tolist()
        rows.append(torch.tensor(expand_audio_slots(own, [next(lengths) for _ in range(own.count(AUDIO_SLOT))])))
    return pad_sequence(rows, batch_first=True)


@torch.no_grad()
def test_a_right_padded_batch_is_the_published_one(
    golden: dict[str, Tensor], features: AudioFeatures, ids: Tensor
) -> None:
    thinker = model().thinker
    ours = thinker.embed_prompt(ids, audio_with_leaks(thinker, features))
    expected, valid = golden["right.inputs_embeds"], golden["right.attention_mask"].bool()
    close("prepare_llm.right.inputs_embeds", ours * valid[..., None], expected, EMBEDDINGS)


@torch.no_grad()
def test_left_padding_puts_zeros_before_the_same_rows(
    golden: dict[str, Tensor], features: AudioFeatures, ids: Tensor
) -> None:
    thinker = model().thinker
    embedded = thinker.embed_prompt(ids, audio_with_leaks(thinker, features))
    lengths = golden["right.attention_mask"].sum(1).tolist()
    width = ids.shape[1]
    rows = zip(embedded, lengths, strict=True)
    ours = torch.stack([functional.pad(row[:n], (0, 0, width - n, 0)) for row, n in rows])
    close("prepare_llm.left_inf.inputs_embeds", ours, golden["left_inf.inputs_embeds"], EMBEDDINGS)
    assert golden["left_inf.attention_mask"].tolist() == [[0] * (width - n) + [1] * n for n in lengths]


@torch.no_grad()
def test_a_row_in_our_batch_is_the_published_row_alone(
    golden: dict[str, Tensor], features: AudioFeatures, ids: Tensor
) -> None:
    thinker = model().thinker
    expected = golden["left_inf_nomask.inputs_embeds"]
    ours = thinker.embed_prompt(ids, thinker.embed_audio(features))[:1, : expected.shape[1]]
    close("prepare_llm.left_inf_nomask.inputs_embeds", ours, expected, EMBEDDINGS)


@torch.no_grad()
def test_only_where_the_published_batch_depends_on_neighbours_does_ours_differ(
    golden: dict[str, Tensor], features: AudioFeatures, ids: Tensor
) -> None:
    thinker = model().thinker
    ours = thinker.embed_prompt(ids, thinker.embed_audio(features))
    clips = zip(audio_lengths(features), encoder_lengths(features), strict=True)
    leaks = torch.cat([torch.arange(length) >= unaffected_frames(frames) for length, frames in clips])
    slots = ids == AUDIO_SLOT
    same = golden["right.attention_mask"].bool() & ~torch.zeros_like(slots).masked_scatter(slots, leaks)
    close("prepare_llm.right.without_leaks", ours[same], golden["right.inputs_embeds"][same], EMBEDDINGS)
    assert bool(same[~slots & golden["right.attention_mask"].bool()].all())


@torch.no_grad()
def test_text_is_embedded_as_published(golden: dict[str, Tensor]) -> None:
    ours = model().thinker.embed_prompt(golden["text_input_ids"], [])
    close("prepare_llm.text_inf.inputs_embeds", ours, golden["text_inf.inputs_embeds"], EMBEDDINGS)
    assert torch.equal(golden["text_inf.attention_mask"], golden["text_attention_mask"])


@torch.no_grad()
def test_published_text_training_only_adds_a_silent_clip_behind_everything(golden: dict[str, Tensor]) -> None:
    """Ours keeps the modules in the graph by a dummy clip with weight zero, without additional positions."""
    text = model().thinker.embed_prompt(golden["text_input_ids"], [])
    nothing = torch.zeros(1, CONFIG.audio_encoder.num_mel_bins, SEGMENT_FRAMES)  # features, not samples, are zero
    silence = AudioFeatures(nothing, [[SAMPLE_RATE // HOP]], "full")
    (tail,) = model().thinker.embed_audio(silence)
    assert len(tail) == GOLDEN.values("facts")["dummy_speech_len"]
    count, width = golden["text_input_ids"].shape
    mask = golden["text_attention_mask"]
    behind = (text * mask[..., None], tail.expand(count, -1, -1))
    expected = golden["text_train.inputs_embeds"] * golden["text_train.attention_mask"][..., None]
    close("prepare_llm.text_train.inputs_embeds", torch.cat(behind, dim=1), expected, EMBEDDINGS)
    assert golden["text_train.attention_mask"].tolist() == [row + [1] * len(tail) for row in mask.tolist()]
    assert golden["text_train.labels"][:, :width].equal(golden["text_labels"])
    assert golden["text_train.labels"][:, width:].eq(IGNORED).all()
    assert golden["text_train.token_types"][:, :width].equal(golden["text_token_types"])
    assert golden["text_train.token_types"][:, width:].eq(0).all()


@given(st.lists(st.integers(1, 9) | st.just(AUDIO_SLOT), max_size=20), st.data())
def test_slots_are_repeated_to_their_lengths_and_nothing_else_changes(row: list[int], data: st.DataObject) -> None:
    lengths = data.draw(st.lists(st.integers(1, 9), min_size=row.count(AUDIO_SLOT), max_size=row.count(AUDIO_SLOT)))
    expanded = expand_audio_slots(row, lengths)
    assert [token for token in expanded if token > 0] == [token for token in row if token > 0]
    assert expanded.count(AUDIO_SLOT) == sum(lengths)
    assert expand_audio_slots(row, [1] * row.count(AUDIO_SLOT)) == row
    origin = expand_audio_slots(row, lengths, list(range(len(row))))
    assert [row[i] for i in origin] == expanded
    assert origin == sorted(origin)
