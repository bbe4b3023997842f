"""The state of one reply in the thinker: pending work, results and output."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from opens2s_core.audio import Waveform
from opens2s_core.inference.audio_cache import ClipKey, clip_key
from opens2s_core.inference.kv_cache import ContentIds, KVSlot
from opens2s_core.inference.messages import HiddenStates, ReplyRequest, StageMessage, TextDelta
from opens2s_core.inference.records import TextRecord
from opens2s_core.inference.scheduler import StreamWork
from opens2s_core.inference.text_stream import TextStream
from opens2s_core.prompt import AUDIO_SLOT


@dataclass(frozen=True, slots=True)
class Clip:
    """An audio clip of the prompt and the positions [start, stop) that it takes."""

    waveform: Waveform
    key: ClipKey
    start: int
    stop: int


@dataclass(slots=True)
class ThinkerStream:
    """One reply."""

    request: ReplyRequest
    prompt: ContentIds
    clips: list[Clip]
    record: TextRecord  # of an earlier stream that this one continues; includes all tokens of a given reply text
    slot: KVSlot
    text: TextStream
    encoded: dict[ClipKey, Tensor] = field(default_factory=dict)
    embeddings: Tensor | None = None  # (T, D), up to the last position to prefill
    generated: list[int] = field(default_factory=list)
    characters: int = 0  # of text since the start of the reply
    groups: int = 0  # of hidden states since the start of the reply
    group: list[NDArray[np.float32]] = field(default_factory=list)  # hidden states (D,) not yet in a group
    final: bool = True  # the thinker takes no input messages
    output: list[StageMessage] = field(default_factory=list)
    done: bool = False
    failure: str | None = None

    @property
    def to_prefill(self) -> int:
        """Positions of the prompt and of the tokens in the record that the slot does not hold yet."""
        return max(0, len(self.prompt) + len(self.record.ids) - self.slot.length)

    @property
    def pending_clips(self) -> dict[ClipKey, Clip]:
        """Clips that must be encoded before the remaining positions can be embedded."""
        return {clip.key: clip for clip in self.clips if clip.stop > self.slot.length and clip.key not in self.encoded}

    @property
    def work(self) -> StreamWork:
        prefill = self.to_prefill
        return StreamWork(decodes=not prefill, prefill=prefill, clips=len(self.pending_clips) if prefill else 0)

    def emit_text(self, text: str) -> None:
        """Emit new text, without the characters that the record counts as emitted."""
        new = text[max(0, self.record.characters - self.characters) :]
        self.characters += len(text)
        if new:
            self.output.append(TextDelta(new))

    def emit_hidden_states(self, size: int, *, last: bool) -> None:
        """Emit the groups of ``size`` hidden states whose text is emitted; after the last token all remaining ones."""
        ready = self.text.released + self.text.stopped - self.groups * size
        while ready >= size or (last and ready > 0):
            group, self.group = self.group[:size][:ready], self.group[size:]
            ready -= len(group)
            self.groups += 1
            if self.groups > self.record.groups:
                self.output.append(HiddenStates(np.stack(group), final=last and ready == 0))


def check_clip(waveform: Waveform) -> None:
    """``TypeError`` if it is not an array, ``ValueError`` if it is not float32 (n,)."""
    if not isinstance(waveform, np.ndarray):
        raise TypeError(f"an audio clip must be an array, got {type(waveform).__name__}")
    if waveform.dtype != np.float32 or waveform.ndim != 1:
        raise ValueError(f"audio clip {waveform.dtype} of shape {waveform.shape}: expected float32 of (n,)")


def place_clips(ids: list[int], waveforms: list[Waveform], lengths: list[int]) -> list[Clip]:
    """The clips with their positions after each audio slot in ``ids`` is expanded to the length of its clip."""
    clips: list[Clip] = []
    slots = [at for at, token in enumerate(ids) if token == AUDIO_SLOT]
    added = 0
    for slot, waveform, length in zip(slots, waveforms, lengths, strict=True):
        clips.append(Clip(waveform, clip_key(waveform), slot + added, slot + added + length))
        added += length - 1
    return clips
