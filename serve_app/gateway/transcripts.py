"""The transcripts of spoken replies, kept for an hour so that clients may refer to them by the id of their audio."""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from serve_app.gateway.admission import ClientKey

KEPT_SECONDS = 3600.0
_MAX_BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True)
class _Entry:
    client: ClientKey
    text: str
    expires: float

    @property
    def size(self) -> int:
        return len(self.text.encode())


class Transcripts:
    """Transcripts of the replies of one process; where there are too many, the oldest are dropped. A client does not
    find those of another."""

    def __init__(self, max_bytes: int = _MAX_BYTES, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_bytes = max_bytes
        self._clock = clock
        self._bytes = 0
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    def put(self, audio_id: str, client: ClientKey, text: str) -> None:
        entry = self._entries[audio_id] = _Entry(client, text, self._clock() + KEPT_SECONDS)
        self._bytes += entry.size
        while self._entries and (self._bytes > self._max_bytes or self._oldest.expires <= self._clock()):
            _, oldest = self._entries.popitem(last=False)
            self._bytes -= oldest.size

    def find(self, audio_ids: Iterable[str], client: ClientKey) -> dict[str, str]:
        """The transcripts of those that are known."""
        entries = ((audio_id, self._entries.get(audio_id)) for audio_id in audio_ids)
        return {
            audio_id: entry.text
            for audio_id, entry in entries
            if entry is not None and entry.client == client and entry.expires > self._clock()
        }

    @property
    def _oldest(self) -> _Entry:
        return next(iter(self._entries.values()))
