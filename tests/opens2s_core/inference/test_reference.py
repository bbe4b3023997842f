"""The oracle against greedy runs of the published model, and against its own rules."""

import re
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from opens2s_core.checkpoint import load_opens2s
from opens2s_core.inference.reference import GreedyReply, reply, speak, write
from opens2s_core.audio import SEGMENT_FRAMES
from opens2s_core.models.adapter import adapter_frames
from opens2s_core.models.audio_encoder import AudioFeatures, encoder_frames, segment_lengths
from opens2s_core.models.opens2s import OpenS2S
from opens2s_core.models.opens2s_config import Interleave
from opens2s_core.models.thinker import expand_audio_slots
from opens2s_core.prompt import AUDIO_SLOT
from tests.opens2s_core.parity import Golden, close

GOLDEN = Golden("opens2s_tiny")
RUNS: list[dict[str, Any]] = GOLDEN.values("generate")
TENSORS = GOLDEN.tensors("generate")
BY_TAG = {run["tag"]: run for run in RUNS}


@pytest.fixture(scope="module")
def model() -> OpenS2S:
    return load_opens2s(GOLDEN.path).float()


@cache
def synthetic_features() -> Tensor:
    """Log-mel features (clips, mel, frames) that the model-level golden numbers were made with."""
    factors = GOLDEN.tensors("speech_inputs")
    return (factors["U"].double() @ factors["V"].double()).float()


def features(frames: list[int], *, all_valid: bool = False) -> AudioFeatures:
    """The first synthetic clips, of so many frames each; ``all_valid``: and the silence after them to 30 s."""
    counts = [segment_lengths(count) for count in frames]
    width = [len(parts) * SEGMENT_FRAMES for parts in counts]
    clips = [synthetic_features()[i, :, :w] for i, w in enumerate(width)]
    segments = torch.stack([part for clip in clips for part in clip.split(SEGMENT_FRAMES, dim=1)])
    return AudioFeatures(segments, [segment_lengths(w) for w in width] if all_valid else counts)


@torch.no_grad()
def embed(model: OpenS2S, ids: Tensor, audio: list[Tensor]) -> Tensor:
    """Embeddings (T, D) of one prompt whose slots are not yet repeated."""
    expanded = expand_audio_slots(ids.tolist(), [len(clip) for clip in audio])
    return model.thinker.embed_prompt(torch.tensor([expanded]), audio)[0]


@torch.no_grad()
def leaky_audio(model: OpenS2S, frames: list[int]) -> list[Tensor]:
    """What the published adapter gives for clips beside each other: it also reads the frames behind a clip's end."""
    thinker = model.thinker
    encoded = thinker.audio_encoder_model.encode(features(frames, all_valid=True), thinker.config.audio_padding)
    lengths = [sum(map(encoder_frames, segment_lengths(count))) for count in frames]
    beside = list(torch.nn.utils.rnn.pad_sequence(encoded, batch_first=True)[:, : max(lengths)])
    convs = len(thinker.config.adapter_kernel_sizes)
    return [
        clip[: adapter_frames(length, convs)]
        for clip, length in zip(thinker.audio_adapter(beside), lengths, strict=True)
    ]


def golden_prompt(model: OpenS2S, run: dict[str, Any]) -> Tensor:
    audio: list[Tensor] = []
    if run["audio"]:
        with torch.no_grad():
            audio = model.thinker.embed_audio(features(TENSORS["speech_mask_sum"].tolist()))
    return embed(model, TENSORS[f"{run['tag']}.input_ids"][0], audio)


def ratio_of(run: dict[str, Any]) -> Interleave | None:
    """Named in the note of the runs that do not use the checkpoint's own."""
    found = re.search(r"\d+:\d+", run["note"])
    return Interleave.parse(found[0]) if found else None


