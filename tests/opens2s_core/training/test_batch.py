from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from opens2s_core.audio import Waveform
from opens2s_core.models.audio_encoder import extract_features
from opens2s_core.prompt import AUDIO_SLOT, IGNORED, SPEAKER_DIM, PromptBuilder
from opens2s_core.training.batch import (
    Augment,
    ClipAugmentation,
    CollateConfig,
    EncodedSample,
    collate,
    load_clip,
    spoken_runs,
)
from opens2s_core.training.emotions import EMOTIONS
from opens2s_core.training.packing import Packing
from tests.opens2s_core.opens2s_tiny import CONFIG, FEATURES, GOLDEN, audio_lengths
from tests.opens2s_core.parity import close
from tests.opens2s_core.training.golden_batches import (
    VOCABULARY,
    collated_samples,
    golden_batch,
    stretch_rows,
    valid_rows,
)
from tests.opens2s_core.training.samples import kinds_of_samples, make_audio

CASES = list(GOLDEN.values("collator"))


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    return GOLDEN.tensors("collator")


def part_of(golden: dict[str, Tensor], case: str) -> dict[str, Tensor]:
    return {name.removeprefix(f"{case}."): value for name, value in golden.items() if name.startswith(f"{case}.")}


def joined(rows: list[list[int]]) -> list[int]:
    return [value for row in rows for value in row]


def rows_of(values: Tensor, packing: Packing) -> list[list[int]]:
    return [row.tolist() for row in values.split(packing.starts.diff().tolist())]


@pytest.mark.parametrize("case", CASES)
def test_samples_become_the_published_rows_with_their_clips_in_place(golden: dict[str, Tensor], case: str) -> None:
    batch, expected = collate(collated_samples(case), CONFIG, VOCABULARY), part_of(golden, case)
    lengths = [] if batch.audio_is_dummy else audio_lengths(batch.audio)
    ids = valid_rows(expected["input_ids"], expected["attention_mask"])
    labels = valid_rows(expected["labels"], expected["attention_mask"])
    assert rows_of(batch.input_ids, batch.packing) == stretch_rows(ids, ids, lengths)
    assert rows_of(batch.labels, batch.packing) == stretch_rows(labels, ids, lengths)
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
    runs = spoken_runs(types)
    units = valid_rows(expected["speech_units"], expected["speech_units_mask"])
    close("collator.spk_embs", replies.speakers[:, None], expected["spk_embs"], 0)
    assert replies.hidden_index.tolist() == joined(runs)
    assert replies.text_ids.tolist() == batch.input_ids[replies.hidden_index].tolist()
    assert replies.speech_ids.tolist() == joined(units)
    orders, labels = rows_of(replies.order, replies.packing), rows_of(replies.labels, replies.packing)
    sources = [[("speaker", i)] + [("hidden", at) for at in run] for i, run in enumerate(runs)]
    named = [("speaker", i) for i in range(len(runs))] + [("hidden", at) for at in joined(runs)]
    named += [("unit", unit) for unit in replies.speech_ids.tolist()]
    for order, learned, source, own in zip(orders, labels, sources, units, strict=True):
        read = [named[index] for index in order]
        assert [one for one in read if one[0] != "unit"] == source
        assert [unit for kind, unit in read if kind == "unit"] == own
        assert learned == [value if kind == "unit" else IGNORED for kind, value in read]


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
    assert batch.packing.starts.diff().tolist() == valid.sum(1).tolist()
    assert torch.equal(batch.labels, golden["right.labels"][valid])
    assert golden["right.token_types"][~valid].eq(IGNORED).all()
    runs = spoken_runs(valid_rows(golden["right.token_types"], valid))
    assert batch.replies.hidden_index.tolist() == joined(runs)


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


@pytest.fixture(scope="module")
def kinds() -> dict[str, EncodedSample]:
    return kinds_of_samples(PromptBuilder(VOCABULARY.tokenizer, "training"))


def learned(values: Tensor) -> list[int]:
    return [value for value in values.tolist() if value != IGNORED]


