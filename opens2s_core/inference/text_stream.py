"""Detokenization of a stream: whole characters only, and nothing of a stop string."""

from collections.abc import Sequence

from tokenizers.decoders import DecodeStream
from transformers import PreTrainedTokenizerFast


class TextStream:
    """Tokens in, certain text out. Text that may turn out to begin a stop string is held until that is known.

    ``released`` counts the tokens whose text was emitted whole; ``stopped`` says that a stop string was found.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, stop: Sequence[str] = ()) -> None:
        self._tokenizer = tokenizer.backend_tokenizer
        self._stop = tuple(stop)
        self._decoder = DecodeStream(skip_special_tokens=True)
        self._ids: list[int] = []
        self._decoded = 0  # characters
        self._held = ""  # decoded, not emitted
        self._ends: list[int] = []  # where the text of each held token ends, in characters
        self._incomplete = 0  # tokens after those, whose text comes with that of a later one, if they have any
        self.released = 0
        self.stopped = False

    def push(self, token: int, *, final: bool) -> str:
        """New text that is certain; after the ``final`` token nothing is held."""
        self._ids.append(token)
        delta = self._decoder.step(self._tokenizer, token) or ""
        self._decoded += len(delta)
        self._held += delta
        if final:
            self._held += self._rest()
        self._incomplete += 1
        if delta or final or not self._stop:
            self._ends += [self._decoded] * self._incomplete
            self._incomplete = 0
        certain = self._certain(final)
        text, self._held = self._held[:certain], self._held[certain:]
        emitted = self._decoded - len(self._held)
        while self._ends and self._ends[0] <= emitted:
            self._ends.pop(0)
            self.released += 1
        return text

    def _rest(self) -> str:
        """What is left at the end: an incomplete character."""
        text = self._tokenizer.decode(self._ids, skip_special_tokens=True)
        rest = text[self._decoded :]
        self._decoded += len(rest)
        return rest

    def _certain(self, final: bool) -> int:
        """How many of the held characters cannot be part of a stop string."""
        end = len(self._held)
        found = min((at for stop in self._stop if (at := self._held.find(stop)) >= 0), default=end)
        partial = (at for at in range(end) if any(stop.startswith(self._held[at:]) for stop in self._stop))
        certain = found if final else min(found, next(partial, end))  # another may begin before the one that is found
        self.stopped = certain == found < end
        return certain
