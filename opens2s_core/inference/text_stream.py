"""Text as it is made: whole characters only, and nothing of a stop string."""

from collections.abc import Sequence

from tokenizers.decoders import DecodeStream
from transformers import PreTrainedTokenizerFast


class TextStream:
    """Tokens in, certain text out. Text that may turn out to begin a stop string waits until that is known.

    ``released`` counts the tokens whose text was handed out whole; ``stopped`` says that a stop string was met.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, stop: Sequence[str] = ()) -> None:
        self._tokenizer = tokenizer.backend_tokenizer
        self._stop = tuple(stop)
        self._decoder = DecodeStream(skip_special_tokens=True)
        self._ids: list[int] = []
        self._decoded = 0  # characters
        self._waiting = ""
        self._ends: list[int] = []  # where the text of each waiting token ends, in characters
        self._begun = 0  # tokens behind those, whose text is to come with a later one's, if they have any
        self.released = 0
        self.stopped = False

    def push(self, token: int, *, final: bool) -> str:
        """New text that is certain; after the ``final`` token nothing waits."""
        self._ids.append(token)
        piece = self._decoder.step(self._tokenizer, token) or ""
        self._decoded += len(piece)
        self._waiting += piece
        if final:
            self._waiting += self._rest()
        self._begun += 1
        if piece or final or not self._stop:
            self._ends += [self._decoded] * self._begun
            self._begun = 0
        certain = self._certain(final)
        text, self._waiting = self._waiting[:certain], self._waiting[certain:]
        told = self._decoded - len(self._waiting)
        while self._ends and self._ends[0] <= told:
            self._ends.pop(0)
            self.released += 1
        return text

    def _rest(self) -> str:
        """What is left at the end: a character that was begun."""
        text = self._tokenizer.decode(self._ids, skip_special_tokens=True)
        rest = text[self._decoded :]
        self._decoded += len(rest)
        return rest

    def _certain(self, final: bool) -> int:
        """How many of the waiting characters stop strings leave."""
        end = len(self._waiting)
        met = min((at for stop in self._stop if (at := self._waiting.find(stop)) >= 0), default=end)
        begun = (at for at in range(end) if any(stop.startswith(self._waiting[at:]) for stop in self._stop))
        certain = met if final else min(met, next(begun, end))  # another may have begun before the one that is met
        self.stopped = certain == met < end
        return certain