def test_the_first_label_of_a_sample_is_not_learned_from_the_sample_before_it() -> None:
    samples = [EncodedSample([1, 2, 3], [0] * 3, [1, 2, 3], [], []), EncodedSample([4, 5], [0] * 2, [4, 5], [], [])]
    assert collate(samples, CONFIG, VOCABULARY).labels.tolist() == [IGNORED, 2, 3, IGNORED, 5]


def test_with_the_prefix_layout_all_words_precede_all_units(kinds: dict[str, EncodedSample]) -> None:
    samples = [kinds["two turns"], kinds["text to text"], kinds["text to speech"]]
    replies = collate(samples, CONFIG, VOCABULARY, CollateConfig(reply_layout="prefix")).replies
    offset, end = VOCABULARY.units.offset, VOCABULARY.units.end_ids[0]
    units = [[offset + unit for unit in own] + [end] for sample in samples for own in sample.units]
    texts = ["Yes.", "I see what you mean.", "Hello there, my friend!"]
    words = [VOCABULARY.tokenizer.encode(text, add_special_tokens=False) for text in texts]
    assert replies.text_ids.tolist() == joined(words)
    sources = [f"speaker {i}" for i in range(3)] + replies.text_ids.tolist() + replies.speech_ids.tolist()
    rows = rows_of(replies.order, replies.packing)
    assert [[sources[index] for index in row] for row in rows] == [
        [f"speaker {i}", *words[i], *units[i]] for i in range(3)
    ]
    assert rows_of(replies.labels, replies.packing) == [
        [IGNORED] * (1 + len(text)) + own for text, own in zip(words, units, strict=True)
    ]


def test_words_and_emotions_belong_to_clips(kinds: dict[str, EncodedSample]) -> None:
    one, three = kinds["speech to text"], kinds["two turns"]
    samples = [
        replace(one, transcript="Grüß dich", emotion="sad"),
        replace(three, emotion="happy"),
        kinds["text to text"],
        one,
    ]
    batch = collate(samples, CONFIG, VOCABULARY)
    assert batch.transcripts == ["Grüß dich".encode(), b"", b"", b"", b""]
    sad, happy = EMOTIONS.index("sad"), EMOTIONS.index("happy")
    assert batch.emotions.tolist() == [sad, happy, IGNORED, IGNORED, IGNORED]
    assert (batch.counts()["ctc"], batch.counts()["emotion"]) == (11, 2)
    with pytest.raises(ValueError, match="emotion 'glad': expected one of neutral, happy"):
        collate([replace(one, emotion="glad")], CONFIG, VOCABULARY)


def test_labels_are_counted_by_part(kinds: dict[str, EncodedSample]) -> None:
    samples = list(kinds.values())
    counts = collate(samples, CONFIG, VOCABULARY).counts()
    assert counts["text"] == sum(label != IGNORED for sample in samples for label in sample.labels)
    assert counts["units"] == sum(len(units) + 1 for sample in samples for units in sample.units)
    assert set(collate([], CONFIG, VOCABULARY, CollateConfig(teacher=True)).counts().values()) == {0}


def test_the_teacher_predicts_the_labels_of_the_student(kinds: dict[str, EncodedSample]) -> None:
    written, spoken, two = kinds["text to text"], kinds["speech to text"], kinds["two turns"]
    ids = [token for token in spoken.input_ids if token != AUDIO_SLOT]
    labels = [label for token, label in zip(spoken.input_ids, spoken.labels, strict=True) if token != AUDIO_SLOT]
    known = replace(spoken, teacher_ids=[7, 8, 9, *ids], teacher_labels=[IGNORED] * 3 + labels)
    settings = CollateConfig(teacher=True)
    batch = collate([two, known, written], CONFIG, VOCABULARY, settings)  # nothing is known of the first
    teacher = batch.teacher
    assert teacher is not None
    assert rows_of(teacher.input_ids, teacher.packing) == [known.teacher_ids, written.input_ids]
    assert batch.labels[teacher.student + 1].tolist() == learned(torch.tensor(labels + written.labels))
    assert teacher.input_ids[teacher.predicts + 1].equal(batch.input_ids[teacher.student + 1])
    assert batch.counts()["distillation"] == len(teacher.predicts)
    assert collate([known], CONFIG, VOCABULARY).teacher is None
    nothing = collate([two], CONFIG, VOCABULARY, settings).teacher
    assert nothing is not None
    assert (len(nothing.input_ids), len(nothing.predicts), len(nothing.student)) == (1, 0, 0)
    with pytest.raises(ValueError, match="teacher's text with 0 labels: expected the"):
        collate([replace(known, teacher_labels=[IGNORED] * len(known.teacher_ids))], CONFIG, VOCABULARY, settings)


