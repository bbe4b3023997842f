from itertools import groupby, product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from opens2s_core.prompt import IGNORED
from opens2s_core.training.heads import (
    BLANK,
    CTCHead,
    EmotionHead,
    ctc_errors,
    ctc_sum,
    emotion_hits,
    emotion_sum,
    greedy_transcript,
)

_WIDTH = 6


def _clips(*lengths: int, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(length, _WIDTH, generator=generator).requires_grad_() for length in lengths]


def _brute_force_ctc(logits: Tensor, transcript: bytes) -> float:
    """Minus the log of the summed probability of all paths over the transcript's bytes and the blank."""
    target = [byte + 1 for byte in transcript]
    probabilities = logits.double().softmax(-1)
    total = 0.0
    for path in product(sorted({BLANK, *target}), repeat=len(logits)):
        if [kind for kind, _ in groupby(path) if kind != BLANK] == target:
            total += probabilities[range(len(path)), path].prod().item()
    return -torch.tensor(total).log().item()


@pytest.mark.parametrize("transcript", [b"a", b"ab", b"aa", b"aba", "é".encode()])
@pytest.mark.parametrize("frames", [3, 5])
def test_ctc_is_the_sum_over_all_paths(transcript: bytes, frames: int) -> None:
    head, [clip] = CTCHead(_WIDTH), _clips(frames)
    assert ctc_sum(head, [clip], [transcript]).item() == pytest.approx(
        _brute_force_ctc(head(clip), transcript), rel=1e-5
    )


def test_ctc_is_summed_over_clips_with_a_transcript() -> None:
    head, clips = CTCHead(_WIDTH), _clips(5, 9, 3, 7)
    texts = [b"one", b"", b"a", b"three"]
    alone = [ctc_sum(head, [clip], [text]).item() for clip, text in zip(clips, texts, strict=True)]
    assert alone[1] == 0
    assert ctc_sum(head, clips, texts).item() == pytest.approx(sum(alone))


def test_clips_without_a_transcript_get_zero_gradients() -> None:
    head, clips = CTCHead(_WIDTH), _clips(5, 9)
    ctc_sum(head, clips, [b"one", b""]).backward()
    assert clips[0].grad is not None
    assert clips[0].grad.any()
    assert clips[1].grad is not None
    assert not clips[1].grad.any()


def test_without_transcripts_the_head_is_in_the_graph() -> None:
    head, clips = CTCHead(_WIDTH), _clips(5, 9)
    loss = ctc_sum(head, clips, [b"", b""])
    loss.backward()
    assert loss.item() == 0
    for tensor in (*head.parameters(), *clips):
        assert tensor.grad is not None
        assert not tensor.grad.any()


def test_clips_too_short_for_their_transcript_count_nothing() -> None:
    head, clips = CTCHead(_WIDTH), _clips(5, 3, 2)
    # "aaa" needs five frames, "ab" two.
    loss = ctc_sum(head, clips, [b"aaa", b"aa", b"abc"])
    assert loss.item() == pytest.approx(ctc_sum(head, clips[:2], [b"aaa", b"aa"]).item())
    loss.backward()
    assert clips[2].grad is not None
    assert not clips[2].grad.any()
    assert all(parameter.grad.isfinite().all() for parameter in head.parameters() if parameter.grad is not None)


def test_ctc_of_bfloat16_frames_is_finite_and_trains() -> None:
    head, clips = CTCHead(_WIDTH).bfloat16(), [clip.detach().bfloat16() for clip in _clips(5, 9)]
    loss = ctc_sum(head, clips, [b"one", b"two"])
    loss.backward()
    assert loss.dtype == torch.float32
    assert head.linear.weight.grad is not None
    assert head.linear.weight.grad.any()


def test_the_head_learns_transcripts_of_any_script() -> None:
    head, clips = CTCHead(64), [torch.randn(40, 64, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)]
    texts = ["fünf Äpfel", "你好世界"]
    optimizer = torch.optim.Adam(head.parameters(), lr=0.05)
    for _ in range(100):
        optimizer.zero_grad()
        ctc_sum(head, clips, [text.encode() for text in texts]).backward()
        optimizer.step()
    assert [greedy_transcript(head(clip)).decode() for clip in clips] == texts
    assert ctc_errors(head, clips, [text.encode() for text in texts]) == 0


