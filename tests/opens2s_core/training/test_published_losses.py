"""Losses, logits and gradients of the published forward pass."""

import re
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from opens2s_core.checkpoint.opens2s import load_opens2s
from opens2s_core.models.opens2s import OpenS2S
from opens2s_core.models.speech_decoder import SpeechDecoder
from opens2s_core.training.batch import Batch, collate, load_clip
from opens2s_core.training.losses import llm_hidden_states, speech_inputs
from opens2s_core.training.objective import Objective
from opens2s_core.training.packing import packed_hidden_states
from opens2s_core.training.stages import JOINT
from tests.opens2s_core.opens2s_tiny import (
    CONFIG,
    EMBEDDINGS,
    GOLDEN,
    GRADIENTS,
    LOSSES,
    audio_with_leaks,
    features_of_a_batch,
    model,
)
from tests.opens2s_core.parity import close, close_relative
from tests.opens2s_core.training.golden_batches import PREFIXES, VOCABULARY, collated_samples, golden_batch

COLLATED = list(GOLDEN.values("collator"))


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    return GOLDEN.tensors("forward")


def mean_losses(model: OpenS2S, batch: Batch) -> tuple[Tensor, Tensor]:
    """Our sums as the means of the published model, with clips embedded as in its batch."""
    sums, counts = (
        Objective(model, JOINT, seed=0).given_audio(batch, audio_with_leaks(model.thinker, batch.audio)),
        batch.counts(),
    )
    return sums["text"] / counts["text"], sums["units"] / max(counts["units"], 1)


def loss_without_units(decoder: SpeechDecoder) -> float:
    """Of a batch without units the published code runs the speech LM on two tokens of id 1, and weighs that zero."""
    lm, ones = decoder.tts_lm_model, torch.tensor([[1, 1]])
    logits = lm(inputs_embeds=decoder.embed_units(ones)).logits
    return float(functional.cross_entropy(logits[0, :1], ones[0, 1:]))


def compare_losses(name: str, batch: Batch, expected: dict[str, Tensor], weights: tuple[float, float]) -> None:
    text, speech = map(float, mean_losses(model(), batch))
    unspoken = not batch.counts()["units"]
    spoken = loss_without_units(model().speech_decoder) if unspoken else speech
    # Without units the published loss is the text's alone, and unweighted.
    total = text if unspoken else weights[0] * text + weights[1] * speech
    close_relative(f"{name}.llm_loss", text, float(expected[f"{name}.llm_loss"]), LOSSES)
    close_relative(f"{name}.tts_loss", spoken, float(expected[f"{name}.tts_loss"]), LOSSES)
    close_relative(f"{name}.loss", total, float(expected[f"{name}.loss"]), LOSSES)


@pytest.mark.parametrize("case", PREFIXES)
@torch.no_grad()
def test_losses_are_the_published_ones(golden: dict[str, Tensor], case: str) -> None:
    readme = (GOLDEN.path / "README.md").read_text()
    weights = re.search(rf"`{case}` \([^)]*llm_weight ([\d.]+), tts_weight ([\d.]+)\)", readme)
    compare_losses(case, golden_batch(case), golden, (float(weights[1]), float(weights[2])) if weights else (1.0, 1.0))
    assert (weights is not None) == (case == "weighted")


@pytest.mark.parametrize("case", COLLATED)
@torch.no_grad()
def test_losses_of_collated_samples_are_the_published_ones(case: str) -> None:
    samples = collated_samples(case)
    batch = collate(samples, CONFIG, VOCABULARY)
    if clips := [load_clip(audio) for sample in samples for audio in sample.audios]:
        batch = replace(batch, audio=features_of_a_batch(clips))
    golden = {f"collator.{name}": value for name, value in GOLDEN.tensors("collator").items()}
    compare_losses(f"collator.{case}", batch, golden, (1.0, 1.0))


@pytest.mark.parametrize("case", COLLATED)
@torch.no_grad()
def test_ours_are_those_of_the_samples_alone(case: str) -> None:
    samples = collated_samples(case)
    together = Objective(model(), JOINT, seed=0)(collate(samples, CONFIG, VOCABULARY))
    alone = [Objective(model(), JOINT, seed=0)(collate([sample], CONFIG, VOCABULARY)) for sample in samples]
    assert float(together["text"]) == pytest.approx(sum(float(sums["text"]) for sums in alone), rel=1e-5)
    assert float(together["units"]) == pytest.approx(sum(float(sums["units"]) for sums in alone), rel=1e-5)


@torch.no_grad()
def test_hidden_states_and_logits_are_the_published_ones(golden: dict[str, Tensor]) -> None:
    thinker, batch = model().thinker, golden_batch("full")
    hidden = llm_hidden_states(thinker, batch, audio_with_leaks(thinker, batch.audio))
    valid = GOLDEN.tensors("prepare_llm")["right.attention_mask"].bool()
    close("full.llm_last_hidden", hidden, golden["full.llm_last_hidden"][valid], EMBEDDINGS)
    tail = golden["full.llm_logits_tail"]
    lasts = [row[-tail.shape[1] :] for row in hidden.split(valid.sum(1).tolist())]
    close("full.llm_logits_tail", thinker.llm_model.lm_head(torch.stack(lasts)), tail, EMBEDDINGS)


@torch.no_grad()
def test_the_speech_decoder_reads_and_predicts_as_published(golden: dict[str, Tensor]) -> None:
    decoder, replies = model().speech_decoder, golden_batch("full").replies
    prepared = GOLDEN.tensors("prepare_tts")
    valid = GOLDEN.tensors("prepare_llm")["right.attention_mask"].bool()
    inputs = speech_inputs(decoder, prepared["hidden_states"][valid], replies)
    mask = prepared["cfg.attention_mask"].bool()
    close("prepare_tts.cfg.inputs_embeds", inputs, prepared["cfg.inputs_embeds"][mask], EMBEDDINGS)
    assert replies.packing.starts.diff().tolist() == mask.sum(1).tolist()
    assert torch.equal(replies.labels, prepared["cfg.labels"][mask])
    logits = decoder.tts_lm_model.lm_head(packed_hidden_states(decoder.tts_lm_model.model, inputs, replies.packing))
    close("full.tts_logits", logits, golden["full.tts_logits"][mask], EMBEDDINGS)


@pytest.mark.parametrize("case", GOLDEN.values("gradients"))
def test_gradients_are_the_published_ones(case: str) -> None:
    own, expected = load_opens2s(GOLDEN.path), GOLDEN.values("gradients")[case]
    text, speech = mean_losses(own, golden_batch(case))
    (text + speech).backward()
    close_relative(f"gradients.{case}.total_loss", (text + speech).item(), expected["total_loss"], LOSSES)
    gradients = {name.split(".", 1)[1]: parameter.grad for name, parameter in own.named_parameters()}
    assert set(gradients) == set(expected["per_parameter"]) | set(expected["no_grad"])
    for name in expected["no_grad"]:  # ours are in the graph of every batch, with nothing to learn there
        assert gradients[name] is None or not gradients[name].any(), name
    norms = {name: 0.0 if grad is None else float(grad.double().norm()) for name, grad in gradients.items()}
    for name, norm in expected["per_parameter"].items():
        close_relative(f"gradients.{case}.per_parameter", norms[name], norm, GRADIENTS)
    for module, norm in expected["top"].items():
        own_norm = sum(value**2 for name, value in norms.items() if name.split(".")[0] == module) ** 0.5
        close_relative(f"gradients.{case}.top", own_norm, norm, GRADIENTS)
