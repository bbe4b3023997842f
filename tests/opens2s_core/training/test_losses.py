from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from opens2s_core.checkpoint.bundle import OPENS2S
from opens2s_core.checkpoint.opens2s import load_opens2s
from opens2s_core.checkpoint.vocabulary import Vocabulary, read_vocabulary
from opens2s_core.models.opens2s import OpenS2S
from opens2s_core.models.speech_decoder import SpeechDecoder
from opens2s_core.prompt import AUDIO_SLOT, IGNORED, SPEAKER_DIM, PromptBuilder
from opens2s_core.training.batch import CollateConfig, EncodedSample, collate, load_clip
from opens2s_core.training.losses import cross_entropy_sum, speech_inputs
from opens2s_core.training.objective import Objective
from opens2s_core.training.stages import JOINT
from tests.opens2s_core.training.samples import kinds_of_samples


@pytest.fixture(scope="module")
def model(tiny_bundle: Path) -> OpenS2S:
    return load_opens2s(tiny_bundle / OPENS2S)


@pytest.fixture(scope="module")
def vocabulary(tiny_bundle: Path) -> Vocabulary:
    return read_vocabulary(tiny_bundle / OPENS2S)


@pytest.fixture(scope="module")
def samples(vocabulary: Vocabulary) -> dict[str, EncodedSample]:
    return kinds_of_samples(PromptBuilder(vocabulary.tokenizer, "training"))


@torch.no_grad()
def slow_losses(model: OpenS2S, vocabulary: Vocabulary, sample: EncodedSample) -> tuple[float, float]:
    """One sample at a time, position by position, as described in the paper."""
    thinker, decoder = model.thinker, model.speech_decoder
    waveforms = [load_clip(audio) for audio in sample.audios]
    clips = iter(thinker.embed_audio(thinker.audio_features(waveforms)) if waveforms else [])
    rows, labels, spoken = [], [], []
    for token, label, kind in zip(sample.input_ids, sample.labels, sample.token_types, strict=True):
        audio = token == AUDIO_SLOT
        row = next(clips) if audio else thinker.llm_model.get_input_embeddings()(torch.tensor([token]))
        rows.append(row)
        labels += [IGNORED] * len(row) if audio else [label]
        spoken += [0] * len(row) if audio else [kind]
    hidden = thinker.llm_model.model(inputs_embeds=torch.cat(rows)[None]).last_hidden_state[0]
    logits = thinker.llm_model.lm_head(hidden)
    text = sum(
        float(functional.cross_entropy(logits[i - 1], torch.tensor(label)))
        for i, label in enumerate(labels)
        if label != IGNORED
    )
    speech = 0.0
    starts = [i for i, kind in enumerate(spoken) if kind and not spoken[i - 1]]
    speakers = sample.speakers or [[]] * len(starts)
    for start, units, speaker in zip(starts, sample.units, speakers, strict=True):
        end = spoken.index(0, start)
        ids = [vocabulary.units.offset + unit for unit in units] + [vocabulary.units.end_ids[0]]
        speech += _slow_speech(decoder, hidden[start:end], ids, speaker)
    return text, speech


def _slow_speech(decoder: SpeechDecoder, hidden: Tensor, ids: list[int], speaker: list[float]) -> float:
    ratio = decoder.config.interleave
    hidden_states, waiting = list(decoder.embed_hidden_states(hidden)), list(ids)
    sequence, targets = [decoder.embed_speaker(torch.tensor(speaker or [0.0] * SPEAKER_DIM))], [IGNORED]
    while hidden_states or waiting:
        for _ in range(min(ratio.hidden_states, len(hidden_states))):
            sequence.append(hidden_states.pop(0))
            targets.append(IGNORED)
        for _ in range(min(ratio.units, len(waiting))):
            targets.append(waiting.pop(0))
            sequence.append(decoder.embed_units(torch.tensor(targets[-1])))
    lm = decoder.tts_lm_model
    logits = lm.lm_head(lm.model(inputs_embeds=torch.stack(sequence)[None]).last_hidden_state[0])
    return float(functional.cross_entropy(logits[:-1], torch.tensor(targets[1:]), reduction="sum"))


