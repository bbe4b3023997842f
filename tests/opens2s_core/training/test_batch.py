from dataclasses import replace

import pytest
import torch
from torch import Tensor

from opens2s_core.prompt import AUDIO_SLOT, IGNORED, SPEAKER_DIM
from opens2s_core.training.batch import EncodedSample, collate, spoken_runs
from tests.opens2s_core.opens2s_tiny import CONFIG, FEATURES, GOLDEN, audio_lengths
from tests.opens2s_core.parity import close
from tests.opens2s_core.training.golden_batches import (
    VOCABULARY,
    collated_samples,
    golden_batch,
    stretch_rows,
    valid_rows,
)

CASES = list(GOLDEN.values("collator"))


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    return GOLDEN.tensors("collator")


def part_of(golden: dict[str, Tensor], case: str) -> dict[str, Tensor]:
    return {name.removeprefix(f"{case}."): value for name, value in golden.items() if name.startswith(f"{case}.")}


@pytest.mark.parametrize("case", CASES)
def test_samples_become_the_published_rows_with_their_clips_in_place(golden: dict[str, Tensor], case: str) -> None:
    batch, expected = collate(collated_samples(case), CONFIG, VOCABULARY), part_of(golden, case)
    lengths = [] if batch.audio_is_dummy else audio_lengths(batch.audio)
    ids = valid_rows(expected["input_ids"], expected["attention_mask"])
    labels = valid_rows(expected["labels"], expected["attention_mask"])
    assert valid_rows(batch.input_ids, batch.attention_mask) == stretch_rows(ids, ids, lengths)
    assert valid_rows(batch.labels, batch.attention_mask) == stretch_rows(labels, ids, lengths)
    assert batch.input_ids[~batch.attention_mask].eq(VOCABULARY.pad_id).all()
    assert batch.labels[~batch.attention_mask].eq(IGNORED).all()
    padding = expected["attention_mask"] == 0
    assert expected["input_ids"][padding].eq(VOCABULARY.pad_id).all()
    assert sum(row.count(AUDIO_SLOT) for row in ids) == len(lengths)


@pytest.mark.parametrize("case", CASES)
def test_spoken_runs_have_the_published_units_and_speakers(golden: dict[str, Tensor], case: str) -> None:
    batch, expected = collate(collated_samples(case), CONFIG, VOCABULARY), part_of(golden, case)
    replies = batch.replies
    if "speech_units" not in expected:
        assert replies.labels.eq(IGNORED).all()
        assert not replies.speakers.any()
        return
    lengths = [] if batch.audio_is_dummy else audio_lengths(batch.audio)
    ids = valid_rows(expected["input_ids"], expected["attention_mask"])
    types = stretch_rows(valid_rows(expected["token_types"], expected["attention_mask"]), ids, lengths)
    width = batch.input_ids.shape[1]
    runs = spoken_runs([row + [IGNORED] * (width - len(row)) for row in types])
    units = valid_rows(expected["speech_units"], expected["speech_units_mask"])
    close("collator.spk_embs", replies.speakers[:, None], expected["spk_embs"], 0)
    for i, (run, own) in enumerate(zip(runs, units, strict=True)):
        assert replies.hidden_index[i, : len(run)].tolist() == run
        assert replies.speech_ids[i, : len(own)].tolist() == own
        assert [label for label in replies.labels[i].tolist() if label != IGNORED] == own
        assert int(replies.mask[i].sum()) == 1 + len(run) + len(own)


@pytest.mark.parametrize("case", CASES)
def test_clips_have_the_published_features(golden: dict[str, Tensor], case: str) -> None:
    batch, expected = collate(collated_samples(case), CONFIG, VOCABULARY), part_of(golden, case)
    assert batch.audio_is_dummy == ("speech_values_frame_mean" not in expected)
    if batch.audio_is_dummy:
        return
    assert [sum(clip) for clip in batch.audio.frames] == expected["speech_mask_sum"].tolist()
    assert len(batch.audio.frames) == int(expected["speech_values_shape"][0]) == int(expected["speech_mask_shape"][0])
    assert batch.audio.segments.shape[1] == int(expected["speech_values_shape"][1])
    segments = list(batch.audio.segments)
    for i, clip in enumerate(batch.audio.frames):
        whole = torch.cat([segments.pop(0) for _ in clip], dim=1)
        head = expected["speech_values_head80"][i]
        close("collator.speech_values_head", whole[:, : head.shape[1]], head, FEATURES)
        # Of its last frame the window reaches over the end, behind which the batch may go on.
        means = whole.double().mean(0).float()[:-1]
        close(
            "collator.speech_values_frame_mean", means, expected["speech_values_frame_mean"][i, : len(means)], FEATURES
        )


def test_labels_and_types_lie_around_the_clips_as_published() -> None:
    golden, batch = GOLDEN.tensors("prepare_llm"), golden_batch("full")
    valid = golden["right.attention_mask"].bool()
    assert torch.equal(batch.attention_mask, valid)
    assert torch.equal(batch.labels, golden["right.labels"])
    assert golden["right.token_types"][~valid].eq(IGNORED).all()
    replies, runs = batch.replies, spoken_runs(golden["right.token_types"].tolist())
    assert [row[: len(run)].tolist() for row, run in zip(replies.hidden_index, runs, strict=True)] == runs


def speaking(*speakers: list[float]) -> EncodedSample:
    return EncodedSample([1, 2, 3, 4], [0, 1, 0, 1], [IGNORED] * 4, [], [[0], [1, 2]], list(speakers))


def test_unknown_speakers_are_zeros() -> None:
    known = [0.5] * SPEAKER_DIM
    samples = [speaking(), speaking([], known), speaking(known, [])]
    speakers = collate(samples, CONFIG, VOCABULARY).replies.speakers
    assert speakers.shape == (6, SPEAKER_DIM)
    assert speakers.dtype == torch.float32
    assert speakers.any(1).tolist() == [False, False, False, True, True, False]


def test_a_speaker_of_another_width_is_refused() -> None:
    with pytest.raises(ValueError, match=f"speaker vector of 192 numbers: expected {SPEAKER_DIM}"):
        collate([speaking([], [0.0] * 192)], CONFIG, VOCABULARY)


def test_the_size_of_speaker_vectors_is_the_models() -> None:
    config = replace(CONFIG, speaker_dim=192)
    speakers = collate([speaking([], [0.5] * 192), speaking()], config, VOCABULARY).replies.speakers
    assert speakers.tolist() == [[0.0] * 192, [0.5] * 192, [0.0] * 192, [0.0] * 192]
    assert collate([], config, VOCABULARY).replies.speakers.shape == (1, 192)
    with pytest.raises(ValueError, match="speaker vector of 512 numbers: expected 192"):
        collate([speaking([], [0.0] * 512)], config, VOCABULARY)


def test_as_many_speakers_as_replies() -> None:
    with pytest.raises(ValueError, match="1 speakers for 2 spoken replies: expected one each"):
        collate([speaking([])], CONFIG, VOCABULARY)
