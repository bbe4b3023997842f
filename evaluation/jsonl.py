"""Files of JSON Lines to which dataclasses are appended one by one, and which survive a kill."""

from pathlib import Path
from types import TracebackType
from typing import TypeVar

import msgspec

T = TypeVar("T")


def read_rows(path: Path, kind: type[T]) -> list[T]:
    """The rows of ``path``, empty where there is no such file. A last line that a kill cut is left out.

    Raises ``ValueError``, with the file and the line, for any other line that is not a ``kind``.
    """
    if not path.exists():
        return []
    decoder = msgspec.json.Decoder(kind)
    rows = []
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines[:-1], 1):  # a whole line ends with "\n", so the last element is empty or cut
        try:
            rows.append(decoder.decode(line))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ValueError(
                f"{path}, line {number}: {error}, expected a {kind.__name__}, got {line[:200]!r}"
            ) from None
    return rows


class JsonlWriter:
    """Appends rows to ``path``, each written at once. What a kill cut of the last line is removed first."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab")
        whole = path.read_bytes().rfind(b"\n") + 1
        self._file.truncate(whole)

    def append(self, row: object) -> None:
        """``row`` is a dataclass of what JSON has; ``bytes`` are written in base 64."""
        self._file.write(msgspec.json.encode(row) + b"\n")
        self._file.flush()

    def __enter__(self) -> "JsonlWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()