def test_a_batch_of_every_kind_has_the_losses_of_its_samples(
    model: OpenS2S, vocabulary: Vocabulary, samples: dict[str, EncodedSample]
) -> None:
    sums = Objective(model, JOINT, seed=0)(collate(list(samples.values()), model.config, vocabulary))
    slow = [slow_losses(model, vocabulary, sample) for sample in samples.values()]
    assert float(sums["text"].detach()) == pytest.approx(sum(text for text, _ in slow), rel=1e-4)
    assert float(sums["units"].detach()) == pytest.approx(sum(speech for _, speech in slow), rel=1e-4)


@pytest.mark.parametrize("kind", ["speech to text", "text to speech", "text to text", None])
def test_every_module_takes_part_in_every_batch(
    model: OpenS2S, vocabulary: Vocabulary, samples: dict[str, EncodedSample], kind: str | None
) -> None:
    model.zero_grad()
    sums = Objective(model, JOINT, seed=0)(collate([samples[kind]] if kind else [], model.config, vocabulary))
    (sums["text"] + sums["units"]).backward()
    trained = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
    assert [name for name, grad in trained.items() if grad is None] == []
    assert all(bool(grad.isfinite().all()) for grad in trained.values() if grad is not None)
    if kind is None:
        assert all(not bool(grad.any()) for grad in trained.values() if grad is not None)


def test_the_speaker_changes_the_loss(
    model: OpenS2S, vocabulary: Vocabulary, samples: dict[str, EncodedSample]
) -> None:
    known = samples["text to speech"]
    with_speaker, without = (
        Objective(model, JOINT, seed=0)(collate([sample], model.config, vocabulary))["units"].item()
        for sample in (known, replace(known, speakers=[]))
    )
    assert with_speaker != pytest.approx(without, rel=1e-3)


def test_with_the_prefix_layout_the_speech_lm_reads_its_own_words(
    model: OpenS2S, vocabulary: Vocabulary, samples: dict[str, EncodedSample]
) -> None:
    spoken, decoder = [samples["text to speech"], samples["speech to speech"]], model.speech_decoder
    batch = collate(spoken, model.config, vocabulary, CollateConfig(reply_layout="prefix"))
    expected = []
    for sample, text in zip(spoken, ("Hello there, my friend!", "I hear you."), strict=True):
        units = [vocabulary.units.offset + unit for unit in sample.units[0]] + [vocabulary.units.end_ids[0]]
        speaker = sample.speakers[0] if sample.speakers and sample.speakers[0] else [0.0] * SPEAKER_DIM
        words = vocabulary.tokenizer.encode(text, add_special_tokens=False)
        expected += [decoder.embed_speaker(torch.tensor([speaker])), decoder.embed_units(torch.tensor(words + units))]
    torch.testing.assert_close(speech_inputs(decoder, None, batch.replies), torch.cat(expected))


class CountedHead(nn.Linear):
    """A head with the number of states of each call."""

    def forward(self, states: Tensor) -> Tensor:
        self.calls = [*getattr(self, "calls", []), len(states)]
        return super().forward(states)


@pytest.mark.parametrize("learned", [0, 1, 3, 30])
def test_the_cross_entropy_is_that_of_all_labels_at_once_and_its_head_is_called_four_times(learned: int) -> None:
    torch.manual_seed(0)
    head, hidden = CountedHead(8, 50), torch.randn(40, 8, requires_grad=True)
    labels = torch.full((40,), IGNORED)
    labels[1 + torch.randperm(39)[:learned]] = torch.randint(0, 50, (learned,))
    expected = functional.cross_entropy(head(hidden[:-1]), labels[1:], ignore_index=IGNORED, reduction="sum")
    wanted = torch.autograd.grad(expected, [hidden, head.weight])
    head.calls = []
    ours = cross_entropy_sum(hidden, labels, head)
    assert (len(head.calls), sum(head.calls)) == (4, learned)
    assert max(head.calls) <= -(-learned // 4)
    torch.testing.assert_close(ours, expected)
    torch.testing.assert_close(torch.autograd.grad(ours, [hidden, head.weight]), wanted)
