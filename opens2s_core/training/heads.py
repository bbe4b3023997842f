"""Auxiliary heads on the frames of the audio encoder: CTC on bytes of the transcript, and the emotion of a clip.

They train an encoder from nothing and are not part of the exported model.
"""
# T frames (25 Hz) of a clip, D width of the encoder, C emotions

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence
from torchaudio.functional import edit_distance

from opens2s_core.models.seeding import seeded
from opens2s_core.prompt import IGNORED

BLANK = 0
_BYTES = 256


class CTCHead(nn.Module):
    """Frames → logits of the blank (class 0) and of each byte b of UTF-8 (class b + 1), so that every language has the
    same classes."""

    def __init__(self, width: int, *, seed: int = 0) -> None:
        super().__init__()
        with seeded(seed):
            self.linear = nn.Linear(width, BLANK + 1 + _BYTES)

    def forward(self, frames: Tensor) -> Tensor:
        """(…, D) → float32 (…, 257)."""
        logits: Tensor = self.linear(frames.to(self.linear.weight.dtype))
        return logits.float()


def ctc_sum(head: CTCHead, clips: Sequence[Tensor], transcripts: Sequence[bytes]) -> Tensor:
    """CTC loss (Graves et al. 2006) in nats, summed over the clips that have a transcript.

    ``clips``: frames (T_i, D) of one or more clips; ``transcripts``: the UTF-8 of each, already normalised, empty if
    unknown. A clip needs a frame for each byte and one between equal bytes; the loss of a shorter one is 0, with zero
    gradient. Head and clips are in the graph in any case.
    """
    logits = head(torch.cat(list(clips))).split([len(clip) for clip in clips])
    known = [(rows.log_softmax(-1), text) for rows, text in zip(logits, transcripts, strict=True) if text and len(rows)]
    connected = torch.stack([rows.sum() for rows in logits]).sum() * 0.0
    if not known:
        return connected
    scores = pad_sequence([rows for rows, _ in known])  # (T, clips, 257)
    losses = functional.ctc_loss(
        scores,
        torch.tensor([byte + 1 for _, text in known for byte in text], device=scores.device),
        input_lengths=torch.tensor([len(rows) for rows, _ in known]),
        target_lengths=torch.tensor([len(text) for _, text in known]),
        blank=BLANK,
        reduction="sum",
        zero_infinity=True,
    )
    return losses + connected


def greedy_transcript(logits: Tensor) -> bytes:
    """The transcript of the best path through logits (T, 257)."""
    path = logits.argmax(-1).unique_consecutive()
    return bytes((path[path != BLANK] - 1).tolist())


def ctc_errors(head: CTCHead, clips: Sequence[Tensor], transcripts: Sequence[bytes]) -> int:
    """Edit distances in bytes from the greedy transcripts of ``clips`` to ``transcripts``, as of :func:`ctc_sum`,
    summed over the clips that have one."""
    logits = head(torch.cat(list(clips))).split([len(clip) for clip in clips])
    pairs = zip(logits, transcripts, strict=True)
    return sum(edit_distance(greedy_transcript(rows), text) for rows, text in pairs if text)


class EmotionHead(nn.Module):
    """Frames of a clip → logits of its emotion: attention pooling with one learned query, then a linear layer."""

    def __init__(self, width: int, emotions: int, *, seed: int = 0) -> None:
        super().__init__()
        with seeded(seed):
            self.attention = nn.Linear(width, 1)
            self.linear = nn.Linear(width, emotions)

    def forward(self, frames: Tensor, counts: Sequence[int]) -> Tensor:
        """Frames of one or more clips, (sum of T_i, D), T_i ≥ 1 → float32 (clips, C). ``counts`` are the T_i."""
        frames = frames.to(self.linear.weight.dtype)
        scores = self.attention(frames).float()  # (sum of T_i, 1)
        clips = zip(scores.split(list(counts)), frames.float().split(list(counts)), strict=True)
        pooled = [(own.softmax(0) * clip).sum(0) for own, clip in clips]
        logits: Tensor = self.linear(torch.stack(pooled).to(self.linear.weight.dtype))
        return logits.float()


def emotion_sum(logits: Tensor, emotions: Tensor) -> Tensor:
    """Cross entropy of logits (clips, C) in nats, summed over clips whose emotion, int64 (clips,), is not IGNORED."""
    return functional.cross_entropy(logits, emotions, ignore_index=IGNORED, reduction="sum")


def emotion_hits(logits: Tensor, emotions: Tensor) -> tuple[int, int]:
    """How many clips with a known emotion have it as the most likely one, and how many have a known emotion."""
    known = emotions != IGNORED
    return int((logits.argmax(-1) == emotions)[known].sum()), int(known.sum())