@given(transcript=st.binary(max_size=8), stay=st.integers(1, 3))
def test_the_path_of_a_transcript_is_read_back(transcript: bytes, stay: int) -> None:
    path = [kind for byte in transcript for kind in [byte + 1] * stay + [BLANK]] or [BLANK]
    assert greedy_transcript(functional.one_hot(torch.tensor(path), 257)) == transcript


def test_repeats_without_a_blank_are_one_byte() -> None:
    path = torch.tensor([98, 98, 0, 0, 98, 99, 99])
    assert greedy_transcript(functional.one_hot(path, 257)) == b"aab"


def test_no_frames_have_no_transcript() -> None:
    assert greedy_transcript(torch.zeros(0, 257)) == b""


class _Frames(CTCHead):
    """Takes one-hot frames for logits."""

    def forward(self, frames: Tensor) -> Tensor:
        return frames.float()


def test_errors_are_edit_distances_of_the_clips_that_have_a_transcript() -> None:
    clips = [functional.one_hot(torch.tensor([byte + 1 for byte in text]), 257) for text in (b"kiten", b"same", b"x")]
    assert ctc_errors(_Frames(1), clips, [b"sitting", b"same", b""]) == 4 + 0


def test_emotion_pools_each_clip_by_attention() -> None:
    head, clips = EmotionHead(_WIDTH, 4), _clips(1, 5, 9)
    logits = head(torch.cat(clips), [len(clip) for clip in clips])
    assert logits.shape == (3, 4)
    for row, clip in zip(logits, clips, strict=True):
        scores = [torch.exp(head.attention(frame)) for frame in clip]
        pooled = sum(score * frame for score, frame in zip(scores, clip, strict=True)) / sum(scores)
        torch.testing.assert_close(row, head.linear(pooled))


def test_emotion_loss_is_summed_over_known_emotions() -> None:
    logits = torch.tensor([[0.0, 0.0, 0.0], [5.0, 1.0, 2.0], [0.0, 0.0, torch.tensor(2.0).log()]])
    emotions = torch.tensor([1, IGNORED, 2])
    # uniform over three, and 2 of 1 + 1 + 2
    assert emotion_sum(logits, emotions).item() == pytest.approx(torch.tensor(3.0).log() + torch.tensor(2.0).log())


def test_without_emotions_the_head_is_in_the_graph() -> None:
    head, clips = EmotionHead(_WIDTH, 4), _clips(5, 9)
    loss = emotion_sum(head(torch.cat(clips), [len(clip) for clip in clips]), torch.tensor([IGNORED, IGNORED]))
    loss.backward()
    assert loss.item() == 0
    for tensor in (*head.parameters(), *clips):
        assert tensor.grad is not None
        assert not tensor.grad.any()


def test_emotion_gradients_reach_all_parameters() -> None:
    head, clips = EmotionHead(_WIDTH, 4).bfloat16(), _clips(5, 9)
    emotion_sum(head(torch.cat(clips), [len(clip) for clip in clips]), torch.tensor([0, IGNORED])).backward()
    assert all(parameter.grad is not None for parameter in head.parameters())
    assert head.attention.weight.grad is not None
    assert head.attention.weight.grad.any()
    assert clips[0].grad is not None
    assert clips[0].grad.any()
    assert clips[1].grad is not None
    assert not clips[1].grad.any()


def test_hits_are_counted_over_known_emotions() -> None:
    logits = functional.one_hot(torch.tensor([2, 0, 1, 1]), 3)
    assert emotion_hits(logits, torch.tensor([2, 1, IGNORED, 1])) == (2, 3)


@pytest.mark.parametrize("build", [CTCHead, lambda width, seed: EmotionHead(width, 4, seed=seed)])
def test_initial_weights_depend_on_the_seed_alone(build) -> None:
    state = torch.random.get_rng_state()
    first = build(_WIDTH, seed=1).state_dict()
    assert torch.random.get_rng_state().equal(state)
    torch.rand(1)
    second, other = build(_WIDTH, seed=1).state_dict(), build(_WIDTH, seed=2).state_dict()
    assert all(first[name].equal(second[name]) for name in first)
    assert not any(first[name].equal(other[name]) for name in first)
