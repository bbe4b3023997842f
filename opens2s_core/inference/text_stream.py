"""Incremental detokenization: whole characters only, without stop strings."""

from collections.abc import Sequence

from tokenizers.decoders import DecodeStream
from transformers import PreTrainedTokenizerFast


class TextStream:
    """Tokens in, text out. Text that may be the start of a stop string is held back until that is decided.

    ``released`` counts the tokens whose text is emitted completely; ``stopped`` is set when a stop string is found.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, stop: Sequence[str] = ()) -> None:
        self._tokenizer = tokenizer.backend_tokenizer
        self._stop = tuple(stop)
        self._decoder = DecodeStream(skip_special_tokens=True)
        self._ids: list[int] = []
        self._decoded = 0  # characters
        self._held = ""  # decoded, not emitted
        self._ends: list[int] = []  # end of the text of each held token, in characters
        self._incomplete = 0  # tokens after those, whose text is part of a later delta, if any
        self.released = 0
        self.stopped = False

    def push(self, token: int, *, final: bool) -> str:
        """Add a token → the new text; after the ``final`` token nothing is held back."""
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
        """The rest of the text at the end: an incomplete character."""
        text = self._tokenizer.decode(self._ids, skip_special_tokens=True)
        rest = text[self._decoded :]
        self._decoded += len(rest)
        return rest

    def _certain(self, final: bool) -> int:
        """Number of held characters that cannot be part of a stop string."""
        end = len(self._held)
        found = min((at for stop in self._stop if (at := self._held.find(stop)) >= 0), default=end)
        partial = (at for at in range(end) if any(stop.startswith(self._held[at:]) for stop in self._stop))
        certain = (
            found if final else min(found, next(partial, end))
        )  # another stop string may begin before the found one
        self.stopped = certain == found < end
        return certain