class Louder:
    """Twice as loud, then random features."""

    def waveform(self, clip: Waveform, rng: np.random.Generator) -> Waveform:
        return clip * 2 + np.float32(rng.random())

    def features(self, mel: Tensor, rng: np.random.Generator) -> Tensor:
        return torch.from_numpy(rng.random(mel.shape, dtype=np.float32))


class Waveforms(Louder):
    def features(self, mel: Tensor, rng: np.random.Generator) -> Tensor:
        return mel


def test_augmentation_depends_on_seed_epoch_sample_and_clip(kinds: dict[str, EncodedSample]) -> None:
    def augmented(augmentation: ClipAugmentation, **changes: int) -> list[Tensor]:
        seeds = {"seed": 1, "epoch": 2, "first": 10, **changes}
        augment = Augment(augmentation, seeds["seed"], seeds["epoch"], [seeds["first"], 11])
        samples = [kinds["text to text"], kinds["two turns"]]
        features = collate(samples, masked, VOCABULARY, augment=augment).audio
        return [row[:, :count] for row, (count,) in zip(features.segments, features.frames, strict=True)]

    masked = replace(CONFIG, audio_padding="masked")
    first = augmented(Louder())
    for number, mel in enumerate(first):
        rng = np.random.default_rng((1, 2, 11, number))
        rng.random()  # of the waveform
        assert np.array_equal(mel.numpy(), rng.random(mel.shape, dtype=np.float32))
    assert all(map(torch.equal, first, augmented(Louder(), first=3)))  # of another sample
    for other in ({"seed": 2}, {"epoch": 3}):
        assert not any(map(torch.equal, first, augmented(Louder(), **other)))
    [_, clip, _] = [load_clip(audio) for audio in kinds["two turns"].audios]
    louder = Louder().waveform(clip, np.random.default_rng((1, 2, 11, 1)))
    expected = extract_features([louder], CONFIG.audio_encoder.num_mel_bins, "masked").segments[0]
    assert torch.equal(augmented(Waveforms())[1], expected)


def test_cells_are_useful_without_padding_and_dummies(kinds: dict[str, EncodedSample]) -> None:
    masked = replace(CONFIG, audio_padding="masked")
    batch = collate(list(kinds.values()), masked, VOCABULARY)
    useful, total = batch.cells()
    assert useful == total > len(batch.input_ids) + len(batch.replies.order)
    nothing = collate([], masked, VOCABULARY)
    assert nothing.cells() == (1, 1 + 25 + len(nothing.replies.order))
    full = collate([EncodedSample([AUDIO_SLOT], [0], [IGNORED], [make_audio(1.2, 0)], [])], CONFIG, VOCABULARY)
    spoken = len(full.replies.order)
    assert full.cells() == (len(full.input_ids) + 30, len(full.input_ids) + 750 + spoken)


def test_a_batch_moves_with_all_its_parts(kinds: dict[str, EncodedSample]) -> None:
    batch = collate(list(kinds.values()), CONFIG, VOCABULARY, CollateConfig(teacher=True)).to("meta")
    teacher, replies = batch.teacher, batch.replies
    assert teacher is not None
    tensors = [batch.input_ids, batch.packing.positions, batch.audio.segments, replies.packing.starts, replies.order]
    assert all(tensor.is_meta for tensor in [*tensors, teacher.student, batch.emotions])