def golden_reply(model: OpenS2S, run: dict[str, Any], **changes: Any) -> GreedyReply:
    settings: dict[str, Any] = {
        "text_end_ids": run["llm_eos"],
        "unit_end_ids": run["tts_eos"],
        "max_text": run["llm_max_new_tokens"],
        "max_units": run["tts_max_new_tokens"],
        "interleave": ratio_of(run),
    }
    return reply(model, golden_prompt(model, run), **settings | changes)


@pytest.mark.parametrize("tag", [run["tag"] for run in RUNS if run["spk_emb"] is None and "spk" not in run["tag"]])
def test_it_says_and_speaks_what_the_published_model_does(model: OpenS2S, tag: str) -> None:
    check(model, tag, golden_reply(model, BY_TAG[tag]))


@pytest.mark.parametrize("tag", [tag for tag in BY_TAG if "spk_honoured" in tag])
def test_a_speaker_that_reaches_the_projection_is_honoured(model: OpenS2S, tag: str) -> None:
    check(model, tag, golden_reply(model, BY_TAG[tag], speaker=TENSORS["spk_emb"].flatten()))


@pytest.mark.parametrize("tag", [run["tag"] for run in RUNS if run["spk_emb"] is not None])
def test_the_published_loop_ignores_a_speaker_and_ours_does_not(model: OpenS2S, tag: str) -> None:
    run = BY_TAG[tag]
    check(model, tag, golden_reply(model, run))
    assert list(golden_reply(model, run, speaker=TENSORS["spk_emb"].flatten()).unit_ids) != run["units"]


def check(model: OpenS2S, tag: str, said: GreedyReply) -> None:
    assert [said.text_ids] == [tuple(row) for row in TENSORS[f"{tag}.sequences"].tolist()]
    assert [said.unit_ids] == [tuple(row) for row in TENSORS[f"{tag}.units"].tolist()]
    tolerance = GOLDEN.tolerance("embeddings", 1e-4)
    close("generate tts_text_hidden", said.hiddens[None], TENSORS[f"{tag}.tts_text_hidden"], tolerance)


def batch_prompts(model: OpenS2S, name: str, *, leaky: bool) -> list[Tensor]:
    """Embeddings of every prompt of a batch, without padding; clips are used in reading order."""
    ids = TENSORS[f"{name}.input_ids"]
    mask = TENSORS.get(f"{name}.attention_mask", torch.ones_like(ids)).bool()
    frames = TENSORS["batch.speech_mask_sum"].tolist()[: int((ids == AUDIO_SLOT).sum())]
    with torch.no_grad():
        audio = leaky_audio(model, frames) if leaky else model.thinker.embed_audio(features(frames))
    rows = []
    for row, valid in zip(ids, mask, strict=True):
        count = int((row == AUDIO_SLOT).sum())
        rows.append(embed(model, row[valid], audio[:count]))
        audio = audio[count:]
    return rows


def continuation(model: OpenS2S, prompt: Tensor, count: int) -> list[int]:
    return list(write(model.thinker, prompt, end_ids=(), max_tokens=count)[0])


def test_a_masked_batch_is_its_rows_alone(model: OpenS2S) -> None:
    expected = TENSORS["batch_mask.out"].tolist()
    leaky, own = (batch_prompts(model, "batch_mask", leaky=leaky) for leaky in (True, False))
    for with_leak, without, out in zip(leaky, own, expected, strict=True):
        assert continuation(model, with_leak, len(out)) == out
        if torch.allclose(with_leak, without, atol=1e-5):  # no clips, or none beside a longer one
            assert continuation(model, without, len(out)) == out


def test_without_a_mask_a_batch_reads_its_padding(model: OpenS2S) -> None:
    rows = batch_prompts(model, "batch_nomask", leaky=True)
    width = max(map(len, rows))
    for row, out in zip(rows, TENSORS["batch_nomask.out"].tolist(), strict=True):
        padded = torch.cat([row.new_zeros(width - len(row), row.shape[1]), row])
        assert continuation(model, padded, len(out)) == out
